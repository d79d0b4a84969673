// SPDX-License-Identifier: Apache-2.0
// The message handler that runs sagas: events that start or cancel, replies, timers, operators.
//
// Each reaction is one transition: the saga's event, the next command with its timer, the old timer
// done. What is not for the command that is out leads to nothing but its inbox row.
#pragma once

#include "application/handler/message_handler.h"
#include "application/saga/definition.h"

struct saga_handler {
    struct message_handler handler; // first: what the engine is given
    const struct saga_definitions *definitions;
};

// consumer: the name in the inbox, such as "saga". definitions outlive it.
struct saga_handler saga_handler(struct str consumer, const struct saga_definitions *definitions);

// What a person asks of an instance. The message goes through handler_run_batch as any other; its
// outcome is MESSAGE_POISON with the reason as cause when the saga must refuse.
enum saga_operator_action { SAGA_OPERATOR_RETRY, SAGA_OPERATOR_ABORT };

// id: a new UUID v7. saga: the instance's stream.
struct incoming saga_operator_message(enum saga_operator_action action, struct uuid id,
                                      struct str tenant, struct uuid saga, instant_us now);

// A due timer as a message. spent: its step has waited for as long as any may: whatever attempts it
// has left are over.
struct incoming saga_timer_message(const struct timer *timer, bool spent, instant_us now);

// Ids of the commands that a timer's step may have out, in this direction since the operator's last
// retry: the first and the latest, the timer's own the last of them. 0: the timer cannot be read.
enum { SAGA_TIMER_COMMANDS_MAX = 8 };
size_t saga_timer_commands(const struct timer *timer, struct arena *arena,
                           struct uuid commands[SAGA_TIMER_COMMANDS_MAX]);
