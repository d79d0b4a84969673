// SPDX-License-Identifier: Apache-2.0
// Sessions whose write had no answer in time, kept until it comes.
#include "store/abandoned.h"

#include "store/socket.h"

static void let_go(struct ngx_http_comanda_abandoned *one)
{
    ngx_http_comanda_socket_forget(one->c, one->pg);
    PQfinish(one->pg);
    one->pg = NULL;
    one->c = NULL;
    one->postgres->abandoned_count--;
    ngx_http_comanda_postgres_abandoned(one->postgres);
}

// True: it has said all, or is lost.
static bool has_ended(PGconn *pg)
{
    if (!PQconsumeInput(pg)) {
        return true;
    }
    while (!PQisBusy(pg)) {
        PGresult *result = PQgetResult(pg);
        if (result == NULL) {
            return true;
        }
        PQclear(result);
    }
    return false;
}

static void handle_event(ngx_event_t *event)
{
    const ngx_connection_t *c = event->data;
    struct ngx_http_comanda_abandoned *one = c->data;
    if (has_ended(one->pg)) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "comanda: a write that had no answer in time has ended");
        let_go(one);
    }
}

bool ngx_http_comanda_abandoned_take(struct ngx_http_comanda_postgres *postgres, PGconn *pg,
                                     ngx_connection_t *c)
{
    struct ngx_http_comanda_abandoned *one = postgres->abandoned;
    struct ngx_http_comanda_abandoned *end = one + postgres->abandoned_max;
    while (one < end && one->pg != NULL) {
        one++;
    }
    if (one == end) {
        return false;
    }
    *one = (struct ngx_http_comanda_abandoned){.postgres = postgres, .pg = pg, .c = c};
    c->data = one;
    c->idle = 0;
    c->read->handler = handle_event;
    c->write->handler = handle_event;
    postgres->abandoned_count++;
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "comanda: a write has no answer from PostgreSQL in time: its session is kept "
                  "aside, the %uith of at most %ui; does a synchronous standby confirm nothing?",
                  postgres->abandoned_count, postgres->abandoned_max);
    ngx_http_comanda_postgres_abandoned(postgres);
    return true;
}

static bool are_same(const char *one, const char *other)
{
    return one != NULL && other != NULL && strcmp(one, other) == 0;
}

void ngx_http_comanda_abandoned_leave_others(struct ngx_http_comanda_postgres *postgres,
                                             const PGconn *opened)
{
    for (ngx_uint_t i = 0; i < postgres->abandoned_max; i++) {
        struct ngx_http_comanda_abandoned *one = &postgres->abandoned[i];
        if (one->pg != NULL && !(are_same(PQhost(one->pg), PQhost(opened)) &&
                                 are_same(PQhostaddr(one->pg), PQhostaddr(opened)) &&
                                 are_same(PQport(one->pg), PQport(opened)))) {
            let_go(one);
        }
    }
}

void ngx_http_comanda_abandoned_shut(struct ngx_http_comanda_postgres *postgres)
{
    for (ngx_uint_t i = 0; i < postgres->abandoned_max; i++) {
        if (postgres->abandoned[i].pg != NULL) {
            let_go(&postgres->abandoned[i]);
        }
    }
}
