// SPDX-License-Identifier: Apache-2.0
// PostgreSQL on nginx's event loop: a few connections that run one statement at a time, fed by
// sources that gather work while the connections are busy. Nothing here ever blocks.
#include "ngx_http_comanda_postgres.h"

#include <arpa/inet.h>

#include "ngx_http_comanda_batch.h"
#include "ngx_http_comanda_lookup.h"
#include "ngx_http_comanda_metrics.h"
#include "ngx_http_comanda_postgres_connection.h"
#include "ngx_http_comanda_read.h"
#include "ngx_http_comanda_settings.h"

enum {
    CONNECTIONS_DEFAULT = 2,
    QUEUE_DEFAULT = 4096,
    QUEUE_MAX = 65536,
    TIMEOUT_DEFAULT_MS = 2000,
    TIMEOUT_MAX_MS = 60000,
    ADDRESSES_MAX = 8,         // of a name; those behind are left out
    FAIL_FAST_AFTER_MS = 1000, // without any connection; until then callers wait for a restart
    WARM_UP_BLOCK = 16384,     // bytes; three statements without a row
};

// --- serving the sources ---

static struct ngx_http_comanda_call *next_call(struct ngx_http_comanda_postgres *postgres)
{
    for (ngx_queue_t *at = ngx_queue_head(&postgres->sources);
         at != ngx_queue_sentinel(&postgres->sources); at = ngx_queue_next(at)) {
        struct ngx_http_comanda_source *source =
            ngx_queue_data(at, struct ngx_http_comanda_source, link);
        struct ngx_http_comanda_call *call = source->offer(source);
        if (call != NULL) {
            ngx_queue_remove(at);
            ngx_queue_insert_tail(&postgres->sources, at); // the others first, next time
            return call;
        }
    }
    return NULL;
}

static void serve(ngx_event_t *event)
{
    struct ngx_http_comanda_postgres *postgres = event->data;
    for (ngx_uint_t i = 0; i < postgres->connection_count && !postgres->shut; i++) {
        struct ngx_http_comanda_connection *connection = &postgres->connections[i];
        while (connection->state == CONNECTION_IDLE) {
            struct ngx_http_comanda_call *call = next_call(postgres);
            if (call == NULL) {
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
                                          struct ngx_http_comanda_source *source)
{
    ngx_queue_insert_tail(&postgres->sources, &source->link);
}

enum status ngx_http_comanda_postgres_enter(struct ngx_http_comanda_postgres *postgres)
{
    if (postgres->shut ||
        (postgres->open == 0 && ngx_current_msec - postgres->down_since > FAIL_FAST_AFTER_MS)) {
        return STATUS_UNAVAILABLE;
    }
    if (postgres->waiting >= postgres->queue_max) {
        return STATUS_FULL;
    }
    postgres->waiting++;
    ngx_http_comanda_metric_set(postgres->queue_length, (int64_t)postgres->waiting);
    return STATUS_OK;
}

void ngx_http_comanda_postgres_leave(struct ngx_http_comanda_postgres *postgres)
{
    postgres->waiting--;
    ngx_http_comanda_metric_set(postgres->queue_length, (int64_t)postgres->waiting);
}

ngx_msec_t ngx_http_comanda_postgres_budget(const struct ngx_http_comanda_postgres *postgres)
{
    return postgres->timeout;
}

// --- what connections tell ---

static void count(struct ngx_http_comanda_postgres *postgres)
{
    int64_t ready = 0;
    postgres->open = 0;
    for (ngx_uint_t i = 0; i < postgres->connection_count; i++) {
        postgres->open += postgres->connections[i].state >= CONNECTION_IDLE;
        ready += postgres->connections[i].ready;
    }
    ngx_http_comanda_metric_set(postgres->connections_ready, ready);
}

void ngx_http_comanda_postgres_opened(struct ngx_http_comanda_connection *connection)
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

void ngx_http_comanda_postgres_freed(struct ngx_http_comanda_connection *connection)
{
    serve(&connection->postgres->serve);
}

void ngx_http_comanda_postgres_closed(struct ngx_http_comanda_connection *connection,
                                      const char *why)
{
    struct ngx_http_comanda_postgres *postgres = connection->postgres;
    bool was_open = connection->state >= CONNECTION_IDLE;
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
                      "comanda: PostgreSQL \"%*s\" is lost: %*s; trying again, up to each 5 s",
                      postgres->name.len, postgres->name.data, len, why);
    }
    if (postgres->open == 0) {
        ngx_http_comanda_batches_give_up(postgres->batches);
    }
}

// --- the directive ---

static char *refuse(ngx_conf_t *cf, const char *what)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_postgres: %s", what);
    return NGX_CONF_ERROR;
}

