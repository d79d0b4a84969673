// SPDX-License-Identifier: Apache-2.0
// The one connection of a worker to Redis: opening, commands in order, loss and the way back. Only
// store/redis.c uses it.
#pragma once

#include <hiredis/async.h>

#include "base/backoff.h"
#include "infrastructure/redis/document_codec.h"
#include "observe/metrics.h"
#include "store/redis.h"

enum { REDIS_PENDING_MAX = 4096 };

// A command whose answer has not come; answers come in order, so these form a ring.
struct ngx_http_comanda_redis_pending {
    struct ngx_http_comanda_redis_op *op; // NULL: nobody waits, or not any more
    ngx_msec_t deadline;
};

struct ngx_http_comanda_redis {
    struct str name;
    ngx_addr_t *address;
    char host[NGX_SOCKADDR_STRLEN];
    int port;
    ngx_msec_t timeout;
    struct str user; // empty: nobody logs in
    struct str password;
    struct ngx_http_comanda_metric *answers[3]; // hit, miss, failed

    // Of this worker.
    redisAsyncContext *context; // NULL: closed; hiredis frees it by itself after a loss
    ngx_connection_t *c;
    bool connected;
    bool shut;
    ngx_uint_t holds;
    bool resting; // given back by a worker that drains: no loss, and no way back by itself
    bool complained;
    bool usable;       // it has answered on this connection
    bool logging_in;   // the answer that comes next is AUTH's
    time_t refused_at; // when it last said that our user may not do something; 0: never
    ngx_event_t timer; // of the oldest command, or of connecting
    ngx_event_t retry;
    ngx_event_t flush; // writes what this turn of the loop has gathered
    struct backoff backoff;
    struct ngx_http_comanda_redis_pending pending[REDIS_PENDING_MAX];
    ngx_uint_t first;
    ngx_uint_t pending_count;
    struct arena arena;
};

void ngx_http_comanda_redis_open(struct ngx_http_comanda_redis *redis);

// Closes it at once; whoever waits is told. The way back begins by itself unless `shut` is set.
void ngx_http_comanda_redis_close(struct ngx_http_comanda_redis *redis, const char *why);

// Events and backoff of a new worker.
void ngx_http_comanda_redis_init(struct ngx_http_comanda_redis *redis, ngx_log_t *log);

// op NULL: nobody waits for the answer.
enum status ngx_http_comanda_redis_send(struct ngx_http_comanda_redis *redis,
                                        const struct redis_command *command,
                                        struct ngx_http_comanda_redis_op *op) MUST_CHECK;
