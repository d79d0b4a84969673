// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms of a daemon, and their Prometheus text. Updates are atomic adds;
// a scrape may run in another thread.
//
// Series are made at start (or rarely), each once: family, labels → a handle that lives for ever.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/str.h"

enum {
    METRICS_MAX = 512, // series; past it a handle is made that nobody scrapes, counted by
                       // comanda_metrics_dropped_total
    METRIC_LABELS_MAX = 256,
    METRIC_BUCKETS_MAX = 16
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

// What a name means; one a name, static.
struct metric_family {
    enum metric_kind kind;
    const char *name;      // "comanda_messages_total"
    const char *help;      // a sentence
    int64_t unit;          // observed units in one shown unit: 1000000 shows µs as seconds; 0 as 1
    const int64_t *bounds; // histogram: upper bounds in observed units, ascending
    size_t bound_count;
};

struct metric;

// The series of a family with these labels, made when it is new. labels: name and value in turn,
// NULL at the end: metric_of(&messages_total, "queue", queue, "outcome", "ok", NULL). Never NULL.
struct metric *metric_of(const struct metric_family *family, ...) __attribute__((sentinel));

void metric_add(struct metric *metric, int64_t amount); // counter, gauge
void metric_set(struct metric *metric, int64_t value);  // gauge
void metric_unset(struct metric *metric); // gauge: not shown until it is set again, its value is 0
void metric_observe(struct metric *metric, int64_t value);
int64_t metric_value(const struct metric *metric); // counter, gauge; a histogram's count

// Adds all families, text format 0.0.4, families together; also the process's own
// (process_resident_memory_bytes, process_cpu_seconds_total, process_open_fds,
// process_start_time_seconds).
void metrics_render(struct buffer *out);

// Buckets for seconds of work kept in µs: 100 µs to 30 s; for sizes of batches: 1 to 1024.
enum { METRIC_SECONDS_BOUND_COUNT = 12, METRIC_SIZE_BOUND_COUNT = 11 };
extern const int64_t METRIC_SECONDS_BOUNDS[METRIC_SECONDS_BOUND_COUNT];
extern const int64_t METRIC_SIZE_BOUNDS[METRIC_SIZE_BOUND_COUNT];
