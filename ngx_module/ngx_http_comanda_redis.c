// SPDX-License-Identifier: Apache-2.0
// Redis on nginx's event loop: documents by the versioned script, one connection a worker. A cache:
// whatever goes wrong is a miss, and nothing waits longer than the timeout.
#include "ngx_http_comanda_redis.h"

#include <hiredis/async.h>

#include "base/backoff.h"
#include "infrastructure/redis/document_codec.h"
#include "ngx_http_comanda_metrics.h"
#include "ngx_http_comanda_settings.h"

enum {
    TIMEOUT_DEFAULT_MS = 50,
    TIMEOUT_MAX_MS = 10000,
    CONNECT_TIMEOUT_MS = 1000,
    RETRY_FIRST_MS = 50,
    RETRY_LIMIT_MS = 5000,
    PENDING_MAX = 4096,
    COMMAND_ARENA_BLOCK = 16 * 1024,
    COMMAND_ARENA_MAX = 2 * 1024 * 1024,
};

// A command whose answer has not come; answers come in order, so these form a ring.
struct pending {
    struct ngx_http_comanda_redis_op *op; // NULL: nobody waits, or not any more
    ngx_msec_t deadline;
};

struct ngx_http_comanda_redis {
    struct str name;
    ngx_addr_t *address;
    char host[NGX_SOCKADDR_STRLEN];
    int port;
    ngx_msec_t timeout;
    struct ngx_http_comanda_metric *answers[3]; // hit, miss, failed

    // Of this worker.
    redisAsyncContext *context; // NULL: closed; hiredis frees it by itself after a loss
    ngx_connection_t *c;
    bool connected;
    bool shut;
    bool complained;
    bool usable;       // it has answered on this connection
    ngx_event_t timer; // of the oldest command, or of connecting
    ngx_event_t retry;
    ngx_event_t flush; // writes what this turn of the loop has gathered
    struct backoff backoff;
    struct pending pending[PENDING_MAX];
    ngx_uint_t first;
    ngx_uint_t pending_count;
    struct arena arena;
};

static void open_connection(struct ngx_http_comanda_redis *redis);

// --- the ring of commands on their way ---

static struct pending *push_pending(struct ngx_http_comanda_redis *redis)
{
    ngx_uint_t at = (redis->first + redis->pending_count) % PENDING_MAX;
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

// Takes the oldest one out and tells whoever waits.
static void answer_first(struct ngx_http_comanda_redis *redis, enum status status, struct str value)
{
    struct ngx_http_comanda_redis_op *op = redis->pending[redis->first].op;
    redis->first = (redis->first + 1) % PENDING_MAX;
    redis->pending_count--;
    if (op != NULL) {
        op->place = NULL;
        op->done(op, status, value);
    }
}

// --- the socket, as hiredis asks for it ---

static void handle_read(ngx_event_t *event)
{
    ngx_connection_t *c = event->data;
    struct ngx_http_comanda_redis *redis = c->data;
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
    redis->usable = false;
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
    if (redis->shut) {
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
static void give_up(struct ngx_http_comanda_redis *redis, const char *why)
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
        give_up(redis, "no connection in time");
        return;
    }
    if (redis->pending_count == 0) {
        return;
    }
    if ((ngx_msec_int_t)(redis->pending[redis->first].deadline - ngx_current_msec) > 0) {
        arm_timer(redis);
        return;
    }
    give_up(redis, "no answer in time");
}

static void handle_retry(ngx_event_t *event)
{
    open_connection(event->data);
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
        return STATUS_REFUSED; // LOADING, READONLY, OOM, WRONGTYPE: a miss like any other
    }
}

static enum status send_command(struct ngx_http_comanda_redis *redis,
                                const struct redis_command *command,
                                struct ngx_http_comanda_redis_op *op);

static void load_script(struct ngx_http_comanda_redis *redis)
{
    struct str script = document_redis_script();
    const struct redis_command command = {
        .argc = 3, .argv = {"SCRIPT", "LOAD", script.data}, .lengths = {6, 4, script.len}};
    if (send_command(redis, &command, NULL) != STATUS_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "comanda: no memory to load Redis' script");
    }
}

