// SPDX-License-Identifier: Apache-2.0
// comanda-saga: moves the sagas on by events, replies and timers, and runs the commands of
// ordering.
#include <stdlib.h>

#include "application/handler/command_handler.h"
#include "application/handler/state_cache.h"
#include "application/saga/saga_handler.h"
#include "infrastructure/telemetry/log.h"
#include "runtime/consumer.h"
#include "runtime/parts.h"
#include "runtime/runtime.h"
#include "runtime/server_settings.h"
#include "saga_metrics.h"
#include "saga_settings.h"
#include "timers.h"
#include "versions.h"
#include "watch.h"

#define SAGA_QUEUE "comanda.saga"
#define SUBJECT_QUEUE "comanda.ordering"

enum { STATE_BYTES_MAX = 64 * 1024, PATIENCE_BYTES_MAX = 1024 * 1024 };

struct saga_work {
    struct handler_run run;
    struct saga_versions versions;
};

// As the runtime's own batches, and counts what became of the sagas.
static enum status handle_counted(void *context, const struct incoming *messages, size_t count,
                                  struct arena *arena, const struct message_result **results)
{
    struct saga_work *work = context;
    enum status status = handler_run_batch(&work->run, messages, count, arena, results);
    if (status != STATUS_OK) {
        return status;
    }
    saga_metrics_count(*results, count);
    for (size_t at = 0; at < count; at++) {
        if ((*results)[at].outcome == MESSAGE_TRANSIENT) {
            saga_versions_doubt(&work->versions);
        }
    }
    return STATUS_OK;
}

static struct handler_run saga_run(const struct settings *settings, struct parts *parts,
                                   const struct message_handler *handler)
{
    size_t states = (size_t)settings_int(settings, "COMANDA_STATES");
    return (struct handler_run){
        .handler = handler,
        .store = parts->store,
        .cache = state_cache_new(states, STATE_BYTES_MAX),
        .limits = {.contention_ms = (int)settings_int(settings, "COMANDA_CONTENTION"),
                   .snapshot_every = (int)settings_int(settings, "COMANDA_SNAPSHOT_EVERY"),
                   .append_rows_max = APPEND_ROWS_MAX / 4},
        .pause = parts_pause,
        .pause_context = parts};
}

static struct saga_patience patience_or_exit(const struct settings *settings,
                                             const struct saga_definitions *definitions)
{
    static struct arena arena; // until the process ends
    struct saga_patience patience;
    int32_t patience_s = (int32_t)(settings_int(settings, "COMANDA_SAGA_PATIENCE") / 1000);
    arena_init(&arena, 16 * 1024, PATIENCE_BYTES_MAX);
    if (saga_patience_make(&patience, definitions, STR(SAGA_QUEUE), patience_s, &arena) !=
        STATUS_OK) {
        log_line(LOG_ERROR, "no memory for the sagas");
        exit(EXIT_FAILURE);
    }
    return patience;
}

int main(int argc, char **argv)
{
    const struct setting_table table = {
        .program = "comanda-saga",
        .purpose = "moves the sagas on by events, replies and timers, and runs the commands of "
                   "ordering",
        .groups = {runtime_settings, postgres_settings, amqp_settings, consumer_settings,
                   saga_override_settings, saga_settings}};
    const struct settings *settings = settings_load_or_exit(argc, argv, &table);
    struct runtime *runtime = runtime_start_or_exit(settings);
    const struct saga_definitions *definitions = saga_definitions_load_or_exit(settings);
    saga_metrics_start();

    struct parts saga_parts, subject_parts, timer_parts, watch_parts;
    parts_make_or_exit(&saga_parts, runtime, SAGA_QUEUE);
    parts_make_or_exit(&subject_parts, runtime, SUBJECT_QUEUE);
    parts_make_or_exit(&timer_parts, runtime, "");
    parts_make_or_exit(&watch_parts, runtime, "");
    struct saga_handler saga = saga_handler(STR("saga"), definitions);
    struct message_handler subject = command_handler(STR("ordering"));
    struct saga_work work = {.run = saga_run(settings, &saga_parts, &saga.handler)};
    saga_versions_init(&work.versions, runtime, &saga_parts, definitions);

    struct consumer sagas = parts_consumer(&saga_parts, SAGA_QUEUE);
    sagas.handle = handle_counted;
    sagas.context = &work;
    sagas.name = STR("saga");
    sagas.ready = saga_versions_ready;
    sagas.dependencies = &work.versions;
    struct consumer subjects = parts_consumer(&subject_parts, SUBJECT_QUEUE);
    subjects.handler = &subject;
    struct saga_patience patience = patience_or_exit(settings, definitions);
    struct saga_timers timers = {&timer_parts, &saga.handler, &patience};
    struct saga_watch watch = {&watch_parts, definitions};
    const struct runtime_loop loops[] = {{"saga", consumer_run, &sagas},
                                         {"ordering", consumer_run, &subjects},
                                         {"timers", saga_timers_run, &timers},
                                         {"watch", saga_watch_run, &watch}};
    int exit_code = runtime_run(runtime, loops, sizeof loops / sizeof *loops);

    state_cache_free(work.run.cache);
    parts_free(&saga_parts);
    parts_free(&subject_parts);
    parts_free(&timer_parts);
    parts_free(&watch_parts);
    return exit_code;
}
