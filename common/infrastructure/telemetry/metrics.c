// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms of a daemon, and their Prometheus text. Updates are atomic adds;
// a scrape may run in another thread.
#include "infrastructure/telemetry/metrics.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "infrastructure/telemetry/process_metrics.h"

struct metric {
    const struct metric_family *family;
    char labels[METRIC_LABELS_MAX]; // name="value",… as they are shown
    _Atomic int64_t value;          // histogram: the sum
    _Atomic int64_t count;
    atomic_bool unset;                               // has no value now
    _Atomic int64_t buckets[METRIC_BUCKETS_MAX + 1]; // each its own; the last is +Inf
};

// Series are only ever added, under the lock; a reader of [0, count) needs none.
static struct metric *series[METRICS_MAX];
static _Atomic size_t series_count;
static _Atomic int64_t dropped;
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;
static struct metric overflow;

const int64_t METRIC_SECONDS_BOUNDS[METRIC_SECONDS_BOUND_COUNT] = {
    100, 300, 1000, 3000, 10000, 30000, 100000, 300000, 1000000, 3000000, 10000000, 30000000};
const int64_t METRIC_SIZE_BOUNDS[METRIC_SIZE_BOUND_COUNT] = {1,  2,   4,   8,   16,  32,
                                                             64, 128, 256, 512, 1024};

struct label_text {
    char bytes[METRIC_LABELS_MAX];
    size_t len;
    bool full;
};

static void add_label_byte(struct label_text *labels, char byte)
{
    if (labels->len + 1 >= sizeof(labels->bytes)) {
        labels->full = true;
        return;
    }
    labels->bytes[labels->len++] = byte;
}

static void add_label(struct label_text *labels, const char *name, const char *value)
{
    if (labels->len > 0) {
        add_label_byte(labels, ',');
    }
    for (const char *at = name; *at != '\0'; at++) {
        add_label_byte(labels, *at);
    }
    add_label_byte(labels, '=');
    add_label_byte(labels, '"');
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '\\' || *at == '"' || *at == '\n') {
            add_label_byte(labels, '\\');
        }
        add_label_byte(labels, *at == '\n' ? 'n' : *at);
    }
    add_label_byte(labels, '"');
}

static struct metric *find(const struct metric_family *family, const char *labels)
{
    size_t count = atomic_load_explicit(&series_count, memory_order_acquire);
    for (size_t at = 0; at < count; at++) {
        if (series[at]->family == family && strcmp(series[at]->labels, labels) == 0) {
            return series[at];
        }
    }
    return NULL;
}

static struct metric *make(const struct metric_family *family, const struct label_text *labels)
{
    size_t count = atomic_load_explicit(&series_count, memory_order_relaxed);
    struct metric *made = count < METRICS_MAX && !labels->full ? calloc(1, sizeof(*made)) : NULL;
    if (made == NULL) {
        atomic_fetch_add(&dropped, 1);
        return &overflow;
    }
    made->family = family;
    memcpy(made->labels, labels->bytes, labels->len);
    series[count] = made;
    atomic_store_explicit(&series_count, count + 1, memory_order_release);
    return made;
}

struct metric *metric_of(const struct metric_family *family, ...)
{
    struct label_text labels = {.len = 0};
    va_list args;
    va_start(args, family);
    for (const char *name = va_arg(args, const char *); name != NULL;
         name = va_arg(args, const char *)) {
        add_label(&labels, name, va_arg(args, const char *));
    }
    va_end(args);
    struct metric *known = find(family, labels.bytes);
    if (known != NULL) {
        return known;
    }
    (void)pthread_mutex_lock(&adding);
    known = find(family, labels.bytes);
    known = known != NULL ? known : make(family, &labels);
    (void)pthread_mutex_unlock(&adding);
    return known;
}

void metric_add(struct metric *metric, int64_t amount)
{
    atomic_fetch_add_explicit(&metric->value, amount, memory_order_relaxed);
}

void metric_set(struct metric *metric, int64_t value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
    atomic_store_explicit(&metric->unset, false, memory_order_release);
}

void metric_unset(struct metric *metric)
{
    atomic_store_explicit(&metric->unset, true, memory_order_relaxed);
    atomic_store_explicit(&metric->value, 0, memory_order_relaxed);
}

