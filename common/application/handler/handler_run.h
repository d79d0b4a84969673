// SPDX-License-Identifier: Apache-2.0
// Drives a batch of messages through blocking ports: what a daemon does between receive and ack.
#pragma once

#include <stddef.h>

#include "application/handler/handler_batch.h"
#include "application/ports/effect_runner.h"
#include "application/ports/event_store.h"

struct handler_run {
    const struct message_handler *handler;
    struct event_store *store;
    struct effect_runner *effects; // NULL: a handler that asks for none
    struct state_cache *cache;     // NULL: none
    struct handler_limits limits;
    int effect_timeout_ms;
    // Waits while every group left in the batch rests after a lost race. False: asked to end. NULL:
    // the time is taken as passed.
    bool (*pause)(void *context, int ms);
    void *pause_context;
};

// Handles all messages; results: one each, in the arena. STATUS_OK: each has its outcome.
// Another status, given at the first call that fails: the store is away, refuses everything, or
// the batch is more than the arena or a call takes. The messages may be handed in again as they
// are: the inbox knows those that were handled. STATUS_TIMEOUT, too: asked to end while it paused.
// results: untouched then. Snapshots that cannot be kept are dropped silently.
enum status handler_run_batch(const struct handler_run *run, const struct incoming *messages,
                              size_t count, struct arena *arena,
                              const struct message_result **results) MUST_CHECK;
