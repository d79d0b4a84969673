// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms in shared memory: each process adds to cells of its own slot
// without locks, a scrape sums all slots. They survive reload, since cells are found by name.
#include "observe/metrics.h"

enum {
    LAYOUT = 2,
    SLOTS = NGX_MAX_PROCESSES,
    CELLS_MIN = 512,     // of a slot
    CELLS_MAX = 1 << 20, // 8 GiB of address space; a page of metrics would have 100 MB
    BYTES_MIN = 64 * 1024,
    BYTES_A_LINE_MAX = 1024, // name, labels and value; HELP and TYPE have a metric's own
};

enum kind { COUNTER, GAUGE, HISTOGRAM };

struct ngx_http_comanda_metric {
    enum kind kind;
    struct str name;
    struct str help;
    struct str labels;
    const int64_t *bounds;
    ngx_uint_t bound_count;
    int64_t scale;
    ngx_uint_t cell; // the first of its cells; known once the zone is there
};

// Where the cells of a metric lie; entries are only added, by the master, and never move.
struct directory_entry {
    uint64_t identity;
    uint32_t cell;
    uint32_t cell_count;
};

// As large as what was declared asks for; the kernel gives pages to what is touched.
struct shared {
    uint32_t layout;
    uint32_t entry_count;
    uint32_t cell_count;
    uint32_t cells_max;      // of a slot; also of entries, since each has a cell at least
    ngx_atomic_t slots_used; // one past the highest slot that ever counted
    struct directory_entry *entries;
    int64_t *cells; // SLOTS times cells_max
};

struct main_conf {
    ngx_array_t metrics;  // of struct ngx_http_comanda_metric *
    ngx_uint_t cells;     // that they need
    ngx_shm_zone_t *zone; // NULL as long as nothing was declared
    struct shared *shared;
};

// Of this process's cycle, so that adding costs no look-up.
static struct shared *shared_now;

static ngx_uint_t cells_of(const struct ngx_http_comanda_metric *metric)
{
    return metric->kind == HISTOGRAM ? metric->bound_count + 2 : 1; // buckets, above, sum
}

static uint64_t identity_of(const struct ngx_http_comanda_metric *metric)
{
    return str_hash(metric->name) * 31 + str_hash(metric->labels);
}

static struct directory_entry *find_entry(struct shared *shared, uint64_t identity)
{
    for (uint32_t i = 0; i < shared->entry_count; i++) {
        if (shared->entries[i].identity == identity) {
            return &shared->entries[i];
        }
    }
    return NULL;
}

static struct directory_entry *add_entry(struct shared *shared, uint64_t identity, uint32_t cells)
{
    if (shared->entry_count == shared->cells_max ||
        shared->cell_count + cells > shared->cells_max) {
        return NULL;
    }
    struct directory_entry *entry = &shared->entries[shared->entry_count];
    *entry = (struct directory_entry){identity, shared->cell_count, cells};
    shared->cell_count += cells;
    ngx_memory_barrier();
    shared->entry_count++;
    return entry;
}

static ngx_int_t place(struct shared *shared, struct ngx_http_comanda_metric *metric)
{
    uint64_t identity = identity_of(metric);
    struct directory_entry *entry = find_entry(shared, identity);
    if (entry != NULL && entry->cell_count != cells_of(metric)) {
        entry->identity = 0; // its buckets have changed: begin anew
        entry = NULL;
    }
    if (entry == NULL) {
        entry = add_entry(shared, identity, (uint32_t)cells_of(metric));
    }
    if (entry == NULL) {
        return NGX_ERROR;
    }
    metric->cell = entry->cell;
    return NGX_OK;
}

// A power of two with as much room again, so that most changes of the configuration keep the zone
// and its counters: a directory only grows, since workers of an older configuration still count.
static uint32_t cells_wanted(const struct main_conf *conf)
{
    uint32_t cells = CELLS_MIN;
    while (cells < 2 * conf->cells && cells < CELLS_MAX) {
        cells *= 2;
    }
    return cells;
}

static size_t bytes_of_cells(uint32_t cells_max)
{
    return (size_t)SLOTS * cells_max * sizeof(int64_t);
}

