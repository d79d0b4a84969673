// SPDX-License-Identifier: Apache-2.0
// Directive comanda_postgres: where the log is, and how many sessions a worker keeps there.
#include <arpa/inet.h>

#include "core/settings.h"
#include "store/session.h"
#include "store/store.h"

extern ngx_module_t ngx_http_comanda_postgres_module;

enum {
    CONNECTIONS_DEFAULT = 2,
    QUEUE_DEFAULT = 4096,
    QUEUE_MAX = 65536,
    TIMEOUT_DEFAULT_MS = 2000,
    TIMEOUT_MAX_MS = 60000,
};

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

// libpq wants a host for each of its addresses. Those behind the maximum are left out.
static bool take_addresses(ngx_conf_t *cf, struct ngx_http_comanda_addresses *addresses,
                           const ngx_url_t *url)
{
    ngx_uint_t count = ngx_min(url->naddrs, NGX_HTTP_COMANDA_ADDRESSES_MAX);
    u_char *host = ngx_pnalloc(cf->pool, count * (url->host.len + 1) + 1);
    u_char *address = ngx_pnalloc(cf->pool, count * (NGX_SOCKADDR_STRLEN + 1) + 1);
    addresses->host = (const char *)host;
    addresses->hostaddr = (const char *)address;
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
static char *resolve(ngx_conf_t *cf, struct ngx_http_comanda_addresses *addresses, const char *name)
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
    return take_addresses(cf, addresses, &url) ? NGX_CONF_OK : NGX_CONF_ERROR;
}

static char *find_server(ngx_conf_t *cf, struct ngx_http_comanda_addresses *addresses)
{
    const char *host = addresses->host;
    if (addresses->hostaddr != NULL) {
        return NGX_CONF_OK;
    }
    if (host == NULL || strchr(host, ',') != NULL) {
        return refuse(cf,
                      "give one name, address or socket folder as host, or addresses as hostaddr");
    }
    return host[0] == '/' || is_address(host) ? NGX_CONF_OK : resolve(cf, addresses, host);
}

static const char *copy_of(ngx_conf_t *cf, const char *text)
{
    size_t len = text == NULL ? 0 : strlen(text) + 1;
    u_char *copy = text == NULL ? NULL : ngx_pnalloc(cf->pool, len);
    if (copy != NULL) {
        ngx_memcpy(copy, text, len);
    }
    return (const char *)copy;
}

static char *read_addresses(ngx_conf_t *cf, struct ngx_http_comanda_postgres *postgres,
                            const PQconninfoOption *options)
{
    struct ngx_http_comanda_addresses given = {.host = copy_of(cf, value_of(options, "host")),
                                               .hostaddr =
                                                   copy_of(cf, value_of(options, "hostaddr")),
                                               .port = copy_of(cf, value_of(options, "port"))};
    char *rc = find_server(cf, &given);
    if (rc != NGX_CONF_OK) {
        return rc;
    }
    const char *what = NULL;
    postgres->address_count =
        ngx_http_comanda_addresses_turn(cf->pool, given, postgres->addresses, &what);
    return postgres->address_count == 0 ? refuse(cf, what) : NGX_CONF_OK;
}

static char *read_conninfo(ngx_conf_t *cf, struct ngx_http_comanda_postgres *postgres)
{
    PQconninfoOption *options = PQconninfoParse(postgres->conninfo, NULL);
    if (options == NULL) { // libpq's own message would quote what may be the password
        return refuse(cf, "the connection string has a form or an option that libpq does not know: "
                          "give name=value pairs, a value with a space in single quotes, or a "
                          "postgresql:// address");
    }
    char *rc = read_addresses(cf, postgres, options);
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
        {.name = STR("abandoned"),
         .number = &postgres->abandoned_max,
         .min = 1,
         .max = CONNECTIONS_MAX},
        {.name = STR("timeout"), .msec = &postgres->timeout, .min = 1, .max = TIMEOUT_MAX_MS},
        {.name = {NULL, 0}},
    };
    char *rc = ngx_http_comanda_read_settings(cf, 3, settings);
    if (postgres->abandoned_max == 0) {
        postgres->abandoned_max = postgres->connection_count;
    }
    return rc;
}

static char *set_postgres(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    (void)data;
    struct ngx_http_comanda_store *store = ngx_http_comanda_store(cf);
    if (store->postgres != NULL) {
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
    store->postgres = postgres;
    postgres->queue_length = ngx_http_comanda_gauge(
        cf, "comanda_queue_length", "Requests that wait for a statement to leave.", STR(""));
    postgres->connections_ready = ngx_http_comanda_gauge(
        cf, "comanda_postgres_connections", "Connections to PostgreSQL that serve.", STR(""));
    postgres->abandoned_now = ngx_http_comanda_gauge(
        cf, "comanda_postgres_abandoned",
        "Sessions kept aside, since their write had no answer in time.", STR(""));
    postgres->losses = ngx_http_comanda_counter(
        cf, "comanda_postgres_losses_total",
        "Connections to PostgreSQL lost, failed attempts to open one included.", STR(""));
    ngx_http_comanda_batches_declare(cf, &store->batch_metrics);
    ngx_http_comanda_snapshots_declare(cf, &store->snapshot_metrics);
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

static ngx_http_module_t module_context;

ngx_module_t ngx_http_comanda_postgres_module = {
    NGX_MODULE_V1,           .ctx = &module_context, .commands = directives,
    .type = NGX_HTTP_MODULE, NGX_MODULE_V1_PADDING,
};
