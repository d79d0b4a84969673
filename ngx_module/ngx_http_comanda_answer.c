// SPDX-License-Identifier: Apache-2.0
// How every handler of the edge answers: documents and problem+json (RFC 9457).
#include "application/ports/document_store.h"
#include "base/buffer.h"
#include "base/json.h"
#include "infrastructure/codec/position.h"
#include "ngx_http_comanda.h"

enum { PROBLEM_BYTES_MAX = 64 * 1024, RETRY_AFTER_S = 1 };

ngx_int_t ngx_http_comanda_add_header(ngx_http_request_t *r, struct str name, struct str value)
{
    ngx_table_elt_t *header = ngx_list_push(&r->headers_out.headers);
    if (header == NULL) {
        return NGX_ERROR;
    }
    struct str copy = ngx_http_comanda_copy(r->pool, value);
    header->hash = copy.data == NULL ? 0 : 1;
    header->key = ngx_http_comanda_ngx_str(name);
    header->value = ngx_http_comanda_ngx_str(copy);
    return copy.data == NULL ? NGX_ERROR : NGX_OK;
}

ngx_int_t ngx_http_comanda_set_etag(ngx_http_request_t *r, int32_t version)
{
    u_char text[sizeof("\"-2147483648\"")];
    u_char *end = ngx_snprintf(text, sizeof(text), "\"%D\"", version);
    struct str value = {(const char *)text, (size_t)(end - text)};
    if (ngx_http_comanda_add_header(r, STR("ETag"), value) != NGX_OK) {
        return NGX_ERROR;
    }
    ngx_list_part_t *last = r->headers_out.headers.last;
    r->headers_out.etag = (ngx_table_elt_t *)last->elts + last->nelts - 1;
    return NGX_OK;
}

ngx_int_t ngx_http_comanda_add_position(ngx_http_request_t *r, const struct document *document)
{
    char text[POSITION_TEXT_LEN];
    const struct position position = {
        .at = document->at, .stream = document->stream, .version = document->version};
    position_format(&position, text);
    return ngx_http_comanda_add_header(r, STR("Comanda-Position"),
                                       (struct str){text, sizeof(text)});
}

static ngx_int_t send_header(ngx_http_request_t *r, ngx_uint_t status, struct str content_type,
                             size_t body_len)
{
    r->headers_out.status = status;
    if (status == 422) { // nginx knows no words for it
        ngx_str_set(&r->headers_out.status_line, "422 Unprocessable Content");
    }
    r->headers_out.content_type = ngx_http_comanda_ngx_str(content_type);
    r->headers_out.content_type_len = content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.content_length_n = (off_t)body_len;
    // Both would act on our ETag: one turns a committed answer into 412, the other weakens the tag.
    r->disable_not_modified = 1;
#if (NGX_HTTP_GZIP)
    r->gzip_tested = 1;
    r->gzip_ok = 0;
#endif
    if (status == NGX_HTTP_NOT_MODIFIED) {
        r->header_only = 1;
        ngx_str_null(&r->headers_out.content_type);
        r->headers_out.content_type_len = 0;
        ngx_http_clear_content_length(r);
    }
    return ngx_http_send_header(r);
}

ngx_int_t ngx_http_comanda_send(ngx_http_request_t *r, ngx_uint_t status, struct str content_type,
                                struct str body)
{
    ngx_int_t rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }
    ngx_buf_t *buf = ngx_calloc_buf(r->pool);
    if (buf == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    rc = send_header(r, status, content_type, body.len);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }
    buf->pos = (u_char *)body.data;
    buf->last = buf->pos + body.len;
    buf->memory = body.len > 0;
    buf->sync = body.len == 0;
    buf->last_buf = r == r->main;
    buf->last_in_chain = 1;
    ngx_chain_t out = {.buf = buf, .next = NULL};
    return ngx_http_output_filter(r, &out);
}

static struct str title_of(ngx_uint_t status)
{
    switch (status) {
    case 400:
        return STR("Bad Request");
    case 401:
        return STR("Unauthorized");
    case 403:
        return STR("Forbidden");
    case 404:
        return STR("Not Found");
    case 405:
        return STR("Method Not Allowed");
    case 408:
        return STR("Request Timeout");
    case 409:
        return STR("Conflict");
    case 412:
        return STR("Precondition Failed");
    case 413:
        return STR("Content Too Large");
    case 414:
        return STR("URI Too Long");
    case 415:
        return STR("Unsupported Media Type");
    case 422:
        return STR("Unprocessable Content");
    case 429:
        return STR("Too Many Requests");
    case 431:
        return STR("Request Header Fields Too Large");
    case 500:
        return STR("Internal Server Error");
    case 501:
        return STR("Not Implemented");
    case 502:
        return STR("Bad Gateway");
    case 503:
        return STR("Service Unavailable");
    case 504:
        return STR("Gateway Timeout");
    case 505:
        return STR("HTTP Version Not Supported");
    }
    return STR("Error");
}

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
    json_string(&json, title_of(status));
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

ngx_int_t ngx_http_comanda_watch_client(ngx_http_request_t *r)
{
    ngx_event_t *read = r->connection->read;
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;
    if (read->ready) {
        ngx_post_event(read, &ngx_posted_events);
        return NGX_OK;
    }
    return ngx_handle_read_event(read, 0);
}

void ngx_http_comanda_finish(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_connection_t *c = r->connection;
    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c); // else subrequests stall
}
