// SPDX-License-Identifier: Apache-2.0
// The composition root of the edge's drivers, directive comanda_tenant, and the life of a worker.
#include "store/store.h"

#include <malloc.h>

#include "guard/shed.h"
#include "store/guard_link.h"

enum {
    TENANT_LEN_MAX = 64,
    HEAP_TRIM_BYTES = 64 * 1024 * 1024,
    HEAP_PAD_BYTES = 4 * 1024 * 1024,
    WARM_UPS = 3,
    WARM_UP_BLOCK = 16384, // bytes; three statements without a row
};

// Of this worker: what each new session runs before it serves.
static struct statement warm_ups[WARM_UPS];
static struct arena warm_up_arena;

struct ngx_http_comanda_store *ngx_http_comanda_store(ngx_conf_t *cf)
{
    return ngx_http_conf_get_module_main_conf(cf, ngx_http_comanda_module);
}

struct ngx_http_comanda_store *ngx_http_comanda_store_of(ngx_http_request_t *r)
{
    return ngx_http_get_module_main_conf(r, ngx_http_comanda_module);
}

// --- comanda_tenant ---

static const char default_tenant[] = "main";

static bool is_tenant_name(ngx_str_t name)
{
    for (size_t i = 0; i < name.len; i++) {
        u_char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) {
            return false;
        }
    }
    return name.len > 0 && name.len <= TENANT_LEN_MAX;
}

static char *set_tenant(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    struct ngx_http_comanda_store *store = data;
    ngx_str_t *words = cf->args->elts;
    if (!is_tenant_name(words[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "comanda_tenant \"%V\": give 1 to %d of a-z, 0-9, \"-\" and \"_\"",
                           &words[1], TENANT_LEN_MAX);
        return NGX_CONF_ERROR;
    }
    if (store->tenant.data != default_tenant) {
        return "stands twice: an edge has one tenant";
    }
    store->tenant = ngx_http_comanda_str(words[1]);
    return NGX_CONF_OK;
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_tenant"),
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     .set = set_tenant,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET},
    ngx_null_command,
};

// --- what comanda_shed by=postgres and by=backlog ask ---

static ngx_msec_t expected_wait(const void *data, bool high)
{
    const struct ngx_http_comanda_store *store = data;
    return store->batches == NULL ? 0 : ngx_http_comanda_batches_wait(store->batches, high);
}

static ngx_msec_t budget(const void *data)
{
    const struct ngx_http_comanda_store *store = data;
    return ngx_http_comanda_postgres_budget(store->postgres);
}

static ngx_msec_t behind(const void *data)
{
    const struct ngx_http_comanda_store *store = data;
    return store->command_reads == NULL
               ? 0
               : ngx_http_comanda_backlog_ms(store->backlog, store->command_reads);
}

static bool watch_backlog(ngx_conf_t *cf)
{
    struct ngx_http_comanda_store *store = ngx_http_comanda_store(cf);
    if (store->backlog == NULL) {
        store->backlog = ngx_http_comanda_backlog_declare(cf);
    }
    return store->backlog != NULL;
}

static bool is_declared(const void *data)
{
    const struct ngx_http_comanda_store *store = data;
    return store->postgres != NULL;
}

static void *create_main_conf(ngx_conf_t *cf)
{
    struct ngx_http_comanda_store *store = ngx_pcalloc(cf->pool, sizeof(*store));
    if (store != NULL) {
        store->tenant = str_from(default_tenant);
    }
    return store;
}

static ngx_int_t preconfigure(ngx_conf_t *cf)
{
    if (ngx_http_comanda_link_guard(cf) != NGX_OK) {
        return NGX_ERROR;
    }
    const struct ngx_http_comanda_shed_store shed = {.data = ngx_http_comanda_store(cf),
                                                     .declared = is_declared,
                                                     .wait = expected_wait,
                                                     .budget = budget,
                                                     .backlog = behind,
                                                     .watch_backlog = watch_backlog};
    ngx_http_comanda_shed_set_store(cf, &shed);
    return NGX_OK;
}

// --- the life of a worker ---

