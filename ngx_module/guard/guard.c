// SPDX-License-Identifier: Apache-2.0
// The checks that stand before a location, in their order: preflight, limit by address, shed,
// token, scope, limit by principal. Each also works in front of any proxy_pass.
#include "guard/guard.h"

// A refusal is the status that the phase returns: error_page, satisfy and auth_delay see it as they
// see any other, and the page is made last (answer/problem_filter.c).
static ngx_int_t handle_preaccess(ngx_http_request_t *r)
{
    ngx_int_t rc = ngx_http_comanda_cors_check(r);
    if (rc == NGX_DECLINED) {
        rc = ngx_http_comanda_limit_check(r, NGX_HTTP_COMANDA_LIMIT_PREACCESS);
    }
    return rc == NGX_DECLINED ? ngx_http_comanda_shed_check(r) : rc;
}

// Our mark in r->ctx, which a redirect zeroes: a comanda_jwt was asked since the last one.
static ngx_int_t handle_access(ngx_http_request_t *r)
{
    static char mark;
    ngx_int_t rc = ngx_http_comanda_jwt_check(r);
    if (rc != NGX_DECLINED) {
        ngx_http_set_ctx(r, &mark, ngx_http_comanda_guard_module);
    }
    return rc;
}

// nginx runs no access phase in a subrequest: whatever an auth_request, SSI or mirror leads to
// would be open.
static ngx_int_t check_subrequest(ngx_http_request_t *r)
{
    ngx_int_t rc = ngx_http_comanda_jwt_check(r);
    return rc == NGX_OK ? NGX_DECLINED : rc;
}

// Whoever is here has been let in, by our token or, under `satisfy any`, by something else: what
// was said against the token meanwhile does not count any more.
static void forget_refusal(ngx_http_request_t *r)
{
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    // An error_page has led here, maybe by "=", which gives no status: the refusal stands.
    bool page =
        r->err_status != 0 || ngx_http_get_module_ctx(r, ngx_http_comanda_guard_module) == NULL;
    if (ctx != NULL && ctx->refusal.status != 0 && !page) {
        ctx->refusal.status = 0;
        if (ctx->challenge != NULL) {
            ctx->challenge->hash = 0;
        }
    }
}

static ngx_int_t handle_precontent(ngx_http_request_t *r)
{
    if (r != r->main) {
        return check_subrequest(r);
    }
    forget_refusal(r);
    ngx_int_t rc = ngx_http_comanda_limit_check(r, NGX_HTTP_COMANDA_LIMIT_ACCESS);
    return rc == NGX_DECLINED ? ngx_http_comanda_shed_begin(r) : rc;
}

static ngx_int_t add_handler(ngx_conf_t *cf, ngx_http_phases phase, ngx_http_handler_pt handler)
{
    ngx_http_core_main_conf_t *core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_handler_pt *slot = ngx_array_push(&core->phases[phase].handlers);
    if (slot == NULL) {
        return NGX_ERROR;
    }
    *slot = handler;
    return NGX_OK;
}

static ngx_int_t add_handlers(ngx_conf_t *cf)
{
    if (add_handler(cf, NGX_HTTP_PREACCESS_PHASE, handle_preaccess) != NGX_OK ||
        add_handler(cf, NGX_HTTP_ACCESS_PHASE, handle_access) != NGX_OK) {
        return NGX_ERROR;
    }
    return add_handler(cf, NGX_HTTP_PRECONTENT_PHASE, handle_precontent);
}

static ngx_http_module_t module_context = {.postconfiguration = add_handlers};

ngx_module_t ngx_http_comanda_guard_module = {
    NGX_MODULE_V1,
    .ctx = &module_context,
    .type = NGX_HTTP_MODULE,
    NGX_MODULE_V1_PADDING,
};
