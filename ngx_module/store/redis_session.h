// SPDX-License-Identifier: Apache-2.0
// The one connection of a worker to Redis: opening, commands in order, loss and the way back
// (redis_session.c), and what it is trusted with (redis_trust.c). Only store/redis.c uses it.
#pragma once

#include <hiredis/async.h>

#include "base/backoff.h"
#include "infrastructure/redis/document_codec.h"
#include "infrastructure/redis/generation.h"
#include "observe/metrics.h"
#include "store/redis.h"

enum { REDIS_PENDING_MAX = 4096, REDIS_OWED_MAX = 256 };

// Bytes of ngx_alloc; len 0: none.
struct ngx_http_comanda_redis_key {
    char *data;
    size_t len;
};

// A command whose answer has not come; answers come in order, so these form a ring.
struct ngx_http_comanda_redis_pending {
    struct ngx_http_comanda_redis_op *op; // NULL: nobody waits, or not any more
    ngx_msec_t deadline;
    bool counted;                          // among the metric's answers
    struct ngx_http_comanda_redis_key key; // what it writes, if something older may stay without it
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
    bool answered;     // on this connection
    bool usable;       // it has told its generation on this connection, and takes writes
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

    // What it is trusted with.
    struct redis_generation generation;
    struct ngx_http_comanda_redis_op ask;
    ngx_msec_t asked_at;
    ngx_msec_t proved_at; // when the generation that it told last was asked for
    ngx_event_t look;     // asks anew
    bool refuses_writes;
    bool loaded_again; // the scripts, since it was asked in its turn
    struct ngx_http_comanda_redis_key owed[REDIS_OWED_MAX]; // may hold older ones than were shown
    ngx_uint_t owed_count;
};

void ngx_http_comanda_redis_open(struct ngx_http_comanda_redis *redis);

// Closes it at once; whoever waits is told. The way back begins by itself unless `shut` is set.
void ngx_http_comanda_redis_close(struct ngx_http_comanda_redis *redis, const char *why);

// Events and backoff of a new worker.
void ngx_http_comanda_redis_init(struct ngx_http_comanda_redis *redis, ngx_log_t *log);

// op NULL: nobody waits for the answer. key: the command writes there, and without it something
// older may stay.
enum status ngx_http_comanda_redis_send(struct ngx_http_comanda_redis *redis,
                                        const struct redis_command *command,
                                        struct ngx_http_comanda_redis_op *op,
                                        struct str key) MUST_CHECK;

// As send, for what is no document and does not count.
void ngx_http_comanda_redis_say(struct ngx_http_comanda_redis *redis,
                                const struct redis_command *command,
                                struct ngx_http_comanda_redis_op *op);

// --- redis_trust.c ---

// len 0 where there is no memory.
struct ngx_http_comanda_redis_key ngx_http_comanda_redis_copy_key(struct str key);

void ngx_http_comanda_redis_load_scripts(struct ngx_http_comanda_redis *redis);

void ngx_http_comanda_redis_trust_init(struct ngx_http_comanda_redis *redis, ngx_log_t *log);
void ngx_http_comanda_redis_trust_free(struct ngx_http_comanda_redis *redis);

// A new connection: drops what is owed and asks which generation this is; and its end.
void ngx_http_comanda_redis_trust_begin(struct ngx_http_comanda_redis *redis);
void ngx_http_comanda_redis_trust_end(struct ngx_http_comanda_redis *redis);

// Takes the key over. What lies there is dropped once Redis can be written to; past REDIS_OWED_MAX
// the whole generation.
void ngx_http_comanda_redis_trust_owe(struct ngx_http_comanda_redis *redis,
                                      struct ngx_http_comanda_redis_key key);

// Looks at the answer to the oldest command. A refused write: nothing that Redis has is read until
// it takes writes again. A forgotten script: it is loaded, and the write sent again.
void ngx_http_comanda_redis_trust_reply(struct ngx_http_comanda_redis *redis,
                                        const redisReply *reply);

// Drops what is owed, on a connection that works.
void ngx_http_comanda_redis_trust_pay(struct ngx_http_comanda_redis *redis);