// Pages of the slab that were never used are zero.
static struct shared *make_shared(ngx_slab_pool_t *pool, uint32_t cells_max)
{
    struct shared *shared = ngx_slab_calloc(pool, sizeof(*shared));
    if (shared == NULL) {
        return NULL;
    }
    shared->layout = LAYOUT;
    shared->cells_max = cells_max;
    shared->entries = ngx_slab_alloc(pool, cells_max * sizeof(*shared->entries));
    shared->cells = ngx_slab_alloc(pool, bytes_of_cells(cells_max));
    return shared->entries == NULL || shared->cells == NULL ? NULL : shared;
}

// Runs in the master, while the workers of the old configuration use the same cells.
static ngx_int_t init_zone(ngx_shm_zone_t *zone, void *old)
{
    struct main_conf *conf = zone->data;
    ngx_slab_pool_t *pool = (ngx_slab_pool_t *)zone->shm.addr;
    (void)old;
    if (pool->data == NULL) {
        pool->data = make_shared(pool, cells_wanted(conf));
        if (pool->data == NULL) {
            return NGX_ERROR;
        }
    }
    conf->shared = pool->data;
    if (conf->shared->layout != LAYOUT) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                      "the metrics in shared memory are of another build: restart instead of "
                      "reloading");
        return NGX_ERROR;
    }
    struct ngx_http_comanda_metric **metrics = conf->metrics.elts;
    for (ngx_uint_t i = 0; i < conf->metrics.nelts; i++) {
        if (place(conf->shared, metrics[i]) != NGX_OK) {
            ngx_log_error(
                NGX_LOG_EMERG, zone->shm.log, 0,
                "comanda: too many commands and other names of metrics have come and gone "
                "since the start: restart instead of reloading");
            return NGX_ERROR;
        }
    }
    return NGX_OK;
}

static void *create_main_conf(ngx_conf_t *cf)
{
    struct main_conf *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (conf == NULL || ngx_array_init(&conf->metrics, cf->pool, 64, sizeof(void *)) != NGX_OK) {
        return NULL;
    }
    return conf;
}

// Its size is known when all is declared.
static bool add_zone(ngx_conf_t *cf, struct main_conf *conf)
{
    ngx_str_t name = ngx_string("comanda_metrics");
    if (conf->zone == NULL) {
        conf->zone = ngx_shared_memory_add(cf, &name, 0, &ngx_http_comanda_metrics_module);
    }
    if (conf->zone == NULL) {
        return false;
    }
    conf->zone->init = init_zone;
    conf->zone->data = conf;
    return true;
}

static ngx_int_t size_zone(ngx_conf_t *cf)
{
    struct main_conf *conf =
        ngx_http_conf_get_module_main_conf(cf, ngx_http_comanda_metrics_module);
    if (conf->zone == NULL) {
        return NGX_OK;
    }
    uint32_t cells = cells_wanted(conf);
    size_t size = bytes_of_cells(cells) + cells * sizeof(struct directory_entry);
    conf->zone->shm.size = size + size / 64 + 64 * ngx_pagesize; // the slab's own part
    return NGX_OK;
}

static struct ngx_http_comanda_metric *declare(ngx_conf_t *cf,
                                               struct ngx_http_comanda_metric wanted)
{
    struct main_conf *conf =
        ngx_http_conf_get_module_main_conf(cf, ngx_http_comanda_metrics_module);
    struct ngx_http_comanda_metric **metrics = conf->metrics.elts;
    for (ngx_uint_t i = 0; i < conf->metrics.nelts; i++) {
        if (str_eq(metrics[i]->name, wanted.name) && str_eq(metrics[i]->labels, wanted.labels)) {
            return metrics[i];
        }
    }
    struct ngx_http_comanda_metric *metric = ngx_palloc(cf->pool, sizeof(*metric));
    struct ngx_http_comanda_metric **place_of = ngx_array_push(&conf->metrics);
    wanted.labels = ngx_http_comanda_copy(cf->pool, wanted.labels);
    if (metric == NULL || place_of == NULL || wanted.labels.data == NULL || !add_zone(cf, conf)) {
        return NULL;
    }
    *metric = wanted;
    *place_of = metric;
    conf->cells += cells_of(metric);
    return metric;
}

