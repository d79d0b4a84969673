// SPDX-License-Identifier: Apache-2.0
// Does this process have the definition of every saga that runs? One that has not takes no messages
// of sagas: they wait in the queue for a process that has.
#include "versions.h"

#include <stdio.h>

#include "infrastructure/postgres/saga_watch.h"
#include "infrastructure/telemetry/log.h"
#include "saga_metrics.h"

enum {
    LOOK_EVERY_MS = 15000,
    LOOK_SHARE = 50, // a look that takes long, with very many sagas, takes 1/50 of the time at most
    // 1/10 while a message is in doubt or a definition is lacking: later, messages of a version
    // that is not loaded would come to the end of their ladder.
    DOUBT_SHARE = 10,
    ARENA_BLOCK = 16 * 1024,
    ARENA_MAX = 1024 * 1024,
    DETAIL_MAX = 256
};

void saga_versions_init(struct saga_versions *versions, struct runtime *runtime,
                        struct parts *parts, const struct saga_definitions *definitions)
{
    *versions = (struct saga_versions){.parts = parts, .definitions = definitions};
    readiness_need(runtime, "sagas");
}

void saga_versions_doubt(struct saga_versions *versions)
{
    versions->look_at_ms = versions->doubt_at_ms;
}

// Says of the first that is lacking what to do, and counts the sagas of them all.
static void tell(struct runtime *runtime, struct saga_versions *versions,
                 const struct saga_in_use *used, size_t count)
{
    int64_t sagas = 0;
    char detail[DETAIL_MAX] = "the definition of every running saga is loaded";
    for (size_t at = 0; at < count; at++) {
        if (saga_definitions_find(versions->definitions, used[at].name, used[at].version) != NULL) {
            continue;
        }
        if (sagas == 0) {
            (void)snprintf(detail, sizeof detail,
                           "%.*s version %d is not loaded, and sagas run on it (%lld): put its file"
                           " back into COMANDA_SAGAS and start again; until then messages wait",
                           STR_FMT(used[at].name), (int)used[at].version,
                           (long long)used[at].count);
        }
        sagas += used[at].count;
    }
    versions->lacking = sagas > 0;
    saga_metrics_not_loaded(sagas);
    readiness_set(runtime, "sagas", sagas == 0, detail);
}

// What cannot be counted now changes nothing: a message of a version that is lacking waits anyhow.
static void look(struct runtime *runtime, struct saga_versions *versions)
{
    struct arena arena;
    struct saga_in_use *used = NULL;
    size_t count = 0;
    int64_t began_ms = runtime_monotonic_ms();
    arena_init(&arena, ARENA_BLOCK, ARENA_MAX);
    enum status status = saga_watch_in_use(versions->parts->postgres, &arena, &used, &count);
    if (status == STATUS_OK) {
        tell(runtime, versions, used, count);
    } else {
        log_line(LOG_WARNING, "the running sagas could not be counted",
                 log_text("cause", status_text(status)));
    }
    arena_free(&arena);
    int64_t now_ms = runtime_monotonic_ms();
    int64_t took_ms = now_ms - began_ms;
    int64_t pause_ms = took_ms * LOOK_SHARE;
    versions->look_at_ms = now_ms + (pause_ms > LOOK_EVERY_MS ? pause_ms : LOOK_EVERY_MS);
    versions->doubt_at_ms = now_ms + took_ms * DOUBT_SHARE;
}

bool saga_versions_ready(struct runtime *runtime, void *context)
{
    struct saga_versions *versions = context;
    if (!parts_ready(runtime, versions->parts)) {
        return false;
    }
    int64_t due_ms = versions->lacking ? versions->doubt_at_ms : versions->look_at_ms;
    if (runtime_monotonic_ms() >= due_ms) {
        look(runtime, versions);
    }
    return !versions->lacking;
}
