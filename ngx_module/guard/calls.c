// SPDX-License-Identifier: Apache-2.0
// The table by which other modules of this tree call the guard module.
#include "guard/calls.h"

#include "module_build.h"

const struct ngx_http_comanda_guard_calls ngx_http_comanda_guard_calls = {
    .build = COMANDA_MODULE_BUILD,
#define NGX_HTTP_COMANDA_ENTRY(result, name, parameters, arguments) .name = ngx_http_comanda_##name,
    NGX_HTTP_COMANDA_GUARD_CALLS(NGX_HTTP_COMANDA_ENTRY)
#undef NGX_HTTP_COMANDA_ENTRY
};