struct ngx_http_comanda_metric *ngx_http_comanda_counter(ngx_conf_t *cf, const char *name,
                                                         const char *help, struct str labels)
{
    return declare(cf, (struct ngx_http_comanda_metric){COUNTER, str_from(name), str_from(help),
                                                        labels, NULL, 0, 1, 0});
}

struct ngx_http_comanda_metric *ngx_http_comanda_gauge(ngx_conf_t *cf, const char *name,
                                                       const char *help, struct str labels)
{
    return declare(cf, (struct ngx_http_comanda_metric){GAUGE, str_from(name), str_from(help),
                                                        labels, NULL, 0, 1, 0});
}

struct ngx_http_comanda_metric *ngx_http_comanda_histogram(ngx_conf_t *cf, const char *name,
                                                           const char *help, struct str labels,
                                                           const int64_t *bounds,
                                                           ngx_uint_t bound_count, int64_t scale)
{
    return declare(cf, (struct ngx_http_comanda_metric){HISTOGRAM, str_from(name), str_from(help),
                                                        labels, bounds, bound_count, scale, 0});
}

static int64_t *cell_of(const struct ngx_http_comanda_metric *metric, ngx_uint_t offset)
{
    return &shared_now
                ->cells[(size_t)ngx_process_slot * shared_now->cells_max + metric->cell + offset];
}

static bool counts(const struct ngx_http_comanda_metric *metric)
{
    return metric != NULL && shared_now != NULL;
}

void ngx_http_comanda_metric_add(struct ngx_http_comanda_metric *metric, int64_t n)
{
    if (counts(metric)) {
        *cell_of(metric, 0) += n;
    }
}

void ngx_http_comanda_metric_set(struct ngx_http_comanda_metric *metric, int64_t value)
{
    if (counts(metric)) {
        *cell_of(metric, 0) = value;
    }
}

// Slots are summed, so one of them holds it.
void ngx_http_comanda_metric_set_for_all(struct ngx_http_comanda_metric *metric, int64_t value)
{
    if (counts(metric)) {
        shared_now->cells[metric->cell] = value;
    }
}

void ngx_http_comanda_metric_observe(struct ngx_http_comanda_metric *metric, int64_t value)
{
    if (!counts(metric)) {
        return;
    }
    ngx_uint_t bucket = 0;
    while (bucket < metric->bound_count && value > metric->bounds[bucket]) {
        bucket++;
    }
    *cell_of(metric, bucket) += 1;
    *cell_of(metric, metric->bound_count + 1) += value;
}

static int64_t sum_of(const struct shared *shared, ngx_uint_t cell)
{
    int64_t sum = 0;
    for (ngx_uint_t slot = 0; slot < shared->slots_used; slot++) {
        sum += shared->cells[slot * shared->cells_max + cell];
    }
    return sum;
}

static void zero_gauges(const struct main_conf *conf)
{
    struct ngx_http_comanda_metric **metrics = conf->metrics.elts;
    for (ngx_uint_t i = 0; i < conf->metrics.nelts; i++) {
        if (metrics[i]->kind == GAUGE) {
            ngx_http_comanda_metric_set(metrics[i], 0);
        }
    }
}

static struct main_conf *conf_of_cycle(ngx_cycle_t *cycle)
{
    return ngx_http_cycle_get_module_main_conf(cycle, ngx_http_comanda_metrics_module);
}

static void note_slot(struct shared *shared)
{
    ngx_atomic_uint_t wanted = (ngx_atomic_uint_t)ngx_process_slot + 1;
    ngx_atomic_uint_t seen = shared->slots_used;
    while (seen < wanted && !ngx_atomic_cmp_set(&shared->slots_used, seen, wanted)) {
        seen = shared->slots_used;
    }
}

// The slot may have been another process's: counters go on, gauges were its own.
static ngx_int_t init_process(ngx_cycle_t *cycle)
{
    struct main_conf *conf = conf_of_cycle(cycle);
    if (conf != NULL && conf->shared != NULL &&
        (ngx_process == NGX_PROCESS_WORKER || ngx_process == NGX_PROCESS_SINGLE)) {
        shared_now = conf->shared;
        note_slot(shared_now);
        zero_gauges(conf);
    }
    return NGX_OK;
}

