// SPDX-License-Identifier: Apache-2.0
// Reads what comes in to a saga: whose instance it is for, and the cue it gives.
#pragma once

#include "application/handler/message_handler.h"
#include "application/saga/decide.h"

// The types of a timer as a message.
#define SAGA_TIMER STR("timer")
#define SAGA_TIMER_SPENT STR("timer_spent")

// What a message means: the instances, each with the name of its saga where the message tells.
struct saga_message {
    struct saga_input input; // of an event: cue START; each instance decides which it is
    bool by_event;           // starts or cancels
    struct uuid sagas[SAGA_NAMES_PER_EVENT_MAX];
    struct str names[SAGA_NAMES_PER_EVENT_MAX]; // by_event only
    size_t count;
};

// STATUS_MALFORMED: *cause names the field.
enum status saga_message_read(const struct saga_definitions *definitions,
                              const struct incoming *incoming, struct arena *arena,
                              struct saga_message *message, struct str *cause) MUST_CHECK;
