// SPDX-License-Identifier: Apache-2.0
// A loop that fires due timers: claimed in a transaction of their own, deleted in that of their
// effect.
#include "timers.h"

#include <stdlib.h>

#include "application/saga/saga_handler.h"
#include "base/backoff.h"
#include "infrastructure/postgres/saga_watch.h"
#include "infrastructure/telemetry/log.h"
#include "saga_metrics.h"

enum {
    WORK_BYTES_MAX = 256 * 1024 * 1024,
    ARENA_BLOCK = 256 * 1024,
    BACKOFF_FIRST_MS = 100,
    BACKOFF_LIMIT_MS = 5000,
    WATCH_EVERY_MS = 30000,
    WATCH_WINDOW_S = 900,  // how far back each look goes
    WIDE_WINDOW_S = 86400, // and a seldom one, as far as the store answers in time; doctor: a week
    WIDE_EVERY_MS = 900000,
    WIDE_AGAIN_MS = 120000, // while some are missing
    SECOND_MS = 1000,
};

struct loop {
    struct runtime *runtime;
    const struct saga_timers *timers;
    struct handler_run run;
    struct arena arena;
    struct backoff backoff;
    size_t batch_max;
    int claim_s;
    int poll_ms;
    int64_t watch_at_ms;
    int64_t wide_at_ms;
    int32_t wide_s;
    int64_t wide_missing; // as the last wide look found
};

static struct loop start(struct runtime *runtime, const struct saga_timers *timers)
{
    const struct settings *settings = runtime_settings_of(runtime);
    struct loop loop = {
        .runtime = runtime,
        .timers = timers,
        .run = {.handler = timers->handler,
                .store = timers->parts->store,
                .limits = {.contention_ms = (int)settings_int(settings, "COMANDA_CONTENTION"),
                           .snapshot_every = 0,
                           .append_rows_max = APPEND_ROWS_MAX / 4},
                .pause = parts_pause,
                .pause_context = timers->parts},
        .backoff = {BACKOFF_FIRST_MS, BACKOFF_LIMIT_MS, 0},
        .batch_max = (size_t)settings_int(settings, "COMANDA_TIMER_BATCH"),
        .claim_s = (int)(settings_int(settings, "COMANDA_TIMER_CLAIM") / SECOND_MS),
        .poll_ms = (int)settings_int(settings, "COMANDA_TIMER_POLL"),
        .wide_s = WIDE_WINDOW_S,
    };
    arena_init(&loop.arena, ARENA_BLOCK, WORK_BYTES_MAX);
    return loop;
}

// Whatever is not fired now is due again when its claim has run out.
static void log_failed(const struct incoming *timer, const struct message_result *result)
{
    char saga[UUID_TEXT_LEN];
    uuid_format(timer->stream, saga);
    log_line(result->outcome == MESSAGE_POISON ? LOG_ERROR : LOG_WARNING,
             "a timer could not be fired; it is due again later",
             log_str("saga", (struct str){saga, sizeof saga}), log_str("timer", timer->data),
             log_str("cause", result->cause));
}

static enum status fire(struct loop *loop, const struct timer *timers, size_t count)
{
    const struct message_result *results = NULL;
    struct incoming *messages = arena_array(&loop->arena, count, sizeof *messages);
    if (messages == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < count; at++) {
        messages[at] = saga_timer_message(&timers[at], runtime_now());
    }
    enum status status = handler_run_batch(&loop->run, messages, count, &loop->arena, &results);
    if (status != STATUS_OK) {
        return status;
    }
    saga_metrics_count(results, count);
    for (size_t at = 0; at < count; at++) {
        if (results[at].outcome != MESSAGE_HANDLED) {
            log_failed(&messages[at], &results[at]);
        }
    }
    return STATUS_OK;
}

static enum status count_missing(struct loop *loop, int32_t window_s, int64_t *missing)
{
    const struct saga_definitions *definitions = loop->timers->definitions;
    enum status status = STATUS_OK;
    *missing = 0;
    for (size_t i = 0; i < definitions->count && status == STATUS_OK; i++) {
        const struct saga_definition *definition = &definitions->items[i];
        if (saga_definitions_newest(definitions, definition->name) == definition) {
            struct saga_gap gap = {.count = 0};
            status = saga_watch_missing(loop->timers->parts->postgres, definition,
                                        definition->steps[0].forward.timeout_s, window_s,
                                        &loop->arena, &gap);
            *missing += gap.count;
        }
    }
    return status;
}

