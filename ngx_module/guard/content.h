// SPDX-License-Identifier: Apache-2.0
// What a location serves: one command (POST) and one reader (GET and HEAD), each with the scope
// that it takes. Methods, principal and scope are checked here, so that no way around the access
// phase leads to a handler.
#pragma once

#include "core/comanda.h"

extern ngx_module_t ngx_http_comanda_content_module;

enum { BODY_BYTES_MAX = 64 * 1024 }; // of a command

// What the location of this request serves, such as "GET, HEAD"; empty: it is not one of ours.
struct str ngx_http_comanda_content_methods(ngx_http_request_t *r);

// In a directive's handler: this location answers these methods (NGX_HTTP_POST, or NGX_HTTP_GET
// with NGX_HTTP_HEAD) by `handler`. scope: what the principal must have; empty: the location is
// public. NGX_CONF_OK or a sentence for the error.
char *ngx_http_comanda_content_set(ngx_conf_t *cf, ngx_uint_t methods, ngx_http_handler_pt handler,
                                   ngx_str_t scope);
