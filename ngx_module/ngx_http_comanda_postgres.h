// SPDX-License-Identifier: Apache-2.0
// PostgreSQL on nginx's event loop: a few connections that run one statement at a time, fed by
// sources that gather work while the connections are busy. Nothing here ever blocks.
#pragma once

#include "infrastructure/postgres/statement.h"
#include "ngx_http_comanda.h"

extern ngx_module_t ngx_http_comanda_postgres_module;

// One statement on its way. Its memory is the source's and stays until `done`.
struct ngx_http_comanda_call {
    struct statement statement;
    bool writes; // lost after it was sent: STATUS_UNKNOWN, else STATUS_UNAVAILABLE
    // Called once, for each call that was offered. result belongs to the driver and is NULL unless
    // STATUS_OK. STATUS_REFUSED: the server answered with an error, `sqlstate` says which; nothing
    // was done. STATUS_TIMEOUT: no answer in time to a call that does not write.
    void (*done)(struct ngx_http_comanda_call *call, enum status status, const PGresult *result);
    char sqlstate[6];
};

// Gathers work and gives it when a connection is free.
struct ngx_http_comanda_source {
    ngx_queue_t link;
    // The next call, or NULL: nothing is wanted now.
    struct ngx_http_comanda_call *(*offer)(struct ngx_http_comanda_source *source);
};

// In a worker's init_process. Sources are asked in turn, so that none starves another.
void ngx_http_comanda_postgres_add_source(struct ngx_http_comanda_postgres *postgres,
                                          struct ngx_http_comanda_source *source);

// Asks the sources at the end of this turn of the loop, so that what came in one turn leaves
// together.
void ngx_http_comanda_postgres_wake(struct ngx_http_comanda_postgres *postgres);

// Takes a place in the bounded queue. STATUS_FULL: too many wait already. STATUS_UNAVAILABLE: no
// connection for a while now. After STATUS_OK each place is given back by leave.
enum status ngx_http_comanda_postgres_enter(struct ngx_http_comanda_postgres *postgres) MUST_CHECK;
void ngx_http_comanda_postgres_leave(struct ngx_http_comanda_postgres *postgres);