// What lies in the dead letters lies there until somebody comes, and must be told until then. A
// look that the store does not answer in time is tried again over half as long.
static void look_further_back(struct loop *loop)
{
    int64_t missing;
    int64_t now_ms = runtime_monotonic_ms();
    if (now_ms < loop->wide_at_ms) {
        return;
    }
    loop->wide_at_ms = now_ms + WIDE_EVERY_MS;
    if (count_missing(loop, loop->wide_s, &missing) != STATUS_OK) {
        loop->wide_s = loop->wide_s / 2 > WATCH_WINDOW_S ? loop->wide_s / 2 : WATCH_WINDOW_S;
        return;
    }
    loop->wide_s = loop->wide_s < WIDE_WINDOW_S / 2 ? loop->wide_s * 2 : WIDE_WINDOW_S;
    loop->wide_missing = missing;
    loop->wide_at_ms = missing > 0 ? now_ms + WIDE_AGAIN_MS : loop->wide_at_ms;
}

static int32_t asks_that_park(const struct saga_definitions *definitions)
{
    int32_t asks = SAGA_ATTEMPTS_MAX;
    for (size_t i = 0; i < definitions->count; i++) {
        int32_t own = definitions->items[i].parked_after;
        asks = own < asks || i == 0 ? own : asks;
    }
    return asks;
}

static enum status watch(struct loop *loop)
{
    int64_t missing = 0;
    int64_t parked = 0;
    enum status status = count_missing(loop, WATCH_WINDOW_S, &missing);
    if (status == STATUS_OK) {
        status =
            saga_watch_parked(loop->timers->parts->postgres,
                              asks_that_park(loop->timers->definitions), &loop->arena, &parked);
    }
    if (status == STATUS_OK) {
        look_further_back(loop);
        saga_metrics_watched(parked, missing > loop->wide_missing ? missing : loop->wide_missing);
    }
    return status;
}

static enum status turn(struct loop *loop, bool *busy)
{
    struct timer *timers = NULL;
    size_t count = 0;
    arena_reset(&loop->arena);
    enum status status = event_store_claim_timers(loop->timers->parts->store, loop->batch_max,
                                                  loop->claim_s, &loop->arena, &timers, &count);
    if (status == STATUS_OK && count > 0) {
        status = fire(loop, timers, count);
    }
    if (status == STATUS_OK && runtime_monotonic_ms() >= loop->watch_at_ms) {
        loop->watch_at_ms = runtime_monotonic_ms() + WATCH_EVERY_MS;
        enum status watched = watch(loop);
        if (watched != STATUS_OK) {
            log_line(LOG_WARNING, "the sagas could not be counted",
                     log_text("cause", status_text(watched)));
        }
    }
    *busy = count == loop->batch_max;
    return status;
}

static void wait_until_ready(struct loop *loop)
{
    while (!runtime_stopping(loop->runtime) && !parts_ready(loop->runtime, loop->timers->parts)) {
        (void)runtime_sleep(loop->runtime, backoff_next_ms(&loop->backoff, runtime_random()));
    }
    backoff_reset(&loop->backoff);
}

int saga_timers_run(struct runtime *runtime, void *context)
{
    struct loop loop = start(runtime, context);
    bool busy = false;
    wait_until_ready(&loop);
    while (!runtime_stopping(runtime)) {
        enum status status = turn(&loop, &busy);
        if (status != STATUS_OK) {
            log_line(LOG_WARNING, "the timers wait for the store",
                     log_text("cause", status_text(status)));
            (void)runtime_sleep(runtime, backoff_next_ms(&loop.backoff, runtime_random()));
            wait_until_ready(&loop);
        } else if (!busy) {
            (void)runtime_sleep(runtime, loop.poll_ms);
        }
    }
    arena_free(&loop.arena);
    return EXIT_SUCCESS;
}
