// SPDX-License-Identifier: Apache-2.0
// What the guard module offers to other modules of this tree: one table of functions, the only
// symbol that it exports beside nginx's own. Their contracts stand in the headers included here.
//
// The other module finds the table by a weak symbol, so that the wrong order of load_module lines
// is told in words instead of by the dynamic linker, and compares `build` before it calls anything.
#pragma once

#include "answer/answer.h"
#include "guard/content.h"
#include "guard/guard.h"
#include "guard/shed.h"
#include "observe/metrics.h"
#include "request/context.h"

// CALL(result, name, parameters, arguments)
#define NGX_HTTP_COMANDA_GUARD_CALLS(CALL)                                                         \
    CALL(ngx_int_t, send,                                                                          \
         (ngx_http_request_t * r, ngx_uint_t status, struct str content_type, struct str body),    \
         (r, status, content_type, body))                                                          \
    CALL(ngx_int_t, problem,                                                                       \
         (ngx_http_request_t * r, ngx_uint_t status, struct str slug, struct str detail,           \
          const struct fault_list *errors),                                                        \
         (r, status, slug, detail, errors))                                                        \
    CALL(ngx_int_t, watch_client, (ngx_http_request_t * r), (r))                                   \
    CALL(void, finish, (ngx_http_request_t * r, ngx_int_t rc), (r, rc))                            \
    CALL(ngx_int_t, add_header, (ngx_http_request_t * r, struct str name, struct str value),       \
         (r, name, value))                                                                         \
    CALL(ngx_table_elt_t *, push_header,                                                           \
         (ngx_http_request_t * r, struct str name, struct str value), (r, name, value))            \
    CALL(ngx_int_t, require_method,                                                                \
         (ngx_http_request_t * r, ngx_uint_t methods, struct str allow), (r, methods, allow))      \
    CALL(const struct ngx_http_comanda_principal *, principal, (ngx_http_request_t * r), (r))      \
    CALL(bool, has_scope, (const struct ngx_http_comanda_principal *principal, struct str scope),  \
         (principal, scope))                                                                       \
    CALL(struct str, correlation_id, (ngx_http_request_t * r), (r))                                \
    CALL(struct str, traceparent, (ngx_http_request_t * r), (r))                                   \
    CALL(ngx_int_t, refuse_scope, (ngx_http_request_t * r, ngx_str_t scope), (r, scope))           \
    CALL(char *, content_set,                                                                      \
         (ngx_conf_t * cf, ngx_uint_t methods, ngx_http_handler_pt handler, ngx_str_t scope),      \
         (cf, methods, handler, scope))                                                            \
    CALL(void, hear_store, (ngx_http_request_t * r, enum ngx_http_comanda_heard heard),            \
         (r, heard))                                                                               \
    CALL(void, shed_set_store, (ngx_conf_t * cf, const struct ngx_http_comanda_shed_store *store), \
         (cf, store))                                                                              \
    CALL(struct ngx_http_comanda_metric *, counter,                                                \
         (ngx_conf_t * cf, const char *name, const char *help, struct str labels),                 \
         (cf, name, help, labels))                                                                 \
    CALL(struct ngx_http_comanda_metric *, gauge,                                                  \
         (ngx_conf_t * cf, const char *name, const char *help, struct str labels),                 \
         (cf, name, help, labels))                                                                 \
    CALL(struct ngx_http_comanda_metric *, histogram,                                              \
         (ngx_conf_t * cf, const char *name, const char *help, struct str labels,                  \
          const int64_t *bounds, ngx_uint_t bound_count, int64_t scale),                           \
         (cf, name, help, labels, bounds, bound_count, scale))                                     \
    CALL(void, metric_add, (struct ngx_http_comanda_metric * metric, int64_t n), (metric, n))      \
    CALL(void, metric_set, (struct ngx_http_comanda_metric * metric, int64_t value),               \
         (metric, value))                                                                          \
    CALL(void, metric_set_for_all, (struct ngx_http_comanda_metric * metric, int64_t value),       \
         (metric, value))                                                                          \
    CALL(void, metric_observe, (struct ngx_http_comanda_metric * metric, int64_t value),           \
         (metric, value))

struct ngx_http_comanda_guard_calls {
    const char *build; // of the headers that both sides were compiled with
#define NGX_HTTP_COMANDA_MEMBER(result, name, parameters, arguments) result(*name) parameters;
    NGX_HTTP_COMANDA_GUARD_CALLS(NGX_HTTP_COMANDA_MEMBER)
#undef NGX_HTTP_COMANDA_MEMBER
};

// NULL as an address where the guard module is not loaded.
extern const struct ngx_http_comanda_guard_calls ngx_http_comanda_guard_calls
    __attribute__((weak, visibility("default")));
