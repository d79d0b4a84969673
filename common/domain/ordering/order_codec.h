// SPDX-License-Identifier: Apache-2.0
// Orders in JSON: bodies of commands, data of events, the decider's state.
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "domain/bounded_context.h"
#include "domain/decision.h"
#include "domain/ordering/order.h"

enum {
    ORDER_REASON_MAX = 500,        // characters
    ORDER_DETAIL_MAX = 500,        // characters
    ORDER_REJECTION_CODE_MAX = 64, // bytes
    PAYMENT_TOKEN_MAX = 200,       // bytes of printable ASCII without spaces
};

// Bodies, as command_type.parse.
enum status order_parse_place(struct str json, struct arena *arena, struct fault_list *faults,
                              void **body); // struct place_order
enum status order_parse_cancel(struct str json, struct arena *arena, struct fault_list *faults,
                               void **body); // struct str
enum status order_parse_reject(struct str json, struct arena *arena, struct fault_list *faults,
                               void **body); // struct order_rejection

// "placed" and so on, as documents show it; "unknown" for an order that is not there.
struct str order_status_text(enum order_status status);
enum order_status order_status_read(struct str text);

// False for an event type that is not this context's, or not yet.
bool order_event_type_read(struct str type, enum order_event_type *event_type);

// Events, added to a decision's first stream.
enum status order_record_placed(const struct order_placed *placed, instant_us now,
                                struct arena *arena, struct decision *decision) MUST_CHECK;
enum status order_record(const struct order_event *event, instant_us now, struct arena *arena,
                         struct decision *decision) MUST_CHECK;

// The fold of the state that decisions are made on (struct order).
void *order_state_initial(struct arena *arena);
enum status order_state_evolve(void *state, const struct event_view *event, struct arena *arena);
enum status order_state_encode(const void *state, struct buffer *out);
enum status order_state_decode(struct str bytes, struct arena *arena, void **state);
