// SPDX-License-Identifier: Apache-2.0
// What the saga daemon counts: sagas by what became of them, the parked, the missing, and
// those whose definition is not loaded.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "application/handler/handler_batch.h"

// Makes the series at 0, so that a rate over them has a beginning.
void saga_metrics_start(void);

// Counts what has been committed: started, completed, compensating, compensated, parked, retried,
// aborted.
void saga_metrics_count(const struct message_result *results, size_t count);

// Timers that were put off, since their command or its reply still waits.
void saga_metrics_put_off(size_t timers);

// Running sagas whose definition this process has not.
void saga_metrics_not_loaded(int64_t sagas);

// What a look has found: sagas parked, start events without a saga, and how far the look is behind.
struct saga_watched {
    int64_t parked;
    int64_t missing;
    int64_t behind_s;
};
void saga_metrics_watched(const struct saga_watched *watched);

// A look has failed: counted, and the gauges have no value until one succeeds.
void saga_metrics_not_watched(void);
