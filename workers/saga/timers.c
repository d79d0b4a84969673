// SPDX-License-Identifier: Apache-2.0
// A loop that fires due timers: claimed in a transaction of their own, deleted in that of their
// effect.
#include "timers.h"

#include <stdlib.h>

#include "application/saga/saga_handler.h"
#include "base/backoff.h"
#include "infrastructure/postgres/saga_patience.h"
#include "infrastructure/telemetry/log.h"
#include "saga_metrics.h"

enum {
    WORK_BYTES_MAX = 256 * 1024 * 1024,
    ARENA_BLOCK = 256 * 1024,
    BACKOFF_FIRST_MS = 100,
    BACKOFF_LIMIT_MS = 5000,
    SECOND_MS = 1000,
    REST_MIN_MS = 10, // a timer that another daemon has claimed is due for us too
};

struct loop {
    struct runtime *runtime;
    const struct saga_timers *timers;
    struct handler_run run;
    const struct saga_patience *patience;
    struct arena claimed; // the timers in hand
    struct arena arena;   // what becomes of them
    struct backoff backoff;
    size_t batch_max;
    int claim_s;
    int poll_ms;
};

static struct loop start(struct runtime *runtime, const struct saga_timers *timers)
{
    const struct settings *settings = runtime_settings_of(runtime);
    struct loop loop = {
        .runtime = runtime,
        .timers = timers,
        .patience = timers->patience,
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
    };
    arena_init(&loop.claimed, ARENA_BLOCK, WORK_BYTES_MAX);
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

// Those whose step has been silent; the others wait on.
static enum status fire(struct loop *loop, const struct timer *timers, size_t count)
{
    const struct message_result *results = NULL;
    struct incoming *messages = arena_array(&loop->arena, count, sizeof *messages);
    enum timer_fate *fates = arena_array(&loop->arena, count, sizeof *fates);
    size_t firing = 0;
    if (messages == NULL || fates == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = saga_patience_ask(loop->patience, loop->timers->parts->postgres, timers,
                                           count, &loop->arena, fates);
    for (size_t at = 0; status == STATUS_OK && at < count; at++) {
        if (fates[at] != TIMER_WAITS) {
            messages[firing++] =
                saga_timer_message(&timers[at], fates[at] == TIMER_SPENT, runtime_now());
        }
    }
    if (status == STATUS_OK && firing > 0) {
        status = handler_run_batch(&loop->run, messages, firing, &loop->arena, &results);
    }
    if (status != STATUS_OK) {
        return status;
    }
    saga_metrics_put_off(count - firing);
    saga_metrics_count(results, firing);
    for (size_t at = 0; at < firing; at++) {
        if (results[at].outcome != MESSAGE_HANDLED) {
            log_failed(&messages[at], &results[at]);
        }
    }
    return STATUS_OK;
}

// A timer that stands alone and whose saga cannot be read, or not in our memory.
static void leave(const struct timer *timer, enum status status)
{
    const struct incoming message = {.stream = timer->saga, .data = timer->data};
    const struct message_result result = {.outcome = MESSAGE_POISON,
                                          .cause = str_from(status_text(status))};
    log_failed(&message, &result);
}

// As the consumers do: a saga that cannot be read holds none of the others up.
static enum status fire_halving(struct loop *loop, const struct timer *timers, size_t count)
{
    arena_reset(&loop->arena);
    enum status status = fire(loop, timers, count);
    bool fault_of_batch =
        status == STATUS_NO_MEMORY || status == STATUS_INVALID || status == STATUS_MALFORMED;
    if (!fault_of_batch) {
        return status;
    }
    if (count == 1) {
        leave(timers, status);
        return STATUS_OK;
    }
    status = fire_halving(loop, timers, count / 2);
    return status == STATUS_OK ? fire_halving(loop, timers + count / 2, count - count / 2) : status;
}

static enum status turn(struct loop *loop, bool *busy)
{
    struct timer *timers = NULL;
    size_t count = 0;
    arena_reset(&loop->claimed);
    arena_reset(&loop->arena);
    enum status status = event_store_claim_timers(loop->timers->parts->store, loop->batch_max,
                                                  loop->claim_s, &loop->claimed, &timers, &count);
    if (status == STATUS_OK && count > 0) {
        status = fire_halving(loop, timers, count);
    }
    *busy = count == loop->batch_max;
    return status;
}

// Until the earliest timer is due. One that is set meanwhile is due a second from now at the least.
static enum status rest(struct loop *loop)
{
    int rest_ms = 0;
    enum status status =
        event_store_timers_rest(loop->timers->parts->store, loop->poll_ms, &rest_ms);
    if (status == STATUS_OK) {
        (void)runtime_sleep(loop->runtime, rest_ms > REST_MIN_MS ? rest_ms : REST_MIN_MS);
    }
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
        if (status == STATUS_OK && !busy) {
            status = rest(&loop);
        }
        if (status != STATUS_OK) {
            log_line(LOG_WARNING, "the timers wait for the store",
                     log_text("cause", status_text(status)));
            (void)runtime_sleep(runtime, backoff_next_ms(&loop.backoff, runtime_random()));
            wait_until_ready(&loop);
        }
    }
    arena_free(&loop.claimed);
    arena_free(&loop.arena);
    return EXIT_SUCCESS;
}
