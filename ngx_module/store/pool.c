// SPDX-License-Identifier: Apache-2.0
// PostgreSQL on nginx's event loop: a few sessions that run one statement at a time, fed by sources
// that gather work while the sessions are busy. Nothing here ever blocks.
#include "store/pool.h"

#include "store/abandoned.h"
#include "store/session.h"

enum {
    FAIL_FAST_AFTER_MS = 1000, // without any session; until then callers wait for a restart
    CREDIT_US = 100000,
};

// --- serving the sources ---

static ngx_int_t compare_spent(const ngx_queue_t *one, const ngx_queue_t *other)
{
    const struct ngx_http_comanda_source *left =
        ngx_queue_data(one, struct ngx_http_comanda_source, link);
    const struct ngx_http_comanda_source *right =
        ngx_queue_data(other, struct ngx_http_comanda_source, link);
    return (left->spent_us > right->spent_us) - (left->spent_us < right->spent_us);
}

// Fair by time: whoever has taken less of the sessions' time is asked first. One that comes back
// from rest has no more than CREDIT_US to catch up.
static void sort_sources(struct ngx_http_comanda_postgres *postgres)
{
    ngx_queue_sort(&postgres->sources, compare_spent);
}

static struct ngx_http_comanda_call *take_call(struct ngx_http_comanda_postgres *postgres,
                                               struct ngx_http_comanda_source *source)
{
    // Each write on its way may have to be kept aside.
    if (postgres->calls_of[source->share] >= postgres->calls_max[source->share] ||
        (source->writes && source->calls + postgres->abandoned_count >= postgres->abandoned_max)) {
        return NULL;
    }
    struct ngx_http_comanda_call *call = source->offer(source);
    if (call != NULL) {
        call->source = source;
        source->calls++;
        postgres->calls_of[source->share]++;
        source->spent_us = ngx_max(source->spent_us, postgres->clock_us - CREDIT_US);
        postgres->clock_us = ngx_max(postgres->clock_us, source->spent_us);
    }
    return call;
}

static struct ngx_http_comanda_call *next_call(struct ngx_http_comanda_postgres *postgres)
{
    sort_sources(postgres);
    for (ngx_queue_t *at = ngx_queue_head(&postgres->sources);
         at != ngx_queue_sentinel(&postgres->sources); at = ngx_queue_next(at)) {
        struct ngx_http_comanda_call *call =
            take_call(postgres, ngx_queue_data(at, struct ngx_http_comanda_source, link));
        if (call != NULL) {
            return call;
        }
    }
    return NULL;
}

void ngx_http_comanda_postgres_account(struct ngx_http_comanda_postgres *postgres,
                                       const struct ngx_http_comanda_call *call, int64_t took_us)
{
    if (call->source != NULL) {
        postgres->calls_of[call->source->share]--;
        call->source->calls--;
        call->source->spent_us += took_us;
    }
}

// --- a worker that drains ---

// It may have a WebSocket or a long poll for hours to come, and no work for its sessions.
static void give_back(struct ngx_http_comanda_postgres *postgres)
{
    for (ngx_uint_t i = 0; ngx_exiting && postgres->waiting == 0 && i < postgres->connection_count;
         i++) {
        ngx_http_comanda_connection_rest(&postgres->connections[i]);
    }
}

// A request that came before the drain wants the store after all, such as a body that was slow.
static void take_back(struct ngx_http_comanda_postgres *postgres)
{
    for (ngx_uint_t i = 0; i < postgres->connection_count; i++) {
        if (postgres->connections[i].state != CONNECTION_CLOSED) {
            return;
        }
    }
    postgres->down_since = ngx_current_msec;
    ngx_http_comanda_connection_open(&postgres->connections[0]);
}

static void serve(ngx_event_t *event)
{
    struct ngx_http_comanda_postgres *postgres = event->data;
    for (ngx_uint_t i = 0; i < postgres->connection_count && !postgres->shut; i++) {
        struct ngx_http_comanda_connection *connection = &postgres->connections[i];
        while (connection->state == CONNECTION_IDLE) {
            struct ngx_http_comanda_call *call = next_call(postgres);
            if (call == NULL) {
                give_back(postgres);
                return;
            }
            ngx_http_comanda_connection_start(connection, call);
        }
    }
}

