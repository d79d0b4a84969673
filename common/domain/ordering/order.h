// SPDX-License-Identifier: Apache-2.0
// An order as a decider: what a customer and the saga may do with it, and what has happened to it.
//
// Everything here is pure; time and prices come in as arguments. Views belong to the caller.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/instant.h"
#include "base/str.h"
#include "domain/values/address.h"
#include "domain/values/line.h"
#include "domain/values/money.h"

enum order_status {
    ORDER_UNKNOWN,
    ORDER_PLACED,
    ORDER_CANCELLING, // the customer asked; the saga undoes what has been done
    ORDER_CANCELLED,
    ORDER_CONFIRMED,
    ORDER_REJECTED,
};

struct order {
    enum order_status status;
    struct str customer;
};

struct place_order {
    struct currency currency;
    struct line_list lines;
    struct str payment_token; // what the payment provider knows the card by
    struct address ship_to;
};

// What the catalogue says about a line's SKU.
struct offer {
    bool known; // false: unknown or retired
    struct money price;
};

struct order_line {
    struct str sku;
    int32_t quantity;
    struct money unit_price;
    struct money total;
};

struct order_placed {
    struct str customer;
    struct order_line lines[LINES_MAX];
    size_t line_count;
    struct money total;
    struct str payment_token;
    struct address ship_to;
};

struct order_rejection {
    struct str
        code; // "stock_short", "payment_declined", "shipment_refused", "timed_out", "aborted"
    struct str detail; // for people
};

enum order_event_type {
    ORDER_EVENT_PLACED,
    ORDER_EVENT_CANCEL_REQUESTED,
    ORDER_EVENT_CANCELLED,
    ORDER_EVENT_CONFIRMED,
    ORDER_EVENT_REJECTED,
};

struct order_event {
    enum order_event_type type;
    struct str customer;              // placed
    struct str reason;                // cancel requested
    struct order_rejection rejection; // rejected
};

enum order_refusal {
    ORDER_ACCEPTED,
    ORDER_NOT_FOUND,
    ORDER_NOT_CANCELLABLE, // confirmed or rejected
    ORDER_NOT_CONFIRMABLE, // cancelling, or ended otherwise
    ORDER_IS_CONFIRMED,
};

struct order_decision {
    enum order_refusal refusal;
    int event_count; // 0: accepted, and already so
    struct order_event events[1];
};

enum line_fault {
    LINE_FINE,
    LINE_UNKNOWN_SKU,
    LINE_OTHER_CURRENCY,
    LINE_OVERFLOW,
};

// Prices an order. Accepted when no line has a fault and the sum fits.
struct order_pricing {
    bool accepted;
    bool total_overflows;
    enum line_fault line_faults[LINES_MAX];
    struct order_placed placed; // whole only when accepted
};

// Prices come from the offers, one a line. Lines with an empty SKU or no quantity and an order
// without a currency have been refused by their form already and are passed over.
void order_place(const struct place_order *command, const struct offer *offers, struct str customer,
                 struct order_pricing *pricing);

// A customer's cancellation; someone else's order is not found. A second one is quiet.
struct order_decision order_cancel(const struct order *order, struct str customer,
                                   struct str reason);

// The saga's pivot: of confirm and cancel, the first wins.
struct order_decision order_confirm(const struct order *order);

// The saga's last word: a placed order is rejected, a cancelling one cancelled.
struct order_decision order_reject(const struct order *order, struct order_rejection rejection);

// Applies what has happened. Total.
struct order order_evolve(struct order order, const struct order_event *event);