// A stopped server still takes connections: only an answer tells that it is there.
static void note_answer(struct ngx_http_comanda_redis *redis)
{
    if (redis->usable) {
        return;
    }
    redis->usable = true;
    backoff_reset(&redis->backoff);
    if (redis->complained) {
        redis->complained = false;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "comanda: Redis answers again");
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
    if (reply != NULL) {
        note_answer(redis);
    }
    if (status == STATUS_REFUSED && strncmp(reply->str, "NOSCRIPT", 8) == 0) {
        load_script(redis); // this document is left to the projector
    }
    ngx_http_comanda_metric_add(redis->answers[status == STATUS_OK          ? 0
                                               : status == STATUS_NOT_FOUND ? 1
                                                                            : 2],
                                1);
    answer_first(redis, status, value);
}

static enum status send_command(struct ngx_http_comanda_redis *redis,
                                const struct redis_command *command,
                                struct ngx_http_comanda_redis_op *op)
{
    if (redis->context == NULL || !redis->connected) {
        return STATUS_UNAVAILABLE;
    }
    if (redis->pending_count == PENDING_MAX) {
        return STATUS_FULL;
    }
    if (redisAsyncCommandArgv(redis->context, handle_reply, NULL, command->argc,
                              (const char **)command->argv, command->lengths) != REDIS_OK) {
        return STATUS_UNAVAILABLE;
    }
    struct pending *pending = push_pending(redis);
    *pending = (struct pending){op, ngx_current_msec + redis->timeout};
    if (op != NULL) {
        op->place = &pending->op;
    }
    arm_timer(redis);
    return STATUS_OK;
}

enum status ngx_http_comanda_redis_get(struct ngx_http_comanda_redis *redis,
                                       const struct document_id *id,
                                       struct ngx_http_comanda_redis_op *op)
{
    struct redis_command command;
    op->place = NULL;
    if (!redis->usable) {
        return STATUS_UNAVAILABLE;
    }
    arena_reset(&redis->arena);
    enum status status = document_redis_get(id, &redis->arena, &command);
    return status == STATUS_OK ? send_command(redis, &command, op) : status;
}

enum status ngx_http_comanda_redis_put(struct ngx_http_comanda_redis *redis,
                                       const struct document *document,
                                       struct ngx_http_comanda_redis_op *op)
{
    struct redis_command command;
    if (op != NULL) {
        op->place = NULL;
    }
    if (!redis->usable) {
        return STATUS_UNAVAILABLE;
    }
    arena_reset(&redis->arena);
    enum status status = document_redis_put(document, &redis->arena, &command);
    return status == STATUS_OK ? send_command(redis, &command, op) : status;
}

void ngx_http_comanda_redis_cancel(struct ngx_http_comanda_redis_op *op)
{
    if (op->place != NULL) {
        *op->place = NULL;
        op->place = NULL;
    }
}

bool ngx_http_comanda_redis_ready(const struct ngx_http_comanda_redis *redis)
{
    return redis->usable;
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
    load_script(redis);
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

static void open_connection(struct ngx_http_comanda_redis *redis)
{
    redis->context = redisAsyncConnect(redis->host, redis->port);
    if (redis->context == NULL) {
        lost(redis, "no memory");
        return;
    }
    redis->context->data = redis;
    if (redis->context->err) {
        give_up(redis, redis->context->errstr);
        return;
    }
    if (!register_socket(redis)) {
        give_up(redis, "no connection slot is left in nginx");
        return;
    }
    attach(redis);
    ngx_add_timer(&redis->timer, CONNECT_TIMEOUT_MS);
}

// --- the directive ---

static char *read_address(ngx_conf_t *cf, ngx_str_t word, struct ngx_http_comanda_redis *redis)
{
    ngx_url_t url = {.url = word, .default_port = 6379, .no_resolve = 1};
    if (ngx_parse_url(cf->pool, &url) != NGX_OK || url.naddrs != 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_redis: \"%V\" is no <address>:<port>%s%s",
                           &word, url.err != NULL ? ": " : "", url.err != NULL ? url.err : "");
        return NGX_CONF_ERROR;
    }
    redis->port = ngx_inet_get_port(url.addrs[0].sockaddr);
    size_t len = ngx_sock_ntop(url.addrs[0].sockaddr, url.addrs[0].socklen, (u_char *)redis->host,
                               sizeof(redis->host) - 1, 0);
    redis->host[len] = '\0';
    return NGX_CONF_OK;
}

