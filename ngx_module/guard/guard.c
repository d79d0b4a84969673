// SPDX-License-Identifier: Apache-2.0
// The checks that stand before a location, in their order: limit by address, shed, token, scope,
// limit by principal. Each also works in front of any proxy_pass.
#include "guard/guard.h"

// A check has answered by itself, the body is discarded: the phases end here.
static ngx_int_t answered(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_finalize_request(r, rc);
    return NGX_DONE;
}

static ngx_int_t handle_preaccess(ngx_http_request_t *r)
{
    ngx_int_t rc = ngx_http_comanda_limit_check(r, NGX_HTTP_COMANDA_LIMIT_PREACCESS);
    if (rc == NGX_DECLINED) {
        rc = ngx_http_comanda_shed_check(r);
    }
    return rc == NGX_DECLINED ? NGX_DECLINED : answered(r, rc);
}

static ngx_int_t handle_access(ngx_http_request_t *r)
{
    ngx_int_t rc = ngx_http_comanda_jwt_check(r);
    if (rc == NGX_DECLINED) {
        rc = ngx_http_comanda_limit_check(r, NGX_HTTP_COMANDA_LIMIT_ACCESS);
    }
    return rc == NGX_DECLINED ? NGX_DECLINED : answered(r, rc);
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
    if (add_handler(cf, NGX_HTTP_PREACCESS_PHASE, handle_preaccess) != NGX_OK) {
        return NGX_ERROR;
    }
    return add_handler(cf, NGX_HTTP_ACCESS_PHASE, handle_access);
}

static ngx_http_module_t module_context = {.postconfiguration = add_handlers};

ngx_module_t ngx_http_comanda_guard_module = {
    NGX_MODULE_V1,
    .ctx = &module_context,
    .type = NGX_HTTP_MODULE,
    NGX_MODULE_V1_PADDING,
};