// What commands run, asked about nothing.
static bool make_warm_ups(void)
{
    static const struct stream_query query;
    static const struct uuid key;
    arena_init(&warm_up_arena, WARM_UP_BLOCK, WARM_UP_BLOCK);
    return statement_append_warm_up(&warm_up_arena, &warm_ups[0]) == STATUS_OK &&
           statement_read_streams(&query, 1, READ_ROWS_A_STREAM_MAX, &warm_up_arena,
                                  &warm_ups[1]) == STATUS_OK &&
           statement_find_keys(&key, 1, &warm_up_arena, &warm_ups[2]) == STATUS_OK;
}

// nginx frees a request's pool at its end, and glibc gives the top of the heap back to the kernel
// each time when nothing long-lived lies above it: 40 µs a request.
static void keep_heap(void)
{
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_TRIM_BYTES);
    (void)mallopt(M_TOP_PAD, HEAP_PAD_BYTES);
}

static ngx_int_t start_postgres(struct ngx_http_comanda_store *store, ngx_cycle_t *cycle)
{
    struct ngx_http_comanda_postgres *postgres = store->postgres;
    if (ngx_http_comanda_postgres_init(postgres, cycle) != NGX_OK || !make_warm_ups()) {
        return NGX_ERROR;
    }
    store->batches = ngx_http_comanda_batches_new(cycle, postgres, &store->batch_metrics);
    store->command_reads = ngx_http_comanda_reads_new(cycle, postgres, NGX_HTTP_COMANDA_COMMANDS);
    store->reads = ngx_http_comanda_reads_new(cycle, postgres, NGX_HTTP_COMANDA_READS);
    store->snapshots = ngx_http_comanda_snapshots_new(cycle, postgres, &store->snapshot_metrics);
    if (store->batches == NULL || store->command_reads == NULL || store->reads == NULL ||
        store->snapshots == NULL) {
        return NGX_ERROR;
    }
    store->lookups =
        ngx_http_comanda_lookups_new(cycle, store->command_reads, store->snapshots, store->tenant);
    if (store->lookups == NULL) {
        return NGX_ERROR;
    }
    ngx_http_comanda_postgres_open(postgres, warm_ups, WARM_UPS);
    return NGX_OK;
}

static struct ngx_http_comanda_store *store_of_cycle(ngx_cycle_t *cycle)
{
    return ngx_http_cycle_get_module_main_conf(cycle, ngx_http_comanda_module);
}

static ngx_int_t init_process(ngx_cycle_t *cycle)
{
    struct ngx_http_comanda_store *store = store_of_cycle(cycle);
    if (store == NULL || (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)) {
        return NGX_OK;
    }
    if (store->redis != NULL) {
        ngx_http_comanda_redis_start(store->redis, cycle);
    }
    if (store->postgres == NULL) {
        return NGX_OK;
    }
    keep_heap();
    return start_postgres(store, cycle);
}

static void exit_process(ngx_cycle_t *cycle)
{
    struct ngx_http_comanda_store *store = store_of_cycle(cycle);
    if (store == NULL) {
        return;
    }
    if (store->redis != NULL) {
        ngx_http_comanda_redis_shut(store->redis);
    }
    if (store->lookups == NULL) {
        return;
    }
    ngx_http_comanda_postgres_shut(store->postgres);
    if (store->backlog != NULL) {
        ngx_http_comanda_backlog_shut(store->backlog, store->command_reads);
    }
    ngx_http_comanda_batches_free(store->batches);
    ngx_http_comanda_reads_free(store->command_reads);
    ngx_http_comanda_reads_free(store->reads);
    ngx_http_comanda_snapshots_free(store->snapshots);
    ngx_http_comanda_lookups_free(store->lookups);
    arena_free(&warm_up_arena);
}

static ngx_http_module_t module_context = {
    .preconfiguration = preconfigure,
    .create_main_conf = create_main_conf,
};

ngx_module_t ngx_http_comanda_module = {
    NGX_MODULE_V1,           .ctx = &module_context,       .commands = directives,
    .type = NGX_HTTP_MODULE, .init_process = init_process, .exit_process = exit_process,
    NGX_MODULE_V1_PADDING,
};
