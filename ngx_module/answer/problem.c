// SPDX-License-Identifier: Apache-2.0
// Refusals and failures as application/problem+json (RFC 9457).
#include "answer/answer.h"
#include "answer/problem_page.h"
#include "request/context.h"

#include "base/buffer.h"
#include "base/json.h"

enum { PROBLEM_BYTES_MAX = 64 * 1024, RETRY_AFTER_S = 1 };

static void write_faults(struct json_writer *json, const struct fault_list *errors)
{
    json_name(json, STR("errors"));
    json_array_begin(json);
    for (size_t i = 0; i < errors->count; i++) {
        json_object_begin(json);
        json_name(json, STR("pointer"));
        json_string(json, errors->items[i].pointer);
        json_name(json, STR("detail"));
        json_string(json, errors->items[i].detail);
        json_object_end(json);
    }
    json_array_end(json);
}

static void write_problem(struct buffer *out, ngx_http_request_t *r, ngx_uint_t status,
                          struct str slug, struct str detail, const struct fault_list *errors)
{
    struct json_writer json;
    json_writer_init(&json, out);
    json_object_begin(&json);
    char type[128];
    u_char *end =
        ngx_snprintf((u_char *)type, sizeof(type), "urn:comanda:problem:%*s", slug.len, slug.data);
    json_name(&json, STR("type"));
    json_string(&json, (struct str){type, (size_t)((char *)end - type)});
    json_name(&json, STR("title"));
    json_string(&json, ngx_http_comanda_problem_title(status));
    json_name(&json, STR("status"));
    json_int(&json, (int64_t)status);
    json_name(&json, STR("detail"));
    json_string(&json, detail);
    json_name(&json, STR("correlation_id"));
    json_string(&json, ngx_http_comanda_correlation_id(r));
    if (errors != NULL && errors->count > 0) {
        write_faults(&json, errors);
    }
    json_object_end(&json);
}

static bool has_header(const ngx_http_request_t *r, struct str name)
{
    for (const ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        const ngx_table_elt_t *headers = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (headers[i].hash != 0 && str_eq(ngx_http_comanda_str(headers[i].key), name)) {
                return true;
            }
        }
    }
    return false;
}

static void ask_to_retry(ngx_http_request_t *r)
{
    struct str name = STR("Retry-After");
    if (!has_header(r, name)) {
        char seconds[] = {'0' + RETRY_AFTER_S};
        (void)ngx_http_comanda_add_header(r, name, (struct str){seconds, 1});
    }
}

static void release_buffer(void *data)
{
    buffer_free(data);
}

struct str ngx_http_comanda_problem_body(ngx_http_request_t *r, ngx_uint_t status, struct str slug,
                                         struct str detail, const struct fault_list *errors)
{
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, sizeof(struct buffer));
    if (cleanup == NULL) {
        return (struct str){NULL, 0};
    }
    struct buffer *out = cleanup->data;
    buffer_init(out, NULL, PROBLEM_BYTES_MAX);
    cleanup->handler = release_buffer;
    write_problem(out, r, status, slug, detail, errors);
    return out->status == STATUS_OK ? buffer_view(out) : (struct str){NULL, 0};
}

ngx_int_t ngx_http_comanda_problem(ngx_http_request_t *r, ngx_uint_t status, struct str slug,
                                   struct str detail, const struct fault_list *errors)
{
    struct str body = ngx_http_comanda_problem_body(r, status, slug, detail, errors);
    if (body.data == NULL) {
        return (ngx_int_t)status; // core's own answer for it
    }
    if (status == 503 || status == 504 || status == 429) {
        ask_to_retry(r);
    }
    return ngx_http_comanda_send(r, status, STR("application/problem+json"), body);
}

ngx_int_t ngx_http_comanda_refuse(ngx_http_request_t *r, ngx_uint_t status, struct str slug,
                                  struct str detail)
{
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    struct str copy = ngx_http_comanda_copy(r->pool, detail);
    if (ctx == NULL || copy.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (r == r->main) { // a subrequest's page is no client's
        ctx->refusal = (struct ngx_http_comanda_refusal){status, slug, copy};
    }
    return (ngx_int_t)status;
}

ngx_int_t ngx_http_comanda_refuse_until(ngx_http_request_t *r, struct str seconds)
{
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    struct str copy = ngx_http_comanda_copy(r->pool, seconds);
    if (ctx == NULL || copy.data == NULL) {
        return NGX_ERROR;
    }
    ctx->retry_after = copy;
    return NGX_OK;
}

// Of a location that an error_page or a subrequest's refusal has led away from; the last one
// counts.
static void drop_challenges(ngx_http_request_t *r)
{
    static const char scheme[] = "Bearer ";
    for (ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        ngx_table_elt_t *headers = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (str_eq(ngx_http_comanda_str(headers[i].key), STR("WWW-Authenticate")) &&
                headers[i].value.len >= sizeof(scheme) - 1 &&
                ngx_strncmp(headers[i].value.data, scheme, sizeof(scheme) - 1) == 0) {
                headers[i].hash = 0;
            }
        }
    }
}

ngx_int_t ngx_http_comanda_challenge(ngx_http_request_t *r, struct str value)
{
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    drop_challenges(r);
    ngx_table_elt_t *header = ngx_http_comanda_push_header(r, STR("WWW-Authenticate"), value);
    if (ctx == NULL || header == NULL) {
        return NGX_ERROR;
    }
    r->headers_out.www_authenticate = header;
    if (r == r->main) {
        ctx->challenge = header;
    }
    return NGX_OK;
}

ngx_int_t ngx_http_comanda_require_method(ngx_http_request_t *r, ngx_uint_t methods,
                                          struct str allow)
{
    if (r->method & methods) {
        return NGX_DECLINED;
    }
    if (ngx_http_comanda_add_header(r, STR("Allow"), allow) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_comanda_problem(r, NGX_HTTP_NOT_ALLOWED, STR("method-not-allowed"),
                                    STR("use one of the methods that Allow lists"), NULL);
}