static void declare_metrics(ngx_conf_t *cf, struct ngx_http_comanda_redis *redis)
{
    static const char help[] = "Answers of Redis by outcome.";
    static const char name[] = "comanda_redis_answers_total";
    redis->answers[0] = ngx_http_comanda_counter(cf, name, help, STR("outcome=\"ok\""));
    redis->answers[1] = ngx_http_comanda_counter(cf, name, help, STR("outcome=\"nothing\""));
    redis->answers[2] = ngx_http_comanda_counter(cf, name, help, STR("outcome=\"failed\""));
}

static char *set_redis(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    (void)data;
    struct ngx_http_comanda_main_conf *main = ngx_http_comanda_main_conf(cf);
    ngx_str_t *words = cf->args->elts;
    if (main->redis != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_redis stands twice");
        return NGX_CONF_ERROR;
    }
    struct ngx_http_comanda_redis *redis = ngx_pcalloc(cf->pool, sizeof(*redis));
    if (redis == NULL) {
        return NGX_CONF_ERROR;
    }
    main->redis = redis;
    redis->name = ngx_http_comanda_str(words[1]);
    redis->timeout = TIMEOUT_DEFAULT_MS;
    declare_metrics(cf, redis);
    char *rc = read_address(cf, words[2], redis);
    const struct ngx_http_comanda_setting settings[] = {
        {.name = STR("timeout"), .msec = &redis->timeout, .min = 1, .max = TIMEOUT_MAX_MS},
        {.name = {NULL, 0}},
    };
    return rc == NGX_CONF_OK ? ngx_http_comanda_read_settings(cf, 3, settings) : rc;
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_redis"),
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_2MORE,
     .set = set_redis,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET},
    ngx_null_command,
};

// --- the life of a worker ---

static struct ngx_http_comanda_redis *redis_of(ngx_cycle_t *cycle)
{
    struct ngx_http_comanda_main_conf *main =
        ngx_http_cycle_get_module_main_conf(cycle, ngx_http_comanda_module);
    return main == NULL ? NULL : main->redis;
}

static ngx_int_t init_process(ngx_cycle_t *cycle)
{
    struct ngx_http_comanda_redis *redis = redis_of(cycle);
    if (redis == NULL || (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)) {
        return NGX_OK;
    }
    arena_init(&redis->arena, COMMAND_ARENA_BLOCK, COMMAND_ARENA_MAX);
    redis->timer =
        (ngx_event_t){.data = redis, .log = cycle->log, .handler = handle_timeout, .cancelable = 1};
    redis->retry =
        (ngx_event_t){.data = redis, .log = cycle->log, .handler = handle_retry, .cancelable = 1};
    redis->flush = (ngx_event_t){.data = redis, .log = cycle->log, .handler = handle_flush};
    redis->backoff = (struct backoff){.first_ms = RETRY_FIRST_MS, .limit_ms = RETRY_LIMIT_MS};
    open_connection(redis);
    return NGX_OK;
}

static void exit_process(ngx_cycle_t *cycle)
{
    struct ngx_http_comanda_redis *redis = redis_of(cycle);
    if (redis != NULL && redis->context != NULL) {
        redis->shut = true;
        give_up(redis, "shutting down");
    }
}

static ngx_http_module_t module_context;

ngx_module_t ngx_http_comanda_redis_module = {
    NGX_MODULE_V1,           .ctx = &module_context,       .commands = directives,
    .type = NGX_HTTP_MODULE, .init_process = init_process, .exit_process = exit_process,
    NGX_MODULE_V1_PADDING,
};
