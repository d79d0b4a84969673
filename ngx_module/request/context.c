// SPDX-License-Identifier: Apache-2.0
// The context of a client's request: kept through internal redirects, shared by its subrequests.
#include "request/context.h"

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

struct ngx_http_comanda_ctx *ngx_http_comanda_known_ctx(ngx_http_request_t *r)
{
    r = r->main;
    struct ngx_http_comanda_ctx *ctx = ngx_http_get_module_ctx(r, ngx_http_comanda_request_module);
    if (ctx == NULL && (r->internal || r->filter_finalize)) {
        ctx = find_context(r);
        ngx_http_set_ctx(r, ctx, ngx_http_comanda_request_module);
    }
    return ctx;
}

struct ngx_http_comanda_ctx *ngx_http_comanda_ctx(ngx_http_request_t *r)
{
    r = r->main;
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_known_ctx(r);
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
    ngx_http_set_ctx(r, ctx, ngx_http_comanda_request_module);
    return ctx;
}

const struct ngx_http_comanda_identity *ngx_http_comanda_identity(ngx_http_request_t *r)
{
    const struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    const struct ngx_http_comanda_identity *identity = ctx == NULL ? NULL : ctx->identities;
    while (identity != NULL && identity->r != r) {
        identity = identity->next;
    }
    return identity;
}

ngx_int_t ngx_http_comanda_set_identity(ngx_http_request_t *r, const void *guard,
                                        const struct ngx_http_comanda_principal *principal)
{
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    struct ngx_http_comanda_identity *identity = ngx_palloc(r->pool, sizeof(*identity));
    if (ctx == NULL || identity == NULL) {
        return NGX_ERROR;
    }
    *identity = (struct ngx_http_comanda_identity){
        .r = r,
        .guard = guard,
        .principal = {.subject = ngx_http_comanda_copy(r->pool, principal->subject),
                      .scopes = ngx_http_comanda_copy(r->pool, principal->scopes)},
        .next = ctx->identities,
    };
    if (identity->principal.subject.data == NULL || identity->principal.scopes.data == NULL) {
        return NGX_ERROR;
    }
    ctx->identities = identity;
    return NGX_OK;
}

bool ngx_http_comanda_has_scope(const struct ngx_http_comanda_principal *principal,
                                struct str scope)
{
    if (principal == NULL) {
        return false;
    }
    struct str rest = principal->scopes;
    while (rest.len > 0) {
        struct str one;
        (void)str_split(rest, ' ', &one, &rest);
        if (str_eq(one, scope)) {
            return true;
        }
    }
    return false;
}

void ngx_http_comanda_hear_store(ngx_http_request_t *r, enum ngx_http_comanda_heard heard)
{
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    if (ctx != NULL && ctx->store != NGX_HTTP_COMANDA_STORE_ANSWERED) {
        ctx->store = heard;
    }
}

static ngx_http_module_t module_context;

ngx_module_t ngx_http_comanda_request_module = {
    NGX_MODULE_V1,
    .ctx = &module_context,
    .type = NGX_HTTP_MODULE,
    NGX_MODULE_V1_PADDING,
};
