// SPDX-License-Identifier: Apache-2.0
// What a consumer counts: messages by queue and outcome, batches.
#include "runtime/consumer_metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "infrastructure/telemetry/metrics.h"

enum { LABELS_MAX = 32, LABEL_BYTES_MAX = 48 };

static const struct metric_family messages_total = {
    .kind = METRIC_COUNTER,
    .name = "comanda_messages_total",
    .help = "Messages taken from a queue, by what became of them.",
};
static const struct metric_family batch_messages = {
    .kind = METRIC_HISTOGRAM,
    .name = "comanda_message_batch",
    .help = "Messages handled in one batch.",
    .bounds = METRIC_SIZE_BOUNDS,
    .bound_count = METRIC_SIZE_BOUND_COUNT,
};
static const struct metric_family batch_seconds = {
    .kind = METRIC_HISTOGRAM,
    .name = "comanda_message_batch_seconds",
    .help = "Time from a batch in hand to its commit.",
    .unit = 1000000,
    .bounds = METRIC_SECONDS_BOUNDS,
    .bound_count = METRIC_SECONDS_BOUND_COUNT,
};
static const struct metric_family lanes_served = {
    .kind = METRIC_GAUGE,
    .name = "comanda_lanes",
    .help = "Lanes of its role that this process serves now.",
};
static const struct metric_family queue_age = {
    .kind = METRIC_GAUGE,
    .name = "comanda_queue_age_seconds",
    .help = "How long the messages taken up last had waited since they were recorded; 0: the queue "
            "is empty.",
    .unit = 1000000,
};

void consumer_metrics_make(struct consumer_metrics *metrics, const char *queue)
{
    *metrics = (struct consumer_metrics){
        .queue = queue,
        .retried = metric_of(&messages_total, "queue", queue, "outcome", "retried", NULL),
        .dead = metric_of(&messages_total, "queue", queue, "outcome", "dead", NULL),
        .batch_messages = metric_of(&batch_messages, "queue", queue, NULL),
        .batch_seconds = metric_of(&batch_seconds, "queue", queue, NULL),
        .age = metric_of(&queue_age, "queue", queue, NULL)};
}

struct str consumer_metrics_label(struct str label)
{
    static char labels[LABELS_MAX][LABEL_BYTES_MAX];
    static size_t count;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct str kept = STR("other");
    if (label.len == 0 || label.len >= LABEL_BYTES_MAX) {
        return label.len == 0 ? STR("handled") : kept;
    }
    (void)pthread_mutex_lock(&lock);
    size_t at = 0;
    while (at < count && !str_eq(str_from(labels[at]), label)) {
        at++;
    }
    if (at == count && count < LABELS_MAX) {
        memcpy(labels[count++], label.data, label.len);
    }
    kept = at < count ? str_from(labels[at]) : kept;
    (void)pthread_mutex_unlock(&lock);
    return kept;
}

void consumer_metrics_handled(struct consumer_metrics *metrics, struct str label)
{
    // A label is a literal or one of ours, so it has a NUL after it.
    metric_add(metric_of(&messages_total, "queue", metrics->queue, "outcome", label.data, NULL), 1);
}

void consumer_metrics_lanes(struct consumer_metrics *metrics, size_t served)
{
    metric_set(metric_of(&lanes_served, "queue", metrics->queue, NULL), (int64_t)served);
}

void consumer_metrics_failed(struct consumer_metrics *metrics, bool dead)
{
    metric_add(dead ? metrics->dead : metrics->retried, 1);
}

void consumer_metrics_age(struct consumer_metrics *metrics, int64_t age_us)
{
    metric_set(metrics->age, age_us);
}

void consumer_metrics_batch(struct consumer_metrics *metrics, size_t messages, int64_t took_us)
{
    metric_observe(metrics->batch_messages, (int64_t)messages);
    metric_observe(metrics->batch_seconds, took_us);
}
