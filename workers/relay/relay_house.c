// SPDX-License-Identifier: Apache-2.0
// What the leading relay does for the log on the side: partitions for the months to come, and
// outlived rows taken out. In a loop and on a session of its own, so that publishing never waits.
#include "relay/relay_house.h"

#include "base/backoff.h"
#include "infrastructure/telemetry/log.h"
#include "relay/relay_metrics.h"

enum {
    TICK_MS = 1000,
    UPKEEP_MS = 3600 * 1000,
    TRIM_MS = 60 * 1000,
    AGAIN_MS = 60 * 1000, // after a failure, at most
    TRIM_ROWS = 10000,
};

struct upkeep {
    struct postgres *postgres;
    struct backoff backoff; // how long those who hold a table are left alone
    bool told;              // in the log, until all has been done
};

static void tell(struct upkeep *upkeep, enum status status)
{
    relay_metrics_upkeep_failed();
    if (!upkeep->told) {
        log_line(LOG_WARNING,
                 "partitions wait to be made or dropped; it is tried again for as long as it takes",
                 log_text("status", status_name(status)),
                 log_text("cause", postgres_error(upkeep->postgres)));
    }
    upkeep->told = true;
}

// One piece a tick, so that between two the commands that queued up are done.
static int64_t keep(struct upkeep *upkeep)
{
    enum upkeep_did did = UPKEEP_NOTHING;
    struct upkeep_undone undone;
    enum status status = upkeep_step(upkeep->postgres, &did);
    if (status != STATUS_OK) {
        tell(upkeep, status);
    }
    enum status counted = upkeep_read_undone(upkeep->postgres, &undone);
    if (counted == STATUS_OK) {
        relay_metrics_undone(&undone);
    }
    if (status != STATUS_OK || counted != STATUS_OK) {
        return backoff_next_ms(&upkeep->backoff, runtime_random());
    }
    backoff_reset(&upkeep->backoff);
    upkeep->told = false;
    return did == UPKEEP_NOTHING ? UPKEEP_MS : TICK_MS;
}

// While there is more it goes on at the next tick: 10,000 rows a second.
static int64_t trim(struct postgres *postgres)
{
    int most = 0;
    enum status status = upkeep_trim(postgres, TRIM_ROWS, &most);
    if (status != STATUS_OK) {
        relay_metrics_upkeep_failed();
        log_line(LOG_WARNING, "outlived keys could not be deleted",
                 log_text("status", status_name(status)),
                 log_text("cause", postgres_error(postgres)));
        return AGAIN_MS;
    }
    return most == TRIM_ROWS ? TICK_MS : TRIM_MS;
}

int relay_house_run(struct runtime *runtime, void *context)
{
    struct relay_house *house = context;
    struct upkeep upkeep = {.postgres = house->postgres, .backoff = {TICK_MS, AGAIN_MS, 0}};
    const struct upkeep_undone nothing = {0};
    int64_t keep_at_ms = 0;
    int64_t trim_at_ms = 0;
    bool led = false;
    while (runtime_sleep(runtime, TICK_MS)) {
        if (!house->leads) {
            if (led) {
                relay_metrics_undone(&nothing); // another one tells it now
            }
            led = false;
            continue;
        }
        led = true;
        if (runtime_monotonic_ms() >= keep_at_ms) {
            keep_at_ms = runtime_monotonic_ms() + keep(&upkeep);
        }
        if (runtime_monotonic_ms() >= trim_at_ms) {
            trim_at_ms = runtime_monotonic_ms() + trim(house->postgres);
        }
    }
    return 0;
}
