// SPDX-License-Identifier: Apache-2.0
// A loop that fires due timers: claimed in a transaction of their own, deleted in that of their
// effect, so that a timer outlives the process that was about to fire it.
#pragma once

#include "application/handler/handler_run.h"
#include "infrastructure/postgres/saga_patience.h"
#include "runtime/parts.h"
#include "runtime/runtime.h"

struct saga_timers {
    struct parts *parts; // its own; the bus is not used
    const struct message_handler *handler;
    const struct saga_patience *patience; // which timers wait on
};

// For runtime_loop: context is a struct saga_timers.
int saga_timers_run(struct runtime *runtime, void *timers);
