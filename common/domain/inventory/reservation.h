// SPDX-License-Identifier: Apache-2.0
// A reservation as a decider: what an order holds of the stock, all of it or nothing.
//
// Everything here is pure. Each decision moves the reservation and, with it, every stock item of
// its lines by the line's quantity; all of that is one append. Views belong to the caller.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "domain/inventory/stock_item.h"
#include "domain/values/line.h"

enum reservation_status {
    RESERVATION_NONE,
    RESERVATION_MADE,
    RESERVATION_REFUSED,  // final: the answer to reserve stays no
    RESERVATION_RELEASED, // final, also of one that was never made
    RESERVATION_COMMITTED,
};

struct reservation {
    enum reservation_status status;
    struct line_list lines; // made, and after it
    struct str short_sku;   // refused
};

enum reservation_refusal {
    RESERVATION_ACCEPTED,
    RESERVATION_STOCK_SHORT,
    RESERVATION_IS_RELEASED,
    RESERVATION_IS_COMMITTED,
    RESERVATION_NOT_MADE,
    RESERVATION_LINES_DIFFER, // the command names other lines than were reserved
};

enum reservation_event_type {
    RESERVATION_EVENT_MADE,
    RESERVATION_EVENT_REFUSED,
    RESERVATION_EVENT_RELEASED,
    RESERVATION_EVENT_COMMITTED,
};

struct reservation_event {
    enum reservation_event_type type;
    const struct line_list *lines; // made
    struct str short_sku;          // refused
};

struct reservation_decision {
    enum reservation_refusal refusal;
    struct str short_sku; // of RESERVATION_STOCK_SHORT
    int event_count;      // of the reservation: 0 or 1; a remembered refusal has one too
    struct reservation_event events[1];
    bool moves_stock; // each line's item gets one event of this type
    enum stock_event_type stock_event;
};

// None: made when every item has enough, else refused and remembered. Made: already so.
// Released, refused: refused. items: one a line of the command.
struct reservation_decision reservation_reserve(const struct reservation *reservation,
                                                const struct line_list *lines,
                                                const struct stock_item *const *items);

// None, made: released. Refused, released: already so. Committed: refused.
struct reservation_decision reservation_release(const struct reservation *reservation,
                                                const struct line_list *lines);

// Made: committed. Committed: already so. Else refused.
struct reservation_decision reservation_commit(const struct reservation *reservation,
                                               const struct line_list *lines);

// Applies what has happened. Total.
struct reservation reservation_evolve(struct reservation reservation,
                                      const struct reservation_event *event);
