// SPDX-License-Identifier: Apache-2.0
// The first of the edge's modules: what all share, the tenant, and each request's context.
#include "ngx_http_comanda.h"

#include <malloc.h>

enum { TENANT_LEN_MAX = 64, HEAP_TRIM_BYTES = 64 * 1024 * 1024, HEAP_PAD_BYTES = 4 * 1024 * 1024 };

static void *create_main_conf(ngx_conf_t *cf)
{
    struct ngx_http_comanda_main_conf *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (conf != NULL) {
        conf->tenant = STR("main");
    }
    return conf;
}

static bool is_tenant_name(ngx_str_t name)
{
    for (size_t i = 0; i < name.len; i++) {
        u_char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) {
            return false;
        }
    }
    return name.len > 0 && name.len <= TENANT_LEN_MAX;
}

static char *set_tenant(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    struct ngx_http_comanda_main_conf *conf = data;
    ngx_str_t *words = cf->args->elts;
    if (!is_tenant_name(words[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "comanda_tenant \"%V\": give 1 to %d of a-z, 0-9, \"-\" and \"_\"",
                           &words[1], TENANT_LEN_MAX);
        return NGX_CONF_ERROR;
    }
    conf->tenant = ngx_http_comanda_str(words[1]);
    return NGX_CONF_OK;
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_tenant"),
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     .set = set_tenant,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET},
    ngx_null_command,
};

// nginx frees a request's pool at its end, and glibc gives the top of the heap back to the kernel
// each time when nothing long-lived lies above it: 40 µs a request.
static ngx_int_t init_process(ngx_cycle_t *cycle)
{
    (void)cycle;
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_TRIM_BYTES);
    (void)mallopt(M_TOP_PAD, HEAP_PAD_BYTES);
    return NGX_OK;
}

static ngx_http_module_t module_context = {.create_main_conf = create_main_conf};

ngx_module_t ngx_http_comanda_module = {
    NGX_MODULE_V1,           .ctx = &module_context,       .commands = directives,
    .type = NGX_HTTP_MODULE, .init_process = init_process, NGX_MODULE_V1_PADDING,
};

struct ngx_http_comanda_main_conf *ngx_http_comanda_main_conf(ngx_conf_t *cf)
{
    return ngx_http_conf_get_module_main_conf(cf, ngx_http_comanda_module);
}

// Marks our context among the cleanups of a request's pool; there is nothing to clean.
static void context_marker(void *data)
{
    (void)data;
}

// An internal redirect, error_page and a named location zero r->ctx, not the pool.
static struct ngx_http_comanda_ctx *find_context(ngx_http_request_t *r)
{
    for (ngx_pool_cleanup_t *cleanup = r->pool->cleanup; cleanup; cleanup = cleanup->next) {
        if (cleanup->handler == context_marker) {
            return cleanup->data;
        }
    }
    return NULL;
}

struct ngx_http_comanda_ctx *ngx_http_comanda_ctx(ngx_http_request_t *r)
{
    r = r->main;
    struct ngx_http_comanda_ctx *ctx = ngx_http_get_module_ctx(r, ngx_http_comanda_module);
    if (ctx == NULL && (r->internal || r->filter_finalize)) {
        ctx = find_context(r);
        ngx_http_set_ctx(r, ctx, ngx_http_comanda_module);
    }
    if (ctx != NULL) {
        return ctx;
    }
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, sizeof(*ctx));
    if (cleanup == NULL) {
        return NULL;
    }
    cleanup->handler = context_marker;
    ctx = cleanup->data;
    ngx_memzero(ctx, sizeof(*ctx));
    ngx_http_set_ctx(r, ctx, ngx_http_comanda_module);
    return ctx;
}

bool ngx_http_comanda_has_scope(const struct ngx_http_comanda_ctx *ctx, struct str scope)
{
    if (ctx == NULL || ctx->principal == NULL) {
        return false;
    }
    struct str rest = ctx->principal->scopes;
    while (rest.len > 0) {
        struct str one;
        (void)str_split(rest, ' ', &one, &rest);
        if (str_eq(one, scope)) {
            return true;
        }
    }
    return false;
}

struct str ngx_http_comanda_copy(ngx_pool_t *pool, struct str text)
{
    u_char *copy = ngx_pnalloc(pool, text.len + 1);
    if (copy == NULL) {
        return (struct str){NULL, 0};
    }
    *ngx_cpymem(copy, text.data, text.len) = '\0';
    return (struct str){(const char *)copy, text.len};
}
