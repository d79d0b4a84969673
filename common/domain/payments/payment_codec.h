// SPDX-License-Identifier: Apache-2.0
// Payments in JSON: bodies of commands, data of events, the decider's state, what is asked of and
// answered by the provider.
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "domain/bounded_context.h"
#include "domain/decision.h"
#include "domain/payments/payment.h"

// Bodies, as command_type.parse; they come from a saga, so unknown members are ignored.
enum status payment_parse_authorize(struct str json, struct arena *arena, struct fault_list *faults,
                                    void **body); // struct authorize_payment
enum status payment_parse_capture(struct str json, struct arena *arena, struct fault_list *faults,
                                  void **body); // struct money

// Adds an event to the decision's first stream.
enum status payment_record(const struct payment_event *event, instant_us now, struct arena *arena,
                           struct decision *decision) MUST_CHECK;

// The requests; false when memory is out.
bool payment_ask_authorize(struct uuid payment, const struct authorize_payment *command,
                           struct arena *arena, struct effect_request *request);
bool payment_ask_capture(struct uuid payment, struct money amount, struct arena *arena,
                         struct effect_request *request);
bool payment_ask_undo(struct uuid payment, struct arena *arena, struct effect_request *request);

// Reads an answer; an undo's body is {"captured":true|false}.
enum status payment_read_answer(const struct effect_answer *effect, struct arena *arena,
                                struct provider_answer *answer) MUST_CHECK;

// The fold (struct payment).
void *payment_state_initial(struct arena *arena);
enum status payment_state_evolve(void *state, const struct event_view *event, struct arena *arena);
enum status payment_state_encode(const void *state, struct buffer *out);
enum status payment_state_decode(struct str bytes, struct arena *arena, void **state);
