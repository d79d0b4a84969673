// SPDX-License-Identifier: Apache-2.0
// The one connection of a worker to Redis: opening, commands in order, loss and the way back. Only
// store/redis.c and store/redis_trust.c use it.
#include "store/redis_session.h"

#include "infrastructure/redis/settings.h"

enum {
    CONNECT_TIMEOUT_MS = 1000,
    RETRY_FIRST_MS = 50,
    RETRY_LIMIT_MS = 5000,
    REFUSED_S = 60, // how long a refusal is remembered, and how often it is logged
};

// --- the ring of commands on their way ---

static struct ngx_http_comanda_redis_pending *push_pending(struct ngx_http_comanda_redis *redis)
{
    ngx_uint_t at = (redis->first + redis->pending_count) % REDIS_PENDING_MAX;
    redis->pending_count++;
    return &redis->pending[at];
}

// Only moved when the oldest one's deadline is later than the timer: a timer a command would cost
// more than the command.
static void arm_timer(struct ngx_http_comanda_redis *redis)
{
    if (redis->pending_count > 0 && !redis->timer.timer_set) {
        ngx_msec_int_t left =
            (ngx_msec_int_t)(redis->pending[redis->first].deadline - ngx_current_msec);
        ngx_add_timer(&redis->timer, (ngx_msec_t)ngx_max(left, 1));
    }
}

// Takes the oldest one out and tells whoever waits. A write that was not done, or nobody knows, is
// owed.
static void answer_first(struct ngx_http_comanda_redis *redis, enum status status, struct str value)
{
    struct ngx_http_comanda_redis_op *op = redis->pending[redis->first].op;
    struct ngx_http_comanda_redis_key key = redis->pending[redis->first].key;
    redis->first = (redis->first + 1) % REDIS_PENDING_MAX;
    redis->pending_count--;
    if (status != STATUS_UNAVAILABLE && status != STATUS_REFUSED) {
        ngx_free(key.data);
    } else {
        ngx_http_comanda_redis_trust_owe(redis, key);
    }
    if (op != NULL) {
        op->place = NULL;
        op->done(op, status, value);
    }
}

// --- the socket, as hiredis asks for it ---

// A worker that drains may live on for one long poll; nginx tells its idle connections so.
static void give_back(struct ngx_http_comanda_redis *redis)
{
    if (ngx_exiting && redis->holds == 0 && redis->pending_count == 0 && redis->context != NULL) {
        redis->resting = true;
        ngx_http_comanda_redis_close(redis, "the worker drains");
    }
}

static void handle_read(ngx_event_t *event)
{
    ngx_connection_t *c = event->data;
    struct ngx_http_comanda_redis *redis = c->data;
    if (c->close && redis->pending_count == 0) {
        give_back(redis);
        if (redis->context == NULL) {
            return;
        }
    }
    redisAsyncHandleRead(redis->context); // may free the context: nothing after it
}

static void handle_write(ngx_event_t *event)
{
    ngx_connection_t *c = event->data;
    struct ngx_http_comanda_redis *redis = c->data;
    redisAsyncHandleWrite(redis->context);
}

static void want_read(void *data)
{
    struct ngx_http_comanda_redis *redis = data;
    if (redis->c != NULL && !redis->c->read->active) {
        (void)ngx_add_event(redis->c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT);
    }
}

static void want_no_read(void *data)
{
    struct ngx_http_comanda_redis *redis = data;
    if (redis->c != NULL && redis->c->read->active) {
        (void)ngx_del_event(redis->c->read, NGX_READ_EVENT, 0);
    }
}

static void watch_write(struct ngx_http_comanda_redis *redis)
{
    if (redis->c != NULL && !redis->c->write->active) {
        (void)ngx_add_event(redis->c->write, NGX_WRITE_EVENT, NGX_LEVEL_EVENT);
    }
}

// Once connected, commands of one turn of the loop leave with one write at its end.
static void want_write(void *data)
{
    struct ngx_http_comanda_redis *redis = data;
    if (!redis->connected) {
        watch_write(redis);
    } else if (!redis->flush.posted) {
        ngx_post_event(&redis->flush, &ngx_posted_events);
    }
}

