// SPDX-License-Identifier: Apache-2.0
// Ties this module to the guard module: what its headers declare is called through its table.
#include "store/guard_link.h"

#include "guard/calls.h"
#include "module_build.h"

#define NGX_HTTP_COMANDA_FORWARD(result, name, parameters, arguments) \
    result ngx_http_comanda_##name parameters                         \
    {                                                                 \
        return ngx_http_comanda_guard_calls.name arguments;           \
    }
NGX_HTTP_COMANDA_GUARD_CALLS(NGX_HTTP_COMANDA_FORWARD)
#undef NGX_HTTP_COMANDA_FORWARD

ngx_int_t ngx_http_comanda_link_guard(ngx_conf_t *cf)
{
    if (&ngx_http_comanda_guard_calls == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "ngx_http_comanda_module.so needs ngx_http_comanda_guard_module.so: put its "
                      "load_module line before this module's");
        return NGX_ERROR;
    }
    if (strcmp(ngx_http_comanda_guard_calls.build, COMANDA_MODULE_BUILD) != 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "ngx_http_comanda_module.so and ngx_http_comanda_guard_module.so are of "
                      "different builds: install both from one");
        return NGX_ERROR;
    }
    return NGX_OK;
}
