// SPDX-License-Identifier: Apache-2.0
// What an edge stores in and reads from, one set for the whole of http {}: the composition root of
// this module's drivers.
#pragma once

#include "store/backlog.h"
#include "store/batch.h"
#include "store/lookup.h"
#include "store/pool.h"
#include "store/read.h"
#include "store/redis.h"
#include "store/snapshots.h"

extern ngx_module_t ngx_http_comanda_module;

struct ngx_http_comanda_store {
    struct str tenant;                          // comanda_tenant; "main" unless said
    struct ngx_http_comanda_postgres *postgres; // NULL: no comanda_postgres stands in the file
    struct ngx_http_comanda_redis *redis;     // NULL: no comanda_redis, everything from PostgreSQL
    struct ngx_http_comanda_backlog *backlog; // NULL: no comanda_shed by=backlog
    struct ngx_http_comanda_batch_metrics batch_metrics;
    struct ngx_http_comanda_snapshot_metrics snapshot_metrics;

    // Of this worker; NULL without a comanda_postgres.
    struct ngx_http_comanda_batches *batches;
    struct ngx_http_comanda_reads *command_reads; // what commands decide on; probes
    struct ngx_http_comanda_reads *reads;         // what clients ask for
    struct ngx_http_comanda_snapshots *snapshots;
    struct ngx_http_comanda_lookups *lookups;
};

// While the configuration is read; never NULL within http {}.
struct ngx_http_comanda_store *ngx_http_comanda_store(ngx_conf_t *cf);

struct ngx_http_comanda_store *ngx_http_comanda_store_of(ngx_http_request_t *r);
