// SPDX-License-Identifier: Apache-2.0
// What a consumer counts: messages by queue and outcome, batches.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct metric;

struct consumer_metrics {
    const char *queue;
    struct metric *retried;
    struct metric *dead;
    struct metric *batch_messages;
    struct metric *batch_seconds;
    struct metric *age;
};

void consumer_metrics_make(struct consumer_metrics *metrics, const char *queue);

// A copy of a reaction's label that lives for ever: one of the first 32 seen, else "other".
struct str consumer_metrics_label(struct str label);

// label: from consumer_metrics_label.
void consumer_metrics_handled(struct consumer_metrics *metrics, struct str label);
void consumer_metrics_failed(struct consumer_metrics *metrics, bool dead);
void consumer_metrics_lanes(struct consumer_metrics *metrics, size_t served);
// How long what was taken up last had waited since it was recorded; 0: nothing waits.
void consumer_metrics_age(struct consumer_metrics *metrics, int64_t age_us);
void consumer_metrics_batch(struct consumer_metrics *metrics, size_t messages, int64_t took_us);
