// SPDX-License-Identifier: Apache-2.0
// What the edge knows of a client's request: who asks, under which correlation id, what was
// charged, and why it is refused.
#pragma once

#include "core/comanda.h"

extern ngx_module_t ngx_http_comanda_request_module;

// Who asks, verified. Views live as long as the request.
struct ngx_http_comanda_principal {
    struct str subject;
    struct str scopes; // space-separated, as the token's claim
};

// Whom a request or one of its subrequests has, and by whose keys.
struct ngx_http_comanda_identity {
    const ngx_http_request_t *r;
    const void *guard; // the comanda_jwt that verified it
    struct ngx_http_comanda_principal principal;
    struct ngx_http_comanda_identity *next;
};

// Why a guard refused; the page that follows says it. status 0: none did.
struct ngx_http_comanda_refusal {
    ngx_uint_t status;
    struct str slug;
    struct str detail;
};

// What a store has had to do with a request.
enum ngx_http_comanda_heard {
    NGX_HTTP_COMANDA_STORE_NOT_ASKED,
    NGX_HTTP_COMANDA_STORE_ANSWERED,
    NGX_HTTP_COMANDA_STORE_SILENT, // asked, no answer in time
};

// Survives internal redirects. One a client's request, subrequests share it.
struct ngx_http_comanda_ctx {
    struct ngx_http_comanda_identity *identities; // the newest first
    struct ngx_http_comanda_refusal refusal;
    struct str retry_after;     // of a refusal, in seconds; empty: none
    ngx_table_elt_t *challenge; // our WWW-Authenticate; NULL: none was made
    const void *cors;           // the comanda_cors that it began with; NULL: none
    struct str correlation_id;  // empty until it was asked for
    struct str traceparent;     // likewise
    bool answered;              // a header has been on its way to the client
    unsigned asked_in_vain;     // how often a variable asked for the principal while there was none
    enum ngx_http_comanda_heard store;           // for comanda_shed
    struct ngx_http_comanda_limit_state *limits; // what the rate limits did; NULL: nothing
};

// The request's context, made at the first call; NULL: no memory.
struct ngx_http_comanda_ctx *ngx_http_comanda_ctx(ngx_http_request_t *r);

// NULL: none was made yet.
struct ngx_http_comanda_ctx *ngx_http_comanda_known_ctx(ngx_http_request_t *r);

// The identity of this very request or subrequest; NULL: it has none.
const struct ngx_http_comanda_identity *ngx_http_comanda_identity(ngx_http_request_t *r);

// Remembers it in place of an earlier one of this request. The texts are copied. NGX_ERROR: no
// memory.
ngx_int_t ngx_http_comanda_set_identity(ngx_http_request_t *r, const void *guard,
                                        const struct ngx_http_comanda_principal *principal);

// Has the principal this scope? False without a principal (NULL).
bool ngx_http_comanda_has_scope(const struct ngx_http_comanda_principal *principal,
                                struct str scope);

// The common id of a request's traces; made when the client sent none that is safe. "" without
// memory only.
struct str ngx_http_comanda_correlation_id(ngx_http_request_t *r);
struct str ngx_http_comanda_traceparent(ngx_http_request_t *r);

// A handler tells what its store has done; an answer stays one, whatever fails later.
void ngx_http_comanda_hear_store(ngx_http_request_t *r, enum ngx_http_comanda_heard heard);
