// SPDX-License-Identifier: Apache-2.0
// Shipments in JSON: bodies of commands, data of events, the decider's state, what is asked of and
// answered by the carrier.
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "domain/bounded_context.h"
#include "domain/decision.h"
#include "domain/shipping/shipment.h"

// Bodies, as command_type.parse; unknown members are ignored.
enum status shipment_parse_schedule(struct str json, struct arena *arena, struct fault_list *faults,
                                    void **body); // struct address
enum status shipment_parse_dispatch(struct str json, struct arena *arena, struct fault_list *faults,
                                    void **body); // struct uuid

// Adds an event to the decision's first stream.
enum status shipment_record(const struct shipment_event *event, instant_us now, struct arena *arena,
                            struct decision *decision) MUST_CHECK;

// The requests; false when memory is out.
bool shipment_ask_schedule(struct uuid shipment, const struct address *ship_to, struct arena *arena,
                           struct effect_request *request);
bool shipment_ask_cancel(struct uuid shipment, struct arena *arena, struct effect_request *request);

struct carrier_answer shipment_read_answer(const struct effect_answer *effect);

// The fold (struct shipment).
void *shipment_state_initial(struct arena *arena);
enum status shipment_state_evolve(void *state, const struct event_view *event, struct arena *arena);
enum status shipment_state_encode(const void *state, struct buffer *out);
enum status shipment_state_decode(struct str bytes, struct arena *arena, void **state);
