// SPDX-License-Identifier: Apache-2.0
// A loop that counts the sagas that are missing and those that are parked.
#include "watch.h"

#include <stdlib.h>

#include "base/backoff.h"
#include "infrastructure/postgres/saga_watch.h"
#include "infrastructure/telemetry/log.h"
#include "saga_metrics.h"

enum {
    PAUSE_MS = 30000, // between two looks of whatever process
    AGAIN_MS = 1000,  // never sooner
    ROWS_MAX = 50000, // of the log a look: a tenth of a second of PostgreSQL
    ROWS_MIN = 500,
    ARENA_BLOCK = 16 * 1024,
    ARENA_MAX = 1024 * 1024,
    STALE_S = 300, // looks that are older tell nothing
    BACKOFF_FIRST_MS = 1000,
    BACKOFF_LIMIT_MS = PAUSE_MS,
};

struct loop {
    struct runtime *runtime;
    const struct saga_watch *watch;
    struct arena arena;
    struct backoff backoff;
    struct saga_pace pace;
    int due_ms;    // until somebody should look again
    int32_t age_s; // of the oldest of the looks that are told
    bool unknown;  // another process is at the first look ever
};

static void note_turn(struct loop *loop, int32_t age_s, int32_t due_ms)
{
    loop->unknown = loop->unknown || age_s < 0;
    loop->age_s = age_s > loop->age_s ? age_s : loop->age_s;
    loop->due_ms = due_ms < loop->due_ms ? due_ms : loop->due_ms;
}

// All versions of a definition start on the events of the newest.
static enum status look_for_missing(struct loop *loop, struct saga_watched *watched)
{
    const struct saga_definitions *definitions = loop->watch->definitions;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < definitions->count && status == STATUS_OK; i++) {
        const struct saga_definition *definition = &definitions->items[i];
        if (saga_definitions_newest(definitions, definition->name) != definition) {
            continue;
        }
        struct saga_gap gap = {.count = 0};
        status = saga_watch_look(loop->watch->parts->postgres, definition,
                                 definition->steps[0].forward.timeout_s, &loop->pace, &loop->arena,
                                 &gap);
        watched->missing += gap.count;
        watched->behind_s = gap.behind_s > watched->behind_s ? gap.behind_s : watched->behind_s;
        note_turn(loop, gap.age_s, gap.due_ms);
    }
    return status;
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

static enum status look_for_parked(struct loop *loop, struct saga_watched *watched)
{
    struct saga_parked parked = {.count = 0};
    enum status status =
        saga_watch_parked(loop->watch->parts->postgres, asks_that_park(loop->watch->definitions),
                          &loop->pace, &loop->arena, &parked);
    watched->parked = parked.count;
    note_turn(loop, parked.age_s, parked.due_ms);
    return status;
}

// A look that took too long is tried again over half as many rows.
static void set_next_rows(struct loop *loop, enum status status)
{
    int32_t rows = loop->pace.rows_max;
    if (status == STATUS_OK) {
        loop->pace.rows_max = rows < ROWS_MAX / 2 ? rows * 2 : ROWS_MAX;
    } else {
        loop->pace.rows_max = rows / 2 > ROWS_MIN ? rows / 2 : ROWS_MIN;
    }
}

// A look of another process that does not come to its end (its commit waits for a standby) is no
// look: what it found before is too old.
static enum status look_for_all(struct loop *loop, struct saga_watched *watched)
{
    loop->due_ms = PAUSE_MS;
    loop->age_s = 0;
    loop->unknown = false;
    enum status status = look_for_missing(loop, watched);
    if (status == STATUS_OK) {
        status = look_for_parked(loop, watched);
    }
    set_next_rows(loop, status);
    return status == STATUS_OK && loop->age_s > STALE_S ? STATUS_TIMEOUT : status;
}

static void look(struct loop *loop)
{
    struct saga_watched watched = {.missing = 0};
    arena_reset(&loop->arena);
    enum status status = look_for_all(loop, &watched);
    if (status != STATUS_OK) {
        saga_metrics_not_watched();
        log_line(LOG_WARNING, "the sagas could not be counted",
                 log_text("cause", status_text(status)));
        loop->due_ms = backoff_next_ms(&loop->backoff, runtime_random());
        return;
    }
    if (!loop->unknown) {
        saga_metrics_watched(&watched);
    }
    backoff_reset(&loop->backoff);
    loop->due_ms = loop->due_ms > AGAIN_MS ? loop->due_ms : AGAIN_MS;
}

static void wait_until_ready(struct loop *loop)
{
    while (!runtime_stopping(loop->runtime) && !parts_ready(loop->runtime, loop->watch->parts)) {
        (void)runtime_sleep(loop->runtime, backoff_next_ms(&loop->backoff, runtime_random()));
    }
    backoff_reset(&loop->backoff);
}

int saga_watch_run(struct runtime *runtime, void *context)
{
    struct loop loop = {.runtime = runtime,
                        .watch = context,
                        .backoff = {BACKOFF_FIRST_MS, BACKOFF_LIMIT_MS, 0},
                        .pace = {.pause_ms = PAUSE_MS, .rows_max = ROWS_MAX}};
    arena_init(&loop.arena, ARENA_BLOCK, ARENA_MAX);
    wait_until_ready(&loop);
    while (!runtime_stopping(runtime)) {
        look(&loop);
        (void)runtime_sleep(runtime, loop.due_ms);
    }
    arena_free(&loop.arena);
    return EXIT_SUCCESS;
}
