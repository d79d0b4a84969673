// SPDX-License-Identifier: Apache-2.0
// The stock of one SKU: numbers only, however long its history. Always, and never below zero:
// received = on hand + reserved + committed.
//
// A receipt is counted each time it comes: remembering receipts would make the state grow for ever,
// so whoever loads stock makes the command's idempotency key (or inbox id) from the content of what
// it loads and the SKU.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

#define STOCK_MAX JSON_INTEGER_MAX

enum { RECEIPT_QUANTITY_MAX = 1000000000 };

struct stock_item {
    int64_t received;
    int64_t on_hand; // free to be reserved
    int64_t reserved;
    int64_t committed;
};

enum stock_event_type { STOCK_RECEIVED, STOCK_RESERVED, STOCK_RELEASED, STOCK_COMMITTED };

struct stock_event {
    enum stock_event_type type;
    int64_t quantity;
};

// Whether so many may be received (the sum fits) or reserved (they are on hand).
bool stock_item_takes(const struct stock_item *item, int64_t quantity);
bool stock_item_has(const struct stock_item *item, int64_t quantity);

// Applies what has happened. Total.
struct stock_item stock_item_evolve(struct stock_item item, struct stock_event event);
