// SPDX-License-Identifier: Apache-2.0
// One session at PostgreSQL on nginx's event loop: connecting, one statement at a time, back again
// after a loss. Only the pool and the directive that fills its settings use it.
#pragma once

#include "base/backoff.h"
#include "observe/metrics.h"
#include "store/addresses.h"
#include "store/pool.h"

enum { PREPARED_MAX = 16, CONNECTIONS_MAX = 32 };

enum connection_state {
    CONNECTION_CLOSED, // waits for its next try
    CONNECTION_OPENING,
    CONNECTION_IDLE,
    CONNECTION_PREPARING, // the statement of `call` first
    CONNECTION_RUNNING,
};

struct ngx_http_comanda_connection {
    struct ngx_http_comanda_postgres *postgres;
    enum connection_state state;
    PGconn *pg;
    ngx_connection_t *c; // NULL while libpq's socket is not registered
    struct ngx_http_comanda_call *call;
    int64_t call_begun_us;
    struct ngx_http_comanda_call warm_up; // the one of `warmed_up` that runs
    bool settled;                         // its settings are ours
    ngx_uint_t warmed_up;                 // statements begun that plan what commands need
    bool ready;                           // all are done: it may serve
    PGresult *result;  // of the statement that runs: the last, or the first that failed
    ngx_event_t timer; // of opening and of a call: not cancelable, a draining worker waits
    ngx_event_t retry; // of the next try to open: cancelable
    struct backoff backoff;
    ngx_uint_t turn;                    // which turn of the addresses it tries
    const char *prepared[PREPARED_MAX]; // names known to this session
    ngx_uint_t prepared_count;
};

// One that is kept aside; store/abandoned.h.
struct ngx_http_comanda_abandoned {
    struct ngx_http_comanda_postgres *postgres;
    PGconn *pg; // NULL: this place is free
    ngx_connection_t *c;
};

// What the pool is told: why the log is none for us (NULL: it is one), there is a session whose
// settings are ours, it may serve, it is gone, it was given back, it is idle again.
void ngx_http_comanda_postgres_refused(struct ngx_http_comanda_postgres *postgres,
                                       const char *refusal);
void ngx_http_comanda_postgres_opened(struct ngx_http_comanda_connection *connection);
void ngx_http_comanda_postgres_ready(struct ngx_http_comanda_connection *connection);
void ngx_http_comanda_postgres_closed(struct ngx_http_comanda_connection *connection,
                                      const char *why);
void ngx_http_comanda_postgres_rested(struct ngx_http_comanda_connection *connection);
void ngx_http_comanda_postgres_freed(struct ngx_http_comanda_connection *connection);

// abandoned_count has changed.
void ngx_http_comanda_postgres_abandoned(struct ngx_http_comanda_postgres *postgres);

// A call has ended, whatever became of it, after this time on a session.
void ngx_http_comanda_postgres_account(struct ngx_http_comanda_postgres *postgres,
                                       const struct ngx_http_comanda_call *call, int64_t took_us);

// The worker has begun to drain.
void ngx_http_comanda_postgres_drain(struct ngx_http_comanda_postgres *postgres);

void ngx_http_comanda_connection_init(struct ngx_http_comanda_connection *connection,
                                      struct ngx_http_comanda_postgres *postgres, ngx_log_t *log);
void ngx_http_comanda_connection_open(struct ngx_http_comanda_connection *connection);

// The connection must be idle. call->done may come from within, when the session is found lost.
void ngx_http_comanda_connection_start(struct ngx_http_comanda_connection *connection,
                                       struct ngx_http_comanda_call *call);

// Closes it where it is idle or not open, without a way back by itself: open begins anew.
void ngx_http_comanda_connection_rest(struct ngx_http_comanda_connection *connection);

// Ends it for good; a call on its way is answered.
void ngx_http_comanda_connection_shut(struct ngx_http_comanda_connection *connection);

// Settings of the pool that a connection needs.
struct ngx_http_comanda_postgres {
    struct str name;
    const char *conninfo;
    struct ngx_http_comanda_addresses addresses[NGX_HTTP_COMANDA_ADDRESSES_MAX];
    ngx_uint_t address_count; // the turns of them, at least one
    ngx_uint_t connection_count;
    ngx_uint_t queue_max;
    ngx_uint_t abandoned_max;
    ngx_msec_t timeout;
    u_char *file; // where the directive stands
    ngx_uint_t line;

    // Of this worker.
    struct ngx_http_comanda_connection *connections;
    struct ngx_http_comanda_abandoned *abandoned; // abandoned_max
    ngx_uint_t abandoned_count;
    ngx_queue_t sources;
    ngx_event_t serve;
    ngx_uint_t waiting;
    ngx_uint_t waiting_of[NGX_HTTP_COMANDA_SHARES];
    ngx_uint_t calls_of[NGX_HTTP_COMANDA_SHARES];  // on their way
    ngx_uint_t calls_max[NGX_HTTP_COMANDA_SHARES]; // of all of a share's sources at once
    int64_t clock_us;                              // the time that the source asked last has spent
    const struct statement *warm_ups;              // what each new session runs before it serves
    ngx_uint_t warm_up_count;
    ngx_msec_t down_since; // valid while open is 0
    const char *refusal;   // of the last session's settings, if it was for the log's sake
    ngx_uint_t open;       // sessions; those that get ready too
    bool shut;
    bool complained; // the log says already that it is away
    struct ngx_http_comanda_metric *queue_length;
    struct ngx_http_comanda_metric *connections_ready;
    struct ngx_http_comanda_metric *abandoned_now;
    struct ngx_http_comanda_metric *losses;
};
