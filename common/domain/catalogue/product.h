// SPDX-License-Identifier: Apache-2.0
// A product as a decider: what the shop sells, and for how much.
//
// Everything here is pure. Views belong to the caller.
#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "domain/values/money.h"

enum { PRODUCT_NAME_MAX = 200 }; // characters

enum product_status {
    PRODUCT_UNKNOWN,
    PRODUCT_LISTED,
    PRODUCT_RETIRED, // neither shown nor sold; may be listed again
};

struct product {
    enum product_status status;
    struct str sku;
    struct str name;
    struct money price;
};

struct list_product {
    struct str sku;
    struct str name;
    struct money price;
};

enum product_event_type { PRODUCT_EVENT_LISTED, PRODUCT_EVENT_REPRICED, PRODUCT_EVENT_RETIRED };

struct product_event {
    enum product_event_type type;
    struct str sku;     // listed
    struct str name;    // listed
    struct money price; // listed, repriced
};

enum product_refusal {
    PRODUCT_ACCEPTED,
    PRODUCT_NOT_FOUND,
    PRODUCT_ALREADY_LISTED, // under another name or price
    PRODUCT_NOT_LISTED,     // retired
};

struct product_decision {
    enum product_refusal refusal;
    int event_count; // 0: accepted, and already so
    struct product_event events[1];
};

// Lists a product. The same again is quiet; another name or price of a listed one is refused.
struct product_decision product_list(const struct product *product,
                                     const struct list_product *command);

// Changes the price for orders to come. The same price again is quiet.
struct product_decision product_reprice(const struct product *product, struct money price);

// Takes it off the shelf. A second time is quiet.
struct product_decision product_retire(const struct product *product);

// Applies what has happened. Total.
struct product product_evolve(struct product product, const struct product_event *event);