void ngx_http_comanda_postgres_wake(struct ngx_http_comanda_postgres *postgres)
{
    if (!postgres->serve.posted && !postgres->shut) {
        ngx_post_event(&postgres->serve, &ngx_posted_events);
    }
}

void ngx_http_comanda_postgres_add_source(struct ngx_http_comanda_postgres *postgres,
                                          struct ngx_http_comanda_source *source,
                                          enum ngx_http_comanda_share share)
{
    source->share = share;
    ngx_queue_insert_tail(&postgres->sources, &source->link);
}

enum status ngx_http_comanda_postgres_enter(struct ngx_http_comanda_postgres *postgres,
                                            struct ngx_http_comanda_source *source)
{
    if (ngx_exiting && !postgres->shut) {
        take_back(postgres);
    }
    if (postgres->shut || (source->writes && ngx_http_comanda_postgres_is_stuck(postgres)) ||
        (postgres->open == 0 && ngx_current_msec - postgres->down_since > FAIL_FAST_AFTER_MS)) {
        return STATUS_UNAVAILABLE;
    }
    ngx_uint_t share_max = postgres->queue_max - postgres->queue_max / 4;
    if (postgres->waiting >= postgres->queue_max ||
        postgres->waiting_of[source->share] >= share_max) {
        return STATUS_FULL;
    }
    postgres->waiting_of[source->share]++;
    postgres->waiting++;
    ngx_http_comanda_metric_set(postgres->queue_length, (int64_t)postgres->waiting);
    return STATUS_OK;
}

void ngx_http_comanda_postgres_leave(struct ngx_http_comanda_postgres *postgres,
                                     struct ngx_http_comanda_source *source)
{
    postgres->waiting_of[source->share]--;
    postgres->waiting--;
    ngx_http_comanda_metric_set(postgres->queue_length, (int64_t)postgres->waiting);
}

ngx_msec_t ngx_http_comanda_postgres_budget(const struct ngx_http_comanda_postgres *postgres)
{
    return postgres->timeout;
}

ngx_uint_t ngx_http_comanda_postgres_kept_aside(const struct ngx_http_comanda_postgres *postgres)
{
    return postgres->abandoned_count;
}

const char *ngx_http_comanda_postgres_refusal(const struct ngx_http_comanda_postgres *postgres)
{
    return postgres->refusal;
}

bool ngx_http_comanda_postgres_is_stuck(const struct ngx_http_comanda_postgres *postgres)
{
    return postgres->abandoned_count >= postgres->abandoned_max;
}

// --- what connections tell ---

static void count(struct ngx_http_comanda_postgres *postgres)
{
    int64_t ready = 0;
    postgres->open = 0;
    for (ngx_uint_t i = 0; i < postgres->connection_count; i++) {
        const struct ngx_http_comanda_connection *connection = &postgres->connections[i];
        postgres->open += connection->state >= CONNECTION_IDLE && connection->settled;
        ready += postgres->connections[i].ready;
    }
    ngx_http_comanda_metric_set(postgres->connections_ready, ready);
}

void ngx_http_comanda_postgres_refused(struct ngx_http_comanda_postgres *postgres,
                                       const char *refusal)
{
    if (refusal != NULL && refusal != postgres->refusal) {
        postgres->complained = false; // another cause than the one that was told
    }
    postgres->refusal = refusal;
}

// The others have waited for the first one, which tries more often.
void ngx_http_comanda_postgres_opened(struct ngx_http_comanda_connection *connection)
{
    struct ngx_http_comanda_postgres *postgres = connection->postgres;
    bool first = postgres->open == 0;
    count(postgres);
    for (ngx_uint_t i = 0; first && i < postgres->connection_count; i++) {
        if (postgres->connections[i].retry.timer_set) {
            ngx_add_timer(&postgres->connections[i].retry, 0);
        }
    }
}

void ngx_http_comanda_postgres_rested(struct ngx_http_comanda_connection *connection)
{
    count(connection->postgres);
}

void ngx_http_comanda_postgres_ready(struct ngx_http_comanda_connection *connection)
{
    struct ngx_http_comanda_postgres *postgres = connection->postgres;
    count(postgres);
    if (postgres->complained) {
        postgres->complained = false;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "comanda: PostgreSQL answers again");
    }
    ngx_http_comanda_postgres_wake(postgres);
}

