// SPDX-License-Identifier: Apache-2.0
// Redis on nginx's event loop: documents by the versioned script, one connection a worker. A cache:
// whatever goes wrong is a miss, and nothing waits longer than the timeout.
#include "store/redis.h"

#include "core/settings.h"
#include "infrastructure/config/secret_file.h"
#include "infrastructure/redis/settings.h"
#include "store/redis_session.h"
#include "store/store.h"

extern ngx_module_t ngx_http_comanda_redis_module;

enum {
    TIMEOUT_DEFAULT_MS = 50,
    TIMEOUT_MAX_MS = 10000,
    COMMAND_ARENA_BLOCK = 16 * 1024,
    COMMAND_ARENA_MAX = 2 * 1024 * 1024,
};

struct str ngx_http_comanda_redis_generation(const struct ngx_http_comanda_redis *redis)
{
    return redis->usable ? redis_generation_name(&redis->generation) : STR("");
}

enum status ngx_http_comanda_redis_get(struct ngx_http_comanda_redis *redis,
                                       const struct document_id *id,
                                       struct ngx_http_comanda_redis_op *op)
{
    struct redis_command command;
    op->place = NULL;
    op->document = NULL;
    if (!redis->usable || ngx_current_msec - redis->proved_at > REDIS_TRUST_MS) {
        return STATUS_UNAVAILABLE;
    }
    arena_reset(&redis->arena);
    enum status status = document_redis_get(id, &redis->arena, &command);
    return status == STATUS_OK ? ngx_http_comanda_redis_send(redis, &command, op, STR("")) : status;
}

enum status ngx_http_comanda_redis_put(struct ngx_http_comanda_redis *redis,
                                       const struct document *document,
                                       struct ngx_http_comanda_redis_op *op)
{
    struct redis_command command;
    if (op != NULL) {
        op->place = NULL;
        op->document = document;
    }
    if (!redis->usable) {
        return STATUS_UNAVAILABLE;
    }
    arena_reset(&redis->arena);
    enum status status = document_redis_put(document, ngx_http_comanda_redis_generation(redis),
                                            &redis->arena, &command);
    return status == STATUS_OK
               ? ngx_http_comanda_redis_send(redis, &command, op, document_redis_key(&command))
               : status;
}

enum status ngx_http_comanda_redis_add(struct ngx_http_comanda_redis *redis,
                                       const struct document *document)
{
    struct redis_command command;
    if (!redis->usable) {
        return STATUS_UNAVAILABLE;
    }
    arena_reset(&redis->arena);
    enum status status = document_redis_add(document, ngx_http_comanda_redis_generation(redis),
                                            &redis->arena, &command);
    return status == STATUS_OK ? ngx_http_comanda_redis_send(redis, &command, NULL, STR(""))
                               : status;
}

void ngx_http_comanda_redis_owe(struct ngx_http_comanda_redis *redis,
                                const struct document *document)
{
    struct redis_command command;
    struct ngx_http_comanda_redis_key key = {NULL, 0};
    const struct document_id id = {document->tenant, document->collection, document->key};
    arena_reset(&redis->arena);
    if (document_redis_get(&id, &redis->arena, &command) == STATUS_OK) {
        key = ngx_http_comanda_redis_copy_key((struct str){command.argv[1], command.lengths[1]});
    }
    if (key.len == 0) {
        redis_generation_spoil(&redis->generation);
        redis->usable = false;
        return;
    }
    ngx_http_comanda_redis_trust_owe(redis, key);
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

bool ngx_http_comanda_redis_refuses_writes(const struct ngx_http_comanda_redis *redis)
{
    return redis->connected && redis->refuses_writes;
}

// --- the directive ---

// A name is looked up here, once, as nginx does for an upstream; its first address is taken.
static char *read_address(ngx_conf_t *cf, ngx_str_t word, struct ngx_http_comanda_redis *redis)
{
    ngx_url_t url;
    ngx_memzero(&url, sizeof(url));
    url.url = word;
    url.default_port = 6379;
    if (ngx_parse_url(cf->pool, &url) != NGX_OK || url.family == AF_UNIX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_redis: %s: \"%V\"; give <host>:<port>",
                           url.err != NULL ? url.err : "no address", &word);
        return NGX_CONF_ERROR;
    }
    redis->port = ngx_inet_get_port(url.addrs[0].sockaddr);
    size_t len = ngx_sock_ntop(url.addrs[0].sockaddr, url.addrs[0].socklen, (u_char *)redis->host,
                               sizeof(redis->host) - 1, 0);
    redis->host[len] = '\0';
    return NGX_CONF_OK;
}

