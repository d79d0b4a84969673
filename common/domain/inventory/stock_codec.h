// SPDX-License-Identifier: Apache-2.0
// Stock items in JSON: the receipt's body, data of events, the state of four numbers.
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "domain/bounded_context.h"
#include "domain/decision.h"
#include "domain/inventory/stock_item.h"

enum { RECEIPT_LEN_MAX = 100 }; // characters

struct receive_stock {
    struct str sku;
    int64_t quantity;
    struct str receipt; // what it came with, for people who count again
};

// As command_type.parse.
enum status stock_parse_receive(struct str json, struct arena *arena, struct fault_list *faults,
                                void **body); // struct receive_stock

// Adds an event: a receipt's, or one that a reservation makes.
enum status stock_record_received(const struct receive_stock *receipt, instant_us now,
                                  struct arena *arena, struct decision *decision) MUST_CHECK;
enum status stock_record_moved(enum stock_event_type type, int64_t quantity,
                               struct uuid reservation, size_t stream, struct arena *arena,
                               struct decision *decision) MUST_CHECK;

// The fold (struct stock_item).
void *stock_state_initial(struct arena *arena);
enum status stock_state_evolve(void *state, const struct event_view *event, struct arena *arena);
enum status stock_state_encode(const void *state, struct buffer *out);
enum status stock_state_decode(struct str bytes, struct arena *arena, void **state);
