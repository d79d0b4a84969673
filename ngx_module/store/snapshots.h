// SPDX-License-Identifier: Apache-2.0
// Keeps snapshots of streams that were long to read, behind the answers: nobody waits for them, and
// what finds no room is dropped, to be made again by whoever reads the stream next.
#pragma once

#include "observe/metrics.h"
#include "store/pool.h"

struct ngx_http_comanda_snapshots;

struct ngx_http_comanda_snapshot_metrics {
    struct ngx_http_comanda_metric *saved;
    struct ngx_http_comanda_metric *dropped; // no room, or no session
    struct ngx_http_comanda_metric *failed;
};

// While the configuration is read.
void ngx_http_comanda_snapshots_declare(ngx_conf_t *cf,
                                        struct ngx_http_comanda_snapshot_metrics *metrics);

// In a worker's init_process; NULL: no memory. metrics stay for the worker's life.
struct ngx_http_comanda_snapshots *ngx_http_comanda_snapshots_new(
    ngx_cycle_t *cycle, struct ngx_http_comanda_postgres *postgres,
    const struct ngx_http_comanda_snapshot_metrics *metrics);

// At the worker's end, when no call is on its way any more.
void ngx_http_comanda_snapshots_free(struct ngx_http_comanda_snapshots *snapshots);

// Copies what it takes. One that is about as new as another on its way is passed over.
void ngx_http_comanda_snapshots_save(struct ngx_http_comanda_snapshots *snapshots,
                                     const struct snapshot *list, size_t count);
