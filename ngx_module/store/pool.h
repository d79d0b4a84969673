// SPDX-License-Identifier: Apache-2.0
// PostgreSQL on nginx's event loop: a few sessions that run one statement at a time, fed by sources
// that gather work while the sessions are busy. Nothing here ever blocks.
//
// The pool knows no client of its own: sources add themselves, store/store.c ties them together.
#pragma once

#include "core/comanda.h"
#include "infrastructure/postgres/statement.h"

struct ngx_http_comanda_postgres;

// One statement on its way. Its memory is the source's and stays until `done`.
struct ngx_http_comanda_call {
    struct statement statement;
    bool writes; // lost after it was sent: STATUS_UNKNOWN, else STATUS_UNAVAILABLE
    struct ngx_http_comanda_source *source; // whose time it takes; NULL: nobody's
    // Called once, for each call that was offered. result belongs to the driver and is NULL unless
    // STATUS_OK. STATUS_REFUSED: the server answered with an error, `sqlstate` says which; nothing
    // was done. STATUS_TIMEOUT: no answer in time to a call that does not write.
    void (*done)(struct ngx_http_comanda_call *call, enum status status, const PGresult *result);
    char sqlstate[6];
};

// The queue and the sessions are shared: neither clients' reads nor commands ever hold all of the
// queue, and reads leave a session free where there are several.
enum ngx_http_comanda_share {
    NGX_HTTP_COMANDA_COMMANDS, // and what they read to decide
    NGX_HTTP_COMANDA_READS,
    NGX_HTTP_COMANDA_SHARES
};

// Gathers work and gives it when a connection is free.
struct ngx_http_comanda_source {
    ngx_queue_t link;
    // The next call, or NULL: nothing is wanted now.
    struct ngx_http_comanda_call *(*offer)(struct ngx_http_comanda_source *source);
    // No session is left, or no write may begin any more; may be NULL. What would be tried again
    // had better be given up.
    void (*down)(struct ngx_http_comanda_source *source);
    bool writes; // all of its calls do; the others' never
    // The pool's.
    enum ngx_http_comanda_share share;
    ngx_uint_t calls; // on their way
    int64_t spent_us; // of the sessions' time
};

// In a worker's init_process: first init, then the sources add themselves, then open. NGX_ERROR: no
// memory. Each new session runs the warm-ups before it serves; they stay for the worker's life.
ngx_int_t ngx_http_comanda_postgres_init(struct ngx_http_comanda_postgres *postgres,
                                         ngx_cycle_t *cycle);
void ngx_http_comanda_postgres_open(struct ngx_http_comanda_postgres *postgres,
                                    const struct statement *warm_ups, ngx_uint_t warm_up_count);

// At the worker's end: closes the sessions; calls on their way are answered.
void ngx_http_comanda_postgres_shut(struct ngx_http_comanda_postgres *postgres);

// The source that has taken the least of the sessions' time is asked first, so that none starves
// another.
void ngx_http_comanda_postgres_add_source(struct ngx_http_comanda_postgres *postgres,
                                          struct ngx_http_comanda_source *source,
                                          enum ngx_http_comanda_share share);

// Asks the sources at the end of this turn of the loop, so that what came in one turn leaves
// together.
void ngx_http_comanda_postgres_wake(struct ngx_http_comanda_postgres *postgres);

// Takes a place in the source's share of the bounded queue. STATUS_FULL: too many wait already.
// STATUS_UNAVAILABLE: no session for a while now, or it writes and no write may begin. After
// STATUS_OK each place is given back by leave.
enum status ngx_http_comanda_postgres_enter(struct ngx_http_comanda_postgres *postgres,
                                            struct ngx_http_comanda_source *source) MUST_CHECK;
void ngx_http_comanda_postgres_leave(struct ngx_http_comanda_postgres *postgres,
                                     struct ngx_http_comanda_source *source);

// The time that a statement may take, and a command wait for its batch to leave (comanda_postgres
// timeout=), milliseconds.
ngx_msec_t ngx_http_comanda_postgres_budget(const struct ngx_http_comanda_postgres *postgres);

// Sessions of this worker that are kept aside, since their write had no answer in time. Together
// with the writes on their way they are never more than comanda_postgres abandoned=.
ngx_uint_t ngx_http_comanda_postgres_kept_aside(const struct ngx_http_comanda_postgres *postgres);

// Why the server's log is none for this program, and what to do: no session serves. NULL: it is
// one, as far as is known.
const char *ngx_http_comanda_postgres_refusal(const struct ngx_http_comanda_postgres *postgres);

// So many are that no write begins.
bool ngx_http_comanda_postgres_is_stuck(const struct ngx_http_comanda_postgres *postgres);