static char *read_password(ngx_conf_t *cf, ngx_str_t *path, struct ngx_http_comanda_redis *redis)
{
    char *bytes = ngx_pnalloc(cf->pool, REDIS_PASSWORD_MAX + 1);
    char fault[SECRET_FAULT_MAX];
    size_t len;
    if (bytes == NULL || ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    if (secret_file_read((const char *)path->data, 1, REDIS_PASSWORD_MAX, bytes, &len, fault) !=
        STATUS_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_redis: password_file %s", fault);
        return NGX_CONF_ERROR;
    }
    redis->password = (struct str){bytes, len};
    return NGX_CONF_OK;
}

static char *read_words(ngx_conf_t *cf, struct ngx_http_comanda_redis *redis)
{
    ngx_str_t user = ngx_null_string;
    ngx_str_t password_file = ngx_null_string;
    const struct ngx_http_comanda_setting settings[] = {
        {.name = STR("timeout"), .msec = &redis->timeout, .min = 1, .max = TIMEOUT_MAX_MS},
        {.name = STR("user"), .text = &user},
        {.name = STR("password_file"), .text = &password_file},
        {.name = {NULL, 0}},
    };
    char *rc = ngx_http_comanda_read_settings(cf, 3, settings);
    if (rc != NGX_CONF_OK) {
        return rc;
    }
    if ((user.len > 0) != (password_file.len > 0)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "comanda_redis: user=NAME and password_file=FILE stand together");
        return NGX_CONF_ERROR;
    }
    redis->user = ngx_http_comanda_str(user);
    return user.len == 0 ? NGX_CONF_OK : read_password(cf, &password_file, redis);
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
    struct ngx_http_comanda_store *store = ngx_http_comanda_store(cf);
    ngx_str_t *words = cf->args->elts;
    if (store->redis != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_redis stands twice");
        return NGX_CONF_ERROR;
    }
    struct ngx_http_comanda_redis *redis = ngx_pcalloc(cf->pool, sizeof(*redis));
    if (redis == NULL) {
        return NGX_CONF_ERROR;
    }
    store->redis = redis;
    redis->name = ngx_http_comanda_str(words[1]);
    redis->timeout = TIMEOUT_DEFAULT_MS;
    declare_metrics(cf, redis);
    char *rc = read_address(cf, words[2], redis);
    return rc == NGX_CONF_OK ? read_words(cf, redis) : rc;
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_redis"),
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_2MORE,
     .set = set_redis,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET},
    ngx_null_command,
};

// --- the life of a worker ---

void ngx_http_comanda_redis_start(struct ngx_http_comanda_redis *redis, ngx_cycle_t *cycle)
{
    arena_init(&redis->arena, COMMAND_ARENA_BLOCK, COMMAND_ARENA_MAX);
    ngx_http_comanda_redis_init(redis, cycle->log);
    ngx_http_comanda_redis_open(redis);
}

void ngx_http_comanda_redis_shut(struct ngx_http_comanda_redis *redis)
{
    redis->shut = true;
    if (redis->context != NULL) {
        ngx_http_comanda_redis_close(redis, "shutting down");
    }
    ngx_http_comanda_redis_trust_free(redis);
    arena_free(&redis->arena);
}

static ngx_http_module_t module_context;

ngx_module_t ngx_http_comanda_redis_module = {
    NGX_MODULE_V1,           .ctx = &module_context, .commands = directives,
    .type = NGX_HTTP_MODULE, NGX_MODULE_V1_PADDING,
};
