// SPDX-License-Identifier: Apache-2.0
// How far the relay and the queues are behind, as PostgreSQL knows it from the daemons: looked at
// when a request asks, at most once a second by all processes of nginx together.
#include "store/backlog.h"

#include "observe/metrics.h"
#include "store/store.h"

enum { LOOK_EVERY_MS = 1000, HOLDS_MS = 10000 };

// Times are of the monotonic clock, which the processes of one machine share.
struct shared {
    ngx_atomic_t looked_at_ms; // the last look began
    ngx_atomic_t heard_at_ms;
    ngx_atomic_t behind_s;
};

struct ngx_http_comanda_backlog {
    struct shared *shared;
    struct ngx_http_comanda_metric *age;
    struct ngx_http_comanda_read read; // of this worker
    bool looking;
};

static ngx_int_t init_zone(ngx_shm_zone_t *zone, void *old_data)
{
    struct ngx_http_comanda_backlog *backlog = zone->data;
    const struct ngx_http_comanda_backlog *old = old_data;
    ngx_slab_pool_t *pool = (ngx_slab_pool_t *)zone->shm.addr;
    if (old != NULL) {
        backlog->shared = old->shared;
        return NGX_OK;
    }
    if (zone->shm.exists) {
        backlog->shared = pool->data;
        return NGX_OK;
    }
    backlog->shared = ngx_slab_calloc(pool, sizeof(*backlog->shared));
    pool->data = backlog->shared;
    return backlog->shared == NULL ? NGX_ERROR : NGX_OK;
}

struct ngx_http_comanda_backlog *ngx_http_comanda_backlog_declare(ngx_conf_t *cf)
{
    ngx_str_t name = ngx_string("comanda_backlog");
    struct ngx_http_comanda_backlog *backlog = ngx_pcalloc(cf->pool, sizeof(*backlog));
    ngx_shm_zone_t *zone =
        ngx_shared_memory_add(cf, &name, 8 * ngx_pagesize, &ngx_http_comanda_module);
    if (backlog == NULL || zone == NULL) {
        return NULL;
    }
    zone->init = init_zone;
    zone->data = backlog;
    backlog->age = ngx_http_comanda_gauge(
        cf, "comanda_backlog_age_seconds",
        "How far the relay or a queue was behind when a request last asked.", STR(""));
    return backlog;
}

static void take(struct ngx_http_comanda_read *read, enum status status,
                 const struct ngx_http_comanda_read_answer *answer)
{
    struct ngx_http_comanda_backlog *backlog =
        ngx_queue_data(read, struct ngx_http_comanda_backlog, read);
    backlog->looking = false;
    if (status == STATUS_OK && answer->number >= 0) {
        backlog->shared->behind_s = (ngx_atomic_uint_t)answer->number;
        backlog->shared->heard_at_ms = ngx_current_msec;
        ngx_http_comanda_metric_set_for_all(backlog->age, answer->number);
    }
}

static void look(struct ngx_http_comanda_backlog *backlog, struct ngx_http_comanda_reads *reads)
{
    ngx_atomic_uint_t last = backlog->shared->looked_at_ms;
    bool due = last == 0 || (ngx_msec_int_t)(ngx_current_msec - last) >= LOOK_EVERY_MS;
    if (!due || backlog->looking ||
        !ngx_atomic_cmp_set(&backlog->shared->looked_at_ms, last, ngx_current_msec)) {
        return;
    }
    backlog->read = (struct ngx_http_comanda_read){.kind = READ_BACKLOG, .done = take};
    backlog->looking = ngx_http_comanda_read_start(reads, &backlog->read) == STATUS_OK;
}

ngx_msec_t ngx_http_comanda_backlog_ms(struct ngx_http_comanda_backlog *backlog,
                                       struct ngx_http_comanda_reads *reads)
{
    look(backlog, reads);
    ngx_atomic_uint_t heard = backlog->shared->heard_at_ms;
    bool holds = heard != 0 && (ngx_msec_int_t)(ngx_current_msec - heard) < HOLDS_MS;
    return holds ? (ngx_msec_t)backlog->shared->behind_s * 1000 : 0;
}

void ngx_http_comanda_backlog_shut(struct ngx_http_comanda_backlog *backlog,
                                   struct ngx_http_comanda_reads *reads)
{
    ngx_http_comanda_read_cancel(reads, &backlog->read);
    backlog->looking = false;
}
