// SPDX-License-Identifier: Apache-2.0
// The checks that stand before a location, in their order: limit by address, shed, token, scope,
// limit by principal. Each also works in front of any proxy_pass.
#pragma once

#include "guard/shed.h"
#include "request/context.h"

extern ngx_module_t ngx_http_comanda_cors_module;
extern ngx_module_t ngx_http_comanda_jwt_module;
extern ngx_module_t ngx_http_comanda_limit_module;
extern ngx_module_t ngx_http_comanda_guard_module;

enum ngx_http_comanda_limit_phase {
    NGX_HTTP_COMANDA_LIMIT_PREACCESS, // before the token is looked at: keys such as the address
    NGX_HTTP_COMANDA_LIMIT_ACCESS,    // once the access phase let it in: such as $comanda_subject
};

// Each gives NGX_DECLINED (go on) or the status to refuse with, noted by ngx_http_comanda_refuse.
ngx_int_t ngx_http_comanda_limit_check(ngx_http_request_t *r,
                                       enum ngx_http_comanda_limit_phase phase);
ngx_int_t ngx_http_comanda_shed_check(ngx_http_request_t *r);

// After the access phase: asks a zone once more, and has the request take a place there. Before it
// those whose token is refused would take one, some for as long as auth_delay says.
ngx_int_t ngx_http_comanda_shed_begin(ngx_http_request_t *r);

// A preflight of another origin is answered here; else NGX_DECLINED.
ngx_int_t ngx_http_comanda_cors_check(ngx_http_request_t *r);

// NGX_OK: the token and its scopes are good. NGX_DECLINED: no comanda_jwt stands here.
ngx_int_t ngx_http_comanda_jwt_check(ngx_http_request_t *r);

// Who asks, verified by the keys that count in this location; NULL: nobody.
const struct ngx_http_comanda_principal *ngx_http_comanda_principal(ngx_http_request_t *r);

// For handlers that demand a scope themselves: 401 without a principal, else 403; to be returned.
ngx_int_t ngx_http_comanda_refuse_scope(ngx_http_request_t *r, ngx_str_t scope);