static void want_no_write(void *data)
{
    struct ngx_http_comanda_redis *redis = data;
    if (redis->c != NULL && redis->c->write->active) {
        (void)ngx_del_event(redis->c->write, NGX_WRITE_EVENT, 0);
    }
}

static void handle_flush(ngx_event_t *event)
{
    struct ngx_http_comanda_redis *redis = event->data;
    if (redis->context == NULL) {
        return;
    }
    redisAsyncHandleWrite(redis->context);
    if (redis->flush.posted) { // the socket is full: wait for it, do not turn the loop
        ngx_delete_posted_event(&redis->flush);
        watch_write(redis);
    }
}

static void release_socket(void *data)
{
    struct ngx_http_comanda_redis *redis = data;
    ngx_connection_t *c = redis->c;
    if (c == NULL) {
        return;
    }
    redis->c = NULL;
    (void)ngx_del_conn(c, 0);
    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }
    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }
    ngx_free_connection(c);
    c->fd = (ngx_socket_t)-1;
}

// --- loss ---

static void lost(struct ngx_http_comanda_redis *redis, const char *why)
{
    redis->context = NULL;
    redis->connected = false;
    redis->answered = false;
    ngx_http_comanda_redis_trust_end(redis);
    release_socket(redis);
    if (redis->flush.posted) {
        ngx_delete_posted_event(&redis->flush);
    }
    if (redis->timer.timer_set) {
        ngx_del_timer(&redis->timer);
    }
    while (redis->pending_count > 0) {
        answer_first(redis, STATUS_UNAVAILABLE, (struct str){NULL, 0});
    }
    if (redis->shut || redis->resting) {
        redis->resting = false;
        return;
    }
    if (!redis->complained) {
        redis->complained = true;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "comanda: Redis \"%*s\" is lost: %s; documents come from PostgreSQL until "
                      "it is back",
                      redis->name.len, redis->name.data, why);
    }
    ngx_add_timer(&redis->retry,
                  (ngx_msec_t)backoff_next_ms(&redis->backoff, (uint32_t)ngx_random()));
}

static void handle_disconnect(const redisAsyncContext *context, int status)
{
    struct ngx_http_comanda_redis *redis = context->data;
    (void)status;
    if (redis->context == context) {
        lost(redis, context->errstr != NULL && context->err ? context->errstr : "closed");
    }
}

// Frees the context from outside of hiredis: all callbacks come at once, without a reply, and the
// disconnect callback last.
void ngx_http_comanda_redis_close(struct ngx_http_comanda_redis *redis, const char *why)
{
    redisAsyncContext *context = redis->context;
    lost(redis, why);
    if (context != NULL) {
        redisAsyncFree(context);
    }
}

static void handle_timeout(ngx_event_t *event)
{
    struct ngx_http_comanda_redis *redis = event->data;
    if (!redis->connected) {
        ngx_http_comanda_redis_close(redis, "no connection in time");
        return;
    }
    if (redis->pending_count == 0) {
        return;
    }
    if ((ngx_msec_int_t)(redis->pending[redis->first].deadline - ngx_current_msec) > 0) {
        arm_timer(redis);
        return;
    }
    ngx_http_comanda_redis_close(redis, "no answer in time");
}

static void handle_retry(ngx_event_t *event)
{
    ngx_http_comanda_redis_open(event->data);
}

void ngx_http_comanda_redis_hold(struct ngx_http_comanda_redis *redis)
{
    if (redis == NULL) {
        return;
    }
    redis->holds++;
    if (ngx_exiting && !redis->shut && redis->context == NULL && !redis->retry.timer_set) {
        ngx_http_comanda_redis_open(redis);
    }
}

void ngx_http_comanda_redis_release(struct ngx_http_comanda_redis *redis)
{
    if (redis != NULL) {
        redis->holds--;
        give_back(redis);
    }
}

// --- commands ---

static enum status read_reply(const redisReply *reply, struct str *value)
{
    switch (reply->type) {
    case REDIS_REPLY_STRING:
        *value = (struct str){reply->str, reply->len};
        return STATUS_OK;
    case REDIS_REPLY_INTEGER:
    case REDIS_REPLY_STATUS:
        return STATUS_OK;
    case REDIS_REPLY_NIL:
        return STATUS_NOT_FOUND;
    default:
        *value = (struct str){reply->str, reply->len};
        return STATUS_REFUSED; // LOADING, READONLY, OOM, WRONGTYPE: a miss like any other
    }
}

