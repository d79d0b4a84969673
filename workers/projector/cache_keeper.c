// SPDX-License-Identifier: Apache-2.0
// Empties the cache after it was away, so that no document in it stays older than the read
// schema's.
#include "cache_keeper.h"

#include "infrastructure/postgres/cache_debt.h"
#include "infrastructure/telemetry/log.h"
#include "infrastructure/telemetry/metrics.h"

enum { LOOK_EVERY_MS = 2000 };

static const struct metric_family emptied_total = {
    METRIC_COUNTER,
    "comanda_cache_emptied_total",
    "How often the cache was emptied after it had missed a document",
    0,
    NULL,
    0};

int cache_keeper_run(struct runtime *runtime, void *cache_keeper)
{
    struct cache_keeper *keeper = cache_keeper;
    struct metric *emptied = metric_of(&emptied_total, NULL);
    while (runtime_sleep(runtime, LOOK_EVERY_MS)) {
        bool settled = false;
        // Either server away: the note stays, and the next look tries again.
        enum status status = cache_debt_settle(keeper->postgres, keeper->cache, &settled);
        if (status == STATUS_OK && settled) {
            metric_add(emptied, 1);
            log_line(LOG_INFO, "emptied the cache, which had missed documents while it was away");
        }
    }
    return 0;
}
