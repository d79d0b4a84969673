// SPDX-License-Identifier: Apache-2.0
// What the edge knows of a client's request: who asks, under which correlation id, what was
// charged.
#pragma once

#include "core/comanda.h"

extern ngx_module_t ngx_http_comanda_request_module;

// Who asks, verified. Views live as long as the request.
struct ngx_http_comanda_principal {
    struct str subject;
    struct str scopes; // space-separated, as the token's claim
};

// Survives internal redirects. One a client's request, subrequests share it.
struct ngx_http_comanda_ctx {
    const struct ngx_http_comanda_principal *principal; // NULL: nobody was verified
    const void *guard;                                  // the comanda_jwt that verified it
    struct str correlation_id;                          // empty until it was asked for
    struct str traceparent;                             // likewise
    unsigned charged; // a bit a phase whose rate limits have counted this request
};

// The request's context, made at the first call; NULL: no memory.
struct ngx_http_comanda_ctx *ngx_http_comanda_ctx(ngx_http_request_t *r);

// Has the principal this scope? False without a principal.
bool ngx_http_comanda_has_scope(const struct ngx_http_comanda_ctx *ctx, struct str scope);

// The common id of a request's traces; made when the client sent none that is safe. "" without
// memory only.
struct str ngx_http_comanda_correlation_id(ngx_http_request_t *r);
struct str ngx_http_comanda_traceparent(ngx_http_request_t *r);