static void handle_reply(redisAsyncContext *context, void *answer, void *privdata);

// NULL: it cannot be sent.
static struct ngx_http_comanda_redis_pending *push_command(struct ngx_http_comanda_redis *redis,
                                                           const struct redis_command *command,
                                                           struct ngx_http_comanda_redis_op *op)
{
    if (redis->context == NULL || !redis->connected || redis->pending_count == REDIS_PENDING_MAX ||
        redisAsyncCommandArgv(redis->context, handle_reply, NULL, command->argc,
                              (const char **)command->argv, command->lengths) != REDIS_OK) {
        return NULL;
    }
    redis->c->idle = 0;
    struct ngx_http_comanda_redis_pending *pending = push_pending(redis);
    *pending = (struct ngx_http_comanda_redis_pending){
        .op = op, .deadline = ngx_current_msec + redis->timeout};
    if (op != NULL) {
        op->place = &pending->op;
    }
    arm_timer(redis);
    return pending;
}

void ngx_http_comanda_redis_say(struct ngx_http_comanda_redis *redis,
                                const struct redis_command *command,
                                struct ngx_http_comanda_redis_op *op)
{
    if (push_command(redis, command, op) == NULL) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "comanda: no memory to talk to Redis");
    }
}

// --- as whom we speak ---

bool ngx_http_comanda_redis_refused(const struct ngx_http_comanda_redis *redis)
{
    return redis->refused_at != 0 && ngx_time() - redis->refused_at < REFUSED_S;
}

// Waiting does not mend it: a person must read of it, though not once a command.
static void note_refusal(struct ngx_http_comanda_redis *redis, const redisReply *reply)
{
    struct str user = str_is_empty(redis->user) ? STR("default") : redis->user;
    if (!ngx_http_comanda_redis_refused(redis)) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "comanda: Redis \"%*s\" refuses the user \"%*s\": %s; mend user= and "
                      "password_file= of comanda_redis, or the user's rules (comandactl access "
                      "redis); documents come from PostgreSQL",
                      redis->name.len, redis->name.data, user.len, user.data, reply->str);
        redis->refused_at = ngx_time();
    }
}

static void log_in(struct ngx_http_comanda_redis *redis)
{
    const struct redis_command command = {.argc = 3,
                                          .argv = {"AUTH", redis->user.data, redis->password.data},
                                          .lengths = {4, redis->user.len, redis->password.len}};
    redis->logging_in = !str_is_empty(redis->user);
    if (redis->logging_in) {
        ngx_http_comanda_redis_say(redis, &command, NULL);
    }
}

// A stopped server still takes connections: only an answer tells that it is there.
static void note_answer(struct ngx_http_comanda_redis *redis)
{
    if (redis->answered) {
        return;
    }
    redis->answered = true;
    redis->refused_at = 0;
    backoff_reset(&redis->backoff);
    if (redis->complained) {
        redis->complained = false;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "comanda: Redis answers again");
    }
}

static void count_answer(struct ngx_http_comanda_redis *redis, enum status status)
{
    if (redis->pending[redis->first].counted) {
        int outcome = status == STATUS_OK ? 0 : status == STATUS_NOT_FOUND ? 1 : 2;
        ngx_http_comanda_metric_add(redis->answers[outcome], 1);
    }
}

static void handle_reply(redisAsyncContext *context, void *answer, void *privdata)
{
    struct ngx_http_comanda_redis *redis = context->data;
    const redisReply *reply = answer;
    (void)privdata;
    if (redis->context != context || redis->pending_count == 0) {
        return; // freed: those that waited know it already
    }
    struct str value = {NULL, 0};
    enum status status = reply == NULL ? STATUS_UNAVAILABLE : read_reply(reply, &value);
    if (status == STATUS_REFUSED && redis_answer_refuses(reply->str)) {
        note_refusal(redis, reply);
        if (!redis->answered) {
            ngx_http_comanda_redis_close(redis, "it refuses our user");
            return;
        }
    }
    if (reply != NULL && !redis->logging_in) {
        note_answer(redis);
    }
    redis->logging_in = false;
    count_answer(redis, status);
    if (reply != NULL) {
        ngx_http_comanda_redis_trust_reply(redis, reply);
    }
    answer_first(redis, status, value);
    if (status == STATUS_REFUSED) {
        ngx_http_comanda_redis_trust_pay(redis);
    }
    if (redis->c != NULL && redis->pending_count == 0) {
        redis->c->idle = 1;
        give_back(redis);
    }
}

