// SPDX-License-Identifier: Apache-2.0
// Which due timers are to wait on, since their step's command has not been taken up yet, and which
// steps have waited for as long as any may. Blocking.
#pragma once

#include "application/ports/event_store.h"
#include "application/saga/definition.h"
#include "base/arena.h"
#include "base/status.h"
#include "infrastructure/postgres/connection.h"

// What the definitions say of each call.
struct saga_patience {
    struct saga_patience_call {
        struct str key;   // "<saga>/<version>/<step>/<direction>"
        struct str queue; // of the role that serves its command; "" none does
        int32_t timeout_s;
        bool endless; // asked without limit
    } * calls;
    size_t call_count;
    struct str saga_queue; // where replies go
    int32_t patience_s;
};

// Memory is the arena's; views point into the definitions, which outlive it.
enum status saga_patience_make(struct saga_patience *patience,
                               const struct saga_definitions *definitions, struct str saga_queue,
                               int32_t patience_s, struct arena *arena) MUST_CHECK;

enum timer_fate {
    TIMER_FIRES,
    TIMER_WAITS, // it has been put off
    TIMER_SPENT, // it fires, whatever attempts its step has left
};

// Of timers that were just claimed; at most 1024. fates: one each, untouched on failure.
enum status saga_patience_ask(const struct saga_patience *patience, struct postgres *postgres,
                              const struct timer *timers, size_t count, struct arena *arena,
                              enum timer_fate *fates) MUST_CHECK;