static bool is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++) {
        bool set = options->val != NULL && options->val[0] != '\0';
        if (set && strcmp(options->keyword, keyword) == 0) {
            return options->val;
        }
    }
    return NULL;
}

// libpq wants a host for each of its addresses.
static bool take_addresses(ngx_conf_t *cf, struct ngx_http_comanda_postgres *postgres,
                           const ngx_url_t *url)
{
    ngx_uint_t count = ngx_min(url->naddrs, ADDRESSES_MAX);
    u_char *host = ngx_pnalloc(cf->pool, count * (url->host.len + 1) + 1);
    u_char *address = ngx_pnalloc(cf->pool, count * (NGX_SOCKADDR_STRLEN + 1) + 1);
    postgres->host = (const char *)host;
    postgres->hostaddr = (const char *)address;
    if (host == NULL || address == NULL) {
        return false;
    }
    for (ngx_uint_t i = 0; i < count; i++) {
        if (i > 0) {
            *host++ = ',';
            *address++ = ',';
        }
        host = ngx_cpymem(host, url->host.data, url->host.len);
        address += ngx_sock_ntop(url->addrs[i].sockaddr, url->addrs[i].socklen, address,
                                 NGX_SOCKADDR_STRLEN, 0);
    }
    *host = '\0';
    *address = '\0';
    return true;
}

// A name is looked up here, once: libpq would do it in the middle of the event loop, and block.
static char *resolve(ngx_conf_t *cf, struct ngx_http_comanda_postgres *postgres, const char *name)
{
    ngx_url_t url;
    ngx_memzero(&url, sizeof(url));
    url.host.len = strlen(name);
    url.host.data = ngx_pnalloc(cf->pool, url.host.len);
    if (url.host.data == NULL) {
        return NGX_CONF_ERROR;
    }
    ngx_memcpy(url.host.data, name, url.host.len);
    if (ngx_inet_resolve_host(cf->pool, &url) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_postgres: %s: \"%V\"",
                           url.err == NULL ? "no memory" : url.err, &url.host);
        return NGX_CONF_ERROR;
    }
    return take_addresses(cf, postgres, &url) ? NGX_CONF_OK : NGX_CONF_ERROR;
}

static char *find_server(ngx_conf_t *cf, struct ngx_http_comanda_postgres *postgres,
                         const PQconninfoOption *options)
{
    const char *host = value_of(options, "host");
    if (value_of(options, "hostaddr") != NULL) {
        return NGX_CONF_OK;
    }
    if (host == NULL || strchr(host, ',') != NULL) {
        return refuse(cf,
                      "give one name, address or socket folder as host, or addresses as hostaddr");
    }
    return host[0] == '/' || is_address(host) ? NGX_CONF_OK : resolve(cf, postgres, host);
}

static char *read_conninfo(ngx_conf_t *cf, struct ngx_http_comanda_postgres *postgres)
{
    PQconninfoOption *options = PQconninfoParse(postgres->conninfo, NULL);
    if (options == NULL) { // libpq's own message would quote what may be the password
        return refuse(cf, "the connection string has a form or an option that libpq does not know: "
                          "give name=value pairs, a value with a space in single quotes, or a "
                          "postgresql:// address");
    }
    char *rc = find_server(cf, postgres, options);
    PQconninfoFree(options);
    return rc;
}

static char *read_options(ngx_conf_t *cf, struct ngx_http_comanda_postgres *postgres)
{
    struct ngx_http_comanda_setting settings[] = {
        {.name = STR("connections"),
         .number = &postgres->connection_count,
         .min = 1,
         .max = CONNECTIONS_MAX},
        {.name = STR("queue"), .number = &postgres->queue_max, .min = 1, .max = QUEUE_MAX},
        {.name = STR("timeout"), .msec = &postgres->timeout, .min = 1, .max = TIMEOUT_MAX_MS},
        {.name = {NULL, 0}},
    };
    return ngx_http_comanda_read_settings(cf, 3, settings);
}