void metric_observe(struct metric *metric, int64_t value)
{
    size_t bucket = 0;
    size_t bounds = metric->family == NULL ? 0 : metric->family->bound_count;
    while (bucket < bounds && value > metric->family->bounds[bucket]) {
        bucket++;
    }
    atomic_fetch_add_explicit(&metric->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->value, value, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->count, 1, memory_order_relaxed);
}

int64_t metric_value(const struct metric *metric)
{
    bool histogram = metric->family != NULL && metric->family->kind == METRIC_HISTOGRAM;
    return atomic_load_explicit(histogram ? &metric->count : &metric->value, memory_order_relaxed);
}

static const char *kind_name(enum metric_kind kind)
{
    switch (kind) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_HISTOGRAM:
        return "histogram";
    }
    return "untyped";
}

static void add_value(struct buffer *out, int64_t unit, int64_t value)
{
    if (unit <= 1) {
        buffer_add_int64(out, value);
    } else {
        buffer_printf(out, "%.9g", (double)value / (double)unit);
    }
}

static void render_plain(struct buffer *out, const struct metric *metric)
{
    bool labelled = metric->labels[0] != '\0';
    buffer_printf(out, labelled ? "%s{%s} " : "%s%s ", metric->family->name, metric->labels);
    add_value(out, metric->family->unit, metric_value(metric));
    buffer_add_char(out, '\n');
}

static void render_bucket(struct buffer *out, const struct metric *metric, size_t bucket,
                          int64_t cumulated)
{
    const struct metric_family *family = metric->family;
    buffer_printf(out, "%s_bucket{%s%sle=\"", family->name, metric->labels,
                  metric->labels[0] == '\0' ? "" : ",");
    if (bucket == family->bound_count) {
        buffer_add(out, STR("+Inf"));
    } else {
        add_value(out, family->unit, family->bounds[bucket]);
    }
    buffer_printf(out, "\"} %lld\n", (long long)cumulated);
}

// The count is the sum of the buckets, so that a scrape in the middle of an update is consistent.
static void render_histogram(struct buffer *out, const struct metric *metric)
{
    const struct metric_family *family = metric->family;
    bool labelled = metric->labels[0] != '\0';
    int64_t cumulated = 0;
    for (size_t bucket = 0; bucket <= family->bound_count; bucket++) {
        cumulated += atomic_load_explicit(&metric->buckets[bucket], memory_order_relaxed);
        render_bucket(out, metric, bucket, cumulated);
    }
    buffer_printf(out, labelled ? "%s_sum{%s} " : "%s_sum%s ", family->name, metric->labels);
    add_value(out, family->unit, atomic_load_explicit(&metric->value, memory_order_relaxed));
    buffer_printf(out, labelled ? "\n%s_count{%s} " : "\n%s_count%s ", family->name,
                  metric->labels);
    buffer_printf(out, "%lld\n", (long long)cumulated);
}

static bool shown_before(size_t at)
{
    for (size_t before = 0; before < at; before++) {
        if (series[before]->family == series[at]->family) {
            return true;
        }
    }
    return false;
}

static void render_family(struct buffer *out, size_t first, size_t count)
{
    const struct metric_family *family = series[first]->family;
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
                  kind_name(family->kind));
    for (size_t at = first; at < count; at++) {
        if (series[at]->family != family ||
            atomic_load_explicit(&series[at]->unset, memory_order_acquire)) {
            continue;
        }
        if (family->kind == METRIC_HISTOGRAM) {
            render_histogram(out, series[at]);
        } else {
            render_plain(out, series[at]);
        }
    }
}

void metrics_render(struct buffer *out)
{
    size_t count = atomic_load_explicit(&series_count, memory_order_acquire);
    for (size_t at = 0; at < count; at++) {
        if (!shown_before(at)) {
            render_family(out, at, count);
        }
    }
    buffer_printf(out,
                  "# HELP comanda_metrics_dropped_total Series that found no room.\n"
                  "# TYPE comanda_metrics_dropped_total counter\n"
                  "comanda_metrics_dropped_total %lld\n",
                  (long long)atomic_load(&dropped));
    process_metrics_render(out);
}
