// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms in shared memory: each process adds to cells of its own slot
// without locks, a scrape sums all slots. They survive reload, since cells are found by name,
// unless so much more is declared that their zone grows: then they start at zero.
//
// Everything is declared while the configuration is read; nothing is added at run time.
#pragma once

#include "base/buffer.h"
#include "core/comanda.h"

extern ngx_module_t ngx_http_comanda_metrics_module;

struct ngx_http_comanda_metric;

// name and help: literals. labels: `command="ordering.place_order",outcome="accepted"`, or empty;
// copied. The same name and labels give the same metric. NULL: no memory.
struct ngx_http_comanda_metric *ngx_http_comanda_counter(ngx_conf_t *cf, const char *name,
                                                         const char *help, struct str labels);
struct ngx_http_comanda_metric *ngx_http_comanda_gauge(ngx_conf_t *cf, const char *name,
                                                       const char *help, struct str labels);

// bounds: upper bounds in rising order, in the unit observed; shown divided by `scale` (1000000
// when microseconds are observed and seconds are shown).
struct ngx_http_comanda_metric *ngx_http_comanda_histogram(ngx_conf_t *cf, const char *name,
                                                           const char *help, struct str labels,
                                                           const int64_t *bounds,
                                                           ngx_uint_t bound_count, int64_t scale);

// All four bear NULL.
void ngx_http_comanda_metric_add(struct ngx_http_comanda_metric *metric, int64_t n);
void ngx_http_comanda_metric_set(struct ngx_http_comanda_metric *metric, int64_t value);
// A gauge of what the processes know together, whoever says it; it is set so alone.
void ngx_http_comanda_metric_set_for_all(struct ngx_http_comanda_metric *metric, int64_t value);
void ngx_http_comanda_metric_observe(struct ngx_http_comanda_metric *metric, int64_t value);

// A bound for the text below.
size_t ngx_http_comanda_metrics_bytes_max(ngx_http_request_t *r);

// All of them as Prometheus text (exposition format 0.0.4); what does not fit sets out->status.
void ngx_http_comanda_metrics_write(ngx_http_request_t *r, struct buffer *out);