static char *set_postgres(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    (void)data;
    struct ngx_http_comanda_main_conf *main = ngx_http_comanda_main_conf(cf);
    if (main->postgres != NULL) {
        return refuse(cf, "stands twice; one log is all that an edge can use");
    }
    struct ngx_http_comanda_postgres *postgres = ngx_pcalloc(cf->pool, sizeof(*postgres));
    if (postgres == NULL) {
        return NGX_CONF_ERROR;
    }
    ngx_str_t *words = cf->args->elts;
    postgres->name = ngx_http_comanda_str(words[1]);
    postgres->conninfo = (const char *)words[2].data;
    postgres->connection_count = CONNECTIONS_DEFAULT;
    postgres->queue_max = QUEUE_DEFAULT;
    postgres->timeout = TIMEOUT_DEFAULT_MS;
    main->postgres = postgres;
    postgres->queue_length = ngx_http_comanda_gauge(
        cf, "comanda_queue_length", "Requests that wait for a statement to leave.", STR(""));
    postgres->connections_ready = ngx_http_comanda_gauge(
        cf, "comanda_postgres_connections", "Connections to PostgreSQL that serve.", STR(""));
    postgres->losses = ngx_http_comanda_counter(
        cf, "comanda_postgres_losses_total",
        "Connections to PostgreSQL lost, failed attempts to open one included.", STR(""));
    ngx_http_comanda_batches_declare(cf, postgres);
    char *rc = read_conninfo(cf, postgres);
    return rc == NGX_CONF_OK ? read_options(cf, postgres) : rc;
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_postgres"),
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_2MORE,
     .set = set_postgres,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET},
    ngx_null_command,
};

// --- the life of a worker ---

static struct ngx_http_comanda_main_conf *main_of(ngx_cycle_t *cycle)
{
    return ngx_http_cycle_get_module_main_conf(cycle, ngx_http_comanda_module);
}

static struct ngx_http_comanda_postgres *postgres_of(ngx_cycle_t *cycle)
{
    struct ngx_http_comanda_main_conf *main = main_of(cycle);
    return main == NULL ? NULL : main->postgres;
}

// What commands run, asked about nothing.
static bool make_warm_ups(struct ngx_http_comanda_postgres *postgres)
{
    static const struct stream_query query;
    static const struct uuid key;
    struct statement *warm_ups = postgres->warm_ups;
    arena_init(&postgres->arena, WARM_UP_BLOCK, WARM_UP_BLOCK);
    return statement_append_warm_up(&postgres->arena, &warm_ups[0]) == STATUS_OK &&
           statement_read_streams(&query, 1, READ_ROWS_A_STREAM_MAX, &postgres->arena,
                                  &warm_ups[1]) == STATUS_OK &&
           statement_find_keys(&key, 1, &postgres->arena, &warm_ups[2]) == STATUS_OK;
}

static ngx_int_t init_process(ngx_cycle_t *cycle)
{
    struct ngx_http_comanda_postgres *postgres = postgres_of(cycle);
    if (postgres == NULL ||
        (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)) {
        return NGX_OK;
    }
    postgres->connections =
        ngx_pcalloc(cycle->pool, postgres->connection_count * sizeof(*postgres->connections));
    if (postgres->connections == NULL || !make_warm_ups(postgres)) {
        return NGX_ERROR;
    }
    ngx_queue_init(&postgres->sources);
    postgres->serve = (ngx_event_t){.data = postgres, .log = cycle->log, .handler = serve};
    postgres->down_since = ngx_current_msec;
    postgres->batches = ngx_http_comanda_batches_new(cycle, postgres);
    postgres->reads = ngx_http_comanda_reads_new(cycle, postgres);
    postgres->lookups = ngx_http_comanda_lookups_new(cycle, postgres, main_of(cycle)->tenant);
    if (postgres->batches == NULL || postgres->reads == NULL || postgres->lookups == NULL) {
        return NGX_ERROR;
    }
    for (ngx_uint_t i = 0; i < postgres->connection_count; i++) {
        ngx_http_comanda_connection_init(&postgres->connections[i], postgres, cycle->log);
    }
    for (ngx_uint_t i = 0; i < postgres->connection_count; i++) {
        ngx_http_comanda_connection_open(&postgres->connections[i]);
    }
    return NGX_OK;
}

static void exit_process(ngx_cycle_t *cycle)
{
    struct ngx_http_comanda_postgres *postgres = postgres_of(cycle);
    if (postgres == NULL || postgres->connections == NULL) {
        return;
    }
    postgres->shut = true;
    for (ngx_uint_t i = 0; i < postgres->connection_count; i++) {
        ngx_http_comanda_connection_shut(&postgres->connections[i]);
    }
    ngx_http_comanda_batches_free(postgres->batches);
    ngx_http_comanda_reads_free(postgres->reads);
    ngx_http_comanda_lookups_free(postgres->lookups);
    arena_free(&postgres->arena);
}

static ngx_http_module_t module_context;

ngx_module_t ngx_http_comanda_postgres_module = {
    NGX_MODULE_V1,           .ctx = &module_context,       .commands = directives,
    .type = NGX_HTTP_MODULE, .init_process = init_process, .exit_process = exit_process,
    NGX_MODULE_V1_PADDING,
};