static void exit_process(ngx_cycle_t *cycle)
{
    struct main_conf *conf = conf_of_cycle(cycle);
    if (conf != NULL && shared_now != NULL) {
        zero_gauges(conf);
    }
}

static void write_labels(struct buffer *out, struct str labels, const char *more)
{
    if (labels.len > 0 || more[0] != '\0') {
        buffer_printf(out, "{%.*s%s%s}", STR_FMT(labels),
                      labels.len > 0 && more[0] != '\0' ? "," : "", more);
    }
}

static void write_scaled(struct buffer *out, int64_t value, int64_t scale)
{
    if (scale == 1) {
        buffer_printf(out, " %lld\n", (long long)value);
    } else {
        buffer_printf(out, " %.6f\n", (double)value / (double)scale);
    }
}

static void write_histogram(struct buffer *out, const struct shared *shared,
                            const struct ngx_http_comanda_metric *metric)
{
    int64_t seen = 0;
    for (ngx_uint_t i = 0; i <= metric->bound_count; i++) {
        char le[48] = "le=\"+Inf\"";
        if (i < metric->bound_count) {
            (void)snprintf(le, sizeof(le), "le=\"%g\"",
                           (double)metric->bounds[i] / (double)metric->scale);
        }
        seen += sum_of(shared, metric->cell + i);
        buffer_printf(out, "%.*s_bucket", STR_FMT(metric->name));
        write_labels(out, metric->labels, le);
        write_scaled(out, seen, 1);
    }
    buffer_printf(out, "%.*s_sum", STR_FMT(metric->name));
    write_labels(out, metric->labels, "");
    write_scaled(out, sum_of(shared, metric->cell + metric->bound_count + 1), metric->scale);
    buffer_printf(out, "%.*s_count", STR_FMT(metric->name));
    write_labels(out, metric->labels, "");
    write_scaled(out, seen, 1);
}

static void write_metric(struct buffer *out, const struct shared *shared,
                         const struct ngx_http_comanda_metric *metric)
{
    if (metric->kind == HISTOGRAM) {
        write_histogram(out, shared, metric);
        return;
    }
    buffer_add(out, metric->name);
    write_labels(out, metric->labels, "");
    write_scaled(out, sum_of(shared, metric->cell), 1);
}

// Metrics of one name must stand together, in the order in which their names were declared.
static void write_family(struct buffer *out, const struct main_conf *conf, ngx_uint_t first)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    struct ngx_http_comanda_metric **metrics = conf->metrics.elts;
    struct str name = metrics[first]->name;
    for (ngx_uint_t i = 0; i < first; i++) {
        if (str_eq(metrics[i]->name, name)) {
            return; // written with the first of its name
        }
    }
    buffer_printf(out, "# HELP %.*s %.*s\n# TYPE %.*s %s\n", STR_FMT(name),
                  STR_FMT(metrics[first]->help), STR_FMT(name), types[metrics[first]->kind]);
    for (ngx_uint_t i = first; i < conf->metrics.nelts; i++) {
        if (str_eq(metrics[i]->name, name)) {
            write_metric(out, conf->shared, metrics[i]);
        }
    }
}

size_t ngx_http_comanda_metrics_bytes_max(ngx_http_request_t *r)
{
    const struct main_conf *conf =
        ngx_http_get_module_main_conf(r, ngx_http_comanda_metrics_module);
    return BYTES_MIN + (conf->metrics.nelts + conf->cells) * BYTES_A_LINE_MAX;
}

void ngx_http_comanda_metrics_write(ngx_http_request_t *r, struct buffer *out)
{
    const struct main_conf *conf =
        ngx_http_get_module_main_conf(r, ngx_http_comanda_metrics_module);
    for (ngx_uint_t i = 0; i < conf->metrics.nelts; i++) {
        write_family(out, conf, i);
    }
}

static ngx_http_module_t module_context = {
    .postconfiguration = size_zone,
    .create_main_conf = create_main_conf,
};

ngx_module_t ngx_http_comanda_metrics_module = {
    NGX_MODULE_V1,
    .ctx = &module_context,
    .type = NGX_HTTP_MODULE,
    .init_process = init_process,
    .exit_process = exit_process,
    NGX_MODULE_V1_PADDING,
};
