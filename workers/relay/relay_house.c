// SPDX-License-Identifier: Apache-2.0
// What the leading relay does for the log on the side: partitions for the months to come, and
// outlived rows taken out. In a loop and on a session of its own, so that publishing never waits.
#include "relay/relay_house.h"

#include "infrastructure/telemetry/log.h"

enum {
    TICK_MS = 1000,
    UPKEEP_MS = 3600 * 1000,
    TRIM_MS = 60 * 1000,
    AGAIN_MS = 60 * 1000, // after a failure
    TRIM_ROWS = 10000,
};

static int64_t upkeep(struct relay_house *house)
{
    enum status status = relay_lease_upkeep(house->lease);
    if (status != STATUS_OK) {
        log_line(LOG_WARNING, "partitions could not be made ahead",
                 log_text("status", status_name(status)));
    }
    return status == STATUS_OK ? UPKEEP_MS : AGAIN_MS;
}

// While there is more it goes on at the next tick: 10,000 rows a second.
static int64_t trim(struct relay_house *house)
{
    int most = 0;
    enum status status = relay_lease_trim(house->lease, TRIM_ROWS, &most);
    if (status != STATUS_OK) {
        log_line(LOG_WARNING, "outlived keys could not be deleted",
                 log_text("status", status_name(status)));
        return AGAIN_MS;
    }
    return most == TRIM_ROWS ? TICK_MS : TRIM_MS;
}

int relay_house_run(struct runtime *runtime, void *context)
{
    struct relay_house *house = context;
    int64_t upkeep_at_ms = 0;
    int64_t trim_at_ms = 0;
    while (runtime_sleep(runtime, TICK_MS)) {
        if (house->leads && runtime_monotonic_ms() >= upkeep_at_ms) {
            upkeep_at_ms = runtime_monotonic_ms() + upkeep(house);
        }
        if (house->leads && runtime_monotonic_ms() >= trim_at_ms) {
            trim_at_ms = runtime_monotonic_ms() + trim(house);
        }
    }
    return 0;
}
