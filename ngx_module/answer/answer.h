// SPDX-License-Identifier: Apache-2.0
// How every handler of the edge answers: documents and problem+json (RFC 9457).
//
// Answers discard the request's body, send header and body, and give the code that a content
// handler returns or ngx_http_finalize_request takes; a handler of another phase finalizes with it
// and returns NGX_DONE.
#pragma once

#include "core/comanda.h"
#include "domain/fault_list.h"

// `body` must live as long as the request. 304 and HEAD leave the body out.
ngx_int_t ngx_http_comanda_send(ngx_http_request_t *r, ngx_uint_t status, struct str content_type,
                                struct str body);

// application/problem+json. slug: such as "not-found", listed in docs/problems.md. errors may be
// NULL. A 503, 504 or 429 without Retry-After gets one of one second.
ngx_int_t ngx_http_comanda_problem(ngx_http_request_t *r, ngx_uint_t status, struct str slug,
                                   struct str detail, const struct fault_list *errors);

// Refuses: notes why, for the page that nginx asks for later, and gives the status to be returned
// by a phase's or content's handler. Headers that belong to it are added before. detail is copied.
ngx_int_t ngx_http_comanda_refuse(ngx_http_request_t *r, ngx_uint_t status, struct str slug,
                                  struct str detail);

// Whatever page is shown asks to wait for so long: one Retry-After, in place of a server's behind.
ngx_int_t ngx_http_comanda_refuse_until(ngx_http_request_t *r, struct str seconds);

// Sets WWW-Authenticate in core's own field, so that `satisfy any` takes it back. One with Bearer
// stands in place of those before.
ngx_int_t ngx_http_comanda_challenge(ngx_http_request_t *r, struct str value);

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

// The same, in place of all that stand there under this name, whoever set them.
ngx_int_t ngx_http_comanda_set_header(ngx_http_request_t *r, struct str name, struct str value);

// Adds it and gives the header for a field of headers_out; NULL: no memory.
ngx_table_elt_t *ngx_http_comanda_push_header(ngx_http_request_t *r, struct str name,
                                              struct str value);

// Allows only these methods, else answers 405 with Allow. NGX_DECLINED: the method is fine.
ngx_int_t ngx_http_comanda_require_method(ngx_http_request_t *r, ngx_uint_t methods,
                                          struct str allow);
