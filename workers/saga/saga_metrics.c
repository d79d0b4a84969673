// SPDX-License-Identifier: Apache-2.0
// What the saga daemon counts: sagas by what became of them, the parked, the missing, and
// those whose definition is not loaded.
#include "saga_metrics.h"

#include "infrastructure/telemetry/metrics.h"

static const struct metric_family sagas_total = {
    .kind = METRIC_COUNTER,
    .name = "comanda_sagas_total",
    .help = "Sagas by what became of them; each is started once and completed or compensated once.",
};
static const struct metric_family sagas_parked = {
    .kind = METRIC_GAUGE,
    .name = "comanda_sagas_parked",
    .help = "Sagas that wait for a late answer or a person, or have asked without limit for long; "
            "no value while they could not be counted.",
};
static const struct metric_family sagas_missing = {
    .kind = METRIC_GAUGE,
    .name = "comanda_sagas_missing",
    .help = "Events older than a step's timeout that should have started a saga and have not; no "
            "value while they could not be counted.",
};
static const struct metric_family watch_behind = {
    .kind = METRIC_GAUGE,
    .name = "comanda_sagas_watch_behind_seconds",
    .help = "How much of the log has yet to be looked at for events that should have started a "
            "saga; no value while it could not be looked at.",
};
static const struct metric_family looks_failed = {
    .kind = METRIC_COUNTER,
    .name = "comanda_sagas_look_failures_total",
    .help = "Looks for missing and parked sagas that PostgreSQL did not answer.",
};

static const struct metric_family sagas_not_loaded = {
    .kind = METRIC_GAUGE,
    .name = "comanda_sagas_not_loaded",
    .help = "Running sagas whose version of the definition this process has not.",
};

static const struct metric_family timers_put_off = {
    .kind = METRIC_COUNTER,
    .name = "comanda_timers_put_off_total",
    .help = "Timers of steps that were put off, since their command or its reply still waits.",
};

static const char *const outcomes[] = {"started", "completed", "compensating", "compensated",
                                       "parked",  "retried",   "aborted"};
enum { OUTCOMES = sizeof outcomes / sizeof *outcomes };

static struct metric *series(size_t outcome)
{
    return metric_of(&sagas_total, "outcome", outcomes[outcome], NULL);
}

void saga_metrics_start(void)
{
    for (size_t i = 0; i < OUTCOMES; i++) {
        metric_add(series(i), 0);
    }
    metric_add(metric_of(&looks_failed, NULL), 0);
    saga_metrics_put_off(0);
    saga_metrics_not_loaded(0);
}

void saga_metrics_count(const struct message_result *results, size_t count)
{
    int64_t counted[OUTCOMES] = {0};
    for (size_t at = 0; at < count; at++) {
        for (size_t i = 0; i < OUTCOMES; i++) {
            counted[i] += results[at].outcome == MESSAGE_HANDLED &&
                          str_eq(results[at].label, str_from(outcomes[i]));
        }
    }
    for (size_t i = 0; i < OUTCOMES; i++) {
        if (counted[i] > 0) {
            metric_add(series(i), counted[i]);
        }
    }
}

void saga_metrics_watched(const struct saga_watched *watched)
{
    metric_set(metric_of(&sagas_parked, NULL), watched->parked);
    metric_set(metric_of(&sagas_missing, NULL), watched->missing);
    metric_set(metric_of(&watch_behind, NULL), watched->behind_s);
}

void saga_metrics_not_watched(void)
{
    metric_unset(metric_of(&sagas_parked, NULL));
    metric_unset(metric_of(&sagas_missing, NULL));
    metric_unset(metric_of(&watch_behind, NULL));
    metric_add(metric_of(&looks_failed, NULL), 1);
}

void saga_metrics_put_off(size_t timers)
{
    metric_add(metric_of(&timers_put_off, NULL), (int64_t)timers);
}

void saga_metrics_not_loaded(int64_t sagas)
{
    metric_set(metric_of(&sagas_not_loaded, NULL), sagas);
}
