// SPDX-License-Identifier: Apache-2.0
// What every part of the edge begins with: nginx, views of its strings, a request's headers.
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "base/status.h"
#include "base/str.h"
#include "core/nginx_version.h"

static inline struct str ngx_http_comanda_str(ngx_str_t text)
{
    return (struct str){(const char *)text.data, text.len};
}

static inline ngx_str_t ngx_http_comanda_ngx_str(struct str text)
{
    return (ngx_str_t){text.len, (u_char *)text.data};
}

// A copy in a pool, NUL-terminated; data NULL: no memory.
struct str ngx_http_comanda_copy(ngx_pool_t *pool, struct str text);

// The one request header of this name (lower case). *count tells how many there were.
struct str ngx_http_comanda_header(ngx_http_request_t *r, struct str lowcase_name,
                                   ngx_uint_t *count);