void ngx_http_comanda_postgres_drain(struct ngx_http_comanda_postgres *postgres)
{
    give_back(postgres);
}

void ngx_http_comanda_postgres_freed(struct ngx_http_comanda_connection *connection)
{
    serve(&connection->postgres->serve);
}

// Nothing of what was to be tried again will be soon.
static void tell_sources(struct ngx_http_comanda_postgres *postgres)
{
    for (ngx_queue_t *at = ngx_queue_head(&postgres->sources);
         at != ngx_queue_sentinel(&postgres->sources); at = ngx_queue_next(at)) {
        struct ngx_http_comanda_source *source =
            ngx_queue_data(at, struct ngx_http_comanda_source, link);
        if (source->down != NULL) {
            source->down(source);
        }
    }
}

void ngx_http_comanda_postgres_closed(struct ngx_http_comanda_connection *connection,
                                      const char *why)
{
    struct ngx_http_comanda_postgres *postgres = connection->postgres;
    bool was_open = connection->state >= CONNECTION_IDLE && connection->settled;
    connection->state = CONNECTION_CLOSED;
    connection->ready = false;
    ngx_http_comanda_metric_add(postgres->losses, 1);
    if (was_open && postgres->open == 1) {
        postgres->down_since = ngx_current_msec;
    }
    count(postgres);
    if (!postgres->complained) {
        postgres->complained = true;
        size_t len = strcspn(why, "\r\n");
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "comanda: PostgreSQL \"%*s\" is lost: %*s; trying again", postgres->name.len,
                      postgres->name.data, len, why);
    }
    if (postgres->open == 0) {
        tell_sources(postgres);
    }
}

void ngx_http_comanda_postgres_abandoned(struct ngx_http_comanda_postgres *postgres)
{
    ngx_http_comanda_metric_set(postgres->abandoned_now, (int64_t)postgres->abandoned_count);
    if (ngx_http_comanda_postgres_is_stuck(postgres)) {
        tell_sources(postgres);
    } else {
        ngx_http_comanda_postgres_wake(postgres);
    }
}

// --- the life of a worker ---

ngx_int_t ngx_http_comanda_postgres_init(struct ngx_http_comanda_postgres *postgres,
                                         ngx_cycle_t *cycle)
{
    postgres->connections =
        ngx_pcalloc(cycle->pool, postgres->connection_count * sizeof(*postgres->connections));
    postgres->abandoned =
        ngx_pcalloc(cycle->pool, postgres->abandoned_max * sizeof(*postgres->abandoned));
    if (postgres->connections == NULL || postgres->abandoned == NULL) {
        return NGX_ERROR;
    }
    ngx_queue_init(&postgres->sources);
    postgres->calls_max[NGX_HTTP_COMANDA_COMMANDS] = postgres->connection_count;
    postgres->calls_max[NGX_HTTP_COMANDA_READS] = ngx_max(postgres->connection_count - 1, 1);
    postgres->serve = (ngx_event_t){.data = postgres, .log = cycle->log, .handler = serve};
    postgres->down_since = ngx_current_msec;
    for (ngx_uint_t i = 0; i < postgres->connection_count; i++) {
        ngx_http_comanda_connection_init(&postgres->connections[i], postgres, cycle->log);
    }
    return NGX_OK;
}

void ngx_http_comanda_postgres_open(struct ngx_http_comanda_postgres *postgres,
                                    const struct statement *warm_ups, ngx_uint_t warm_up_count)
{
    postgres->warm_ups = warm_ups;
    postgres->warm_up_count = warm_up_count;
    for (ngx_uint_t i = 0; i < postgres->connection_count; i++) {
        ngx_http_comanda_connection_open(&postgres->connections[i]);
    }
}

void ngx_http_comanda_postgres_shut(struct ngx_http_comanda_postgres *postgres)
{
    postgres->shut = true;
    for (ngx_uint_t i = 0; i < postgres->connection_count; i++) {
        ngx_http_comanda_connection_shut(&postgres->connections[i]);
    }
    ngx_http_comanda_abandoned_shut(postgres);
}
