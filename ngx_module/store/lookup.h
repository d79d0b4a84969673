// SPDX-License-Identifier: Apache-2.0
// Documents of other contexts that decisions need, such as a catalogue's prices: cached in this
// worker for a second at most, what is missing fetched for all requests at once.
#pragma once

#include "domain/bounded_context.h"
#include "store/read.h"
#include "store/snapshots.h"

enum { LOOKUP_TTL_MS = 1000 };

struct ngx_http_comanda_lookups;

// One command's lookups.
struct ngx_http_comanda_lookup {
    ngx_queue_t link;
    const struct lookup_keys *keys;
    // rows: in the order of the keys, valid until it returns; NULL unless STATUS_OK.
    void (*done)(struct ngx_http_comanda_lookup *lookup, enum status status,
                 const struct lookup_rows *rows);
    bool waiting;
};

// In a worker's init_process; NULL: no memory. tenant: whose documents they are.
struct ngx_http_comanda_lookups *ngx_http_comanda_lookups_new(
    ngx_cycle_t *cycle, struct ngx_http_comanda_reads *reads,
    struct ngx_http_comanda_snapshots *snapshots, struct str tenant);

// At the worker's end.
void ngx_http_comanda_lookups_free(struct ngx_http_comanda_lookups *lookups);

// True: all are in the cache, rows is filled and valid until the loop turns.
bool ngx_http_comanda_lookup_now(struct ngx_http_comanda_lookups *lookups,
                                 const struct lookup_keys *keys, struct lookup_rows *rows);

// STATUS_OK: done will be called, later. Else it will not.
enum status ngx_http_comanda_lookup_start(struct ngx_http_comanda_lookups *lookups,
                                          struct ngx_http_comanda_lookup *lookup) MUST_CHECK;

// After it `done` will not be called.
void ngx_http_comanda_lookup_cancel(struct ngx_http_comanda_lookup *lookup);
