// SPDX-License-Identifier: Apache-2.0
// Reservations in JSON: bodies of commands, data of events, the decider's state.
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "domain/bounded_context.h"
#include "domain/decision.h"
#include "domain/inventory/reservation.h"

// As command_type.parse, for reserve, release and commit alike; it comes from a saga, so unknown
// members are ignored.
enum status reservation_parse_lines(struct str json, struct arena *arena, struct fault_list *faults,
                                    void **body); // struct line_list

// Adds an event to the decision's first stream.
enum status reservation_record(const struct reservation_event *event, instant_us now,
                               struct arena *arena, struct decision *decision) MUST_CHECK;

// The fold (struct reservation).
void *reservation_state_initial(struct arena *arena);
enum status reservation_state_evolve(void *state, const struct event_view *event,
                                     struct arena *arena);
enum status reservation_state_encode(const void *state, struct buffer *out);
enum status reservation_state_decode(struct str bytes, struct arena *arena, void **state);