enum status ngx_http_comanda_redis_send(struct ngx_http_comanda_redis *redis,
                                        const struct redis_command *command,
                                        struct ngx_http_comanda_redis_op *op, struct str key)
{
    if (redis->context == NULL || !redis->connected) {
        return STATUS_UNAVAILABLE;
    }
    if (redis->pending_count == REDIS_PENDING_MAX) {
        return STATUS_FULL;
    }
    struct ngx_http_comanda_redis_key kept = ngx_http_comanda_redis_copy_key(key);
    if (kept.len != key.len) {
        return STATUS_NO_MEMORY;
    }
    struct ngx_http_comanda_redis_pending *pending = push_command(redis, command, op);
    if (pending == NULL) {
        ngx_free(kept.data);
        return STATUS_UNAVAILABLE;
    }
    pending->counted = true;
    pending->key = kept;
    return STATUS_OK;
}

// --- opening ---

static void handle_connect(const redisAsyncContext *context, int status)
{
    struct ngx_http_comanda_redis *redis = context->data;
    if (redis->context != context) {
        return;
    }
    if (status != REDIS_OK) {
        lost(redis, context->errstr); // hiredis frees the context after this
        return;
    }
    redis->connected = true;
    if (redis->timer.timer_set) {
        ngx_del_timer(&redis->timer);
    }
    log_in(redis);
    ngx_http_comanda_redis_load_scripts(redis);
    ngx_http_comanda_redis_trust_begin(redis);
}

static bool register_socket(struct ngx_http_comanda_redis *redis)
{
    ngx_connection_t *c = ngx_get_connection(redis->context->c.fd, ngx_cycle->log);
    if (c == NULL) {
        return false;
    }
    c->data = redis;
    c->log = ngx_cycle->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = handle_read;
    c->write->handler = handle_write;
    redis->c = c;
    return true;
}

static void attach(struct ngx_http_comanda_redis *redis)
{
    redisAsyncContext *context = redis->context;
    context->data = redis;
    context->ev.data = redis;
    context->ev.addRead = want_read;
    context->ev.delRead = want_no_read;
    context->ev.addWrite = want_write;
    context->ev.delWrite = want_no_write;
    context->ev.cleanup = release_socket;
    (void)redisAsyncSetDisconnectCallback(context, handle_disconnect);
    (void)redisAsyncSetConnectCallback(context, handle_connect); // asks for the write event
}

void ngx_http_comanda_redis_open(struct ngx_http_comanda_redis *redis)
{
    redis->context = redisAsyncConnect(redis->host, redis->port);
    if (redis->context == NULL) {
        lost(redis, "no memory");
        return;
    }
    redis->context->data = redis;
    if (redis->context->err) {
        ngx_http_comanda_redis_close(redis, redis->context->errstr);
        return;
    }
    if (!register_socket(redis)) {
        ngx_http_comanda_redis_close(redis, "no connection slot is left in nginx");
        return;
    }
    attach(redis);
    ngx_add_timer(&redis->timer, CONNECT_TIMEOUT_MS);
}

void ngx_http_comanda_redis_init(struct ngx_http_comanda_redis *redis, ngx_log_t *log)
{
    redis->timer =
        (ngx_event_t){.data = redis, .log = log, .handler = handle_timeout, .cancelable = 1};
    redis->retry =
        (ngx_event_t){.data = redis, .log = log, .handler = handle_retry, .cancelable = 1};
    redis->flush = (ngx_event_t){.data = redis, .log = log, .handler = handle_flush};
    redis->backoff = (struct backoff){.first_ms = RETRY_FIRST_MS, .limit_ms = RETRY_LIMIT_MS};
    ngx_http_comanda_redis_trust_init(redis, log);
}
