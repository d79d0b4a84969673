// SPDX-License-Identifier: Apache-2.0
// What the edge's modules share: configuration, the request's context, answers, views of strings.
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "base/status.h"
#include "base/str.h"
#include "domain/fault_list.h"

extern ngx_module_t ngx_http_comanda_module;

struct ngx_http_comanda_postgres;
struct ngx_http_comanda_redis;

// The stores and the tenant, one set for the whole of http {}.
struct ngx_http_comanda_main_conf {
    struct str tenant;                          // comanda_tenant; "main" unless said
    struct ngx_http_comanda_postgres *postgres; // NULL: no comanda_postgres stands in the file
    struct ngx_http_comanda_redis *redis; // NULL: no comanda_redis, everything from PostgreSQL
};

// Who asks, verified. Views live as long as the request.
struct ngx_http_comanda_principal {
    struct str subject;
    struct str scopes; // space-separated, as the token's claim
    struct str tenant;
};

// What the modules know of a request; survives internal redirects. One a client's request,
// subrequests share it.
struct ngx_http_comanda_ctx {
    const struct ngx_http_comanda_principal *principal; // NULL: nobody was verified
    const void *guard;                                  // the comanda_jwt that verified it
    struct str correlation_id;                          // empty until the correlation module ran
    struct str traceparent;                             // likewise
    unsigned charged; // a bit a phase whose rate limits have counted this request
};

// The request's context, made at the first call; NULL: no memory.
struct ngx_http_comanda_ctx *ngx_http_comanda_ctx(ngx_http_request_t *r);

struct ngx_http_comanda_main_conf *ngx_http_comanda_main_conf(ngx_conf_t *cf);

// Has the principal this scope? False without a principal.
bool ngx_http_comanda_has_scope(const struct ngx_http_comanda_ctx *ctx, struct str scope);

// The common id of a request's traces; made when the client sent none that is safe. "" without
// memory only.
struct str ngx_http_comanda_correlation_id(ngx_http_request_t *r);
struct str ngx_http_comanda_traceparent(ngx_http_request_t *r);

// Answers. Both discard the request's body, send header and body, and give the code that a content
// handler returns or ngx_http_finalize_request takes; a handler of another phase finalizes with it
// and returns NGX_DONE. `body` must live as long as the request. 304 and HEAD leave the body out.
ngx_int_t ngx_http_comanda_send(ngx_http_request_t *r, ngx_uint_t status, struct str content_type,
                                struct str body);

// application/problem+json. slug: such as "not-found", listed in docs/problems.md. errors may be
// NULL. A 503, 504 or 429 without Retry-After gets one of one second.
ngx_int_t ngx_http_comanda_problem(ngx_http_request_t *r, ngx_uint_t status, struct str slug,
                                   struct str detail, const struct fault_list *errors);

// The problem's JSON in the request's pool; data NULL: no memory.
struct str ngx_http_comanda_problem_body(ngx_http_request_t *r, ngx_uint_t status, struct str slug,
                                         struct str detail, const struct fault_list *errors);

// For a request that waits: a client that goes away is noticed at once, and the request's cleanup
// handlers run. The waiting has a plain timer too, or a draining worker would cut it.
ngx_int_t ngx_http_comanda_watch_client(ngx_http_request_t *r);

// Ends a request that waited, from an event of another connection. The request may be gone after
// it.
void ngx_http_comanda_finish(ngx_http_request_t *r, ngx_int_t rc);

// Adds a header to the answer; value is copied into the request's pool.
ngx_int_t ngx_http_comanda_add_header(ngx_http_request_t *r, struct str name, struct str value);

// Sets ETag: "<version>".
ngx_int_t ngx_http_comanda_set_etag(ngx_http_request_t *r, int32_t version);

// Adds Comanda-Position, the document's place in the log.
struct document;
ngx_int_t ngx_http_comanda_add_position(ngx_http_request_t *r, const struct document *document);

// Allows only these methods, else answers 405 with Allow. NGX_DECLINED: the method is fine.
ngx_int_t ngx_http_comanda_require_method(ngx_http_request_t *r, ngx_uint_t methods,
                                          struct str allow);

// The one request header of this name (lower case). *count tells how many there were.
struct str ngx_http_comanda_header(ngx_http_request_t *r, struct str lowcase_name,
                                   ngx_uint_t *count);

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

// How long a command put in the queue now would wait for its batch to commit, by the measured batch
// time and what stands before it, in milliseconds. priority: 1 for what goes first (high), 0 else.
ngx_msec_t ngx_http_comanda_postgres_wait(const struct ngx_http_comanda_postgres *postgres,
                                          int priority);

// The time a command may wait for its batch to leave (comanda_postgres timeout=), milliseconds.
ngx_msec_t ngx_http_comanda_postgres_budget(const struct ngx_http_comanda_postgres *postgres);
