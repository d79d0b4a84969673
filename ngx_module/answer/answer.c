// SPDX-License-Identifier: Apache-2.0
// How every handler of the edge answers, and how one that waits goes on.
#include "answer/answer.h"

ngx_table_elt_t *ngx_http_comanda_push_header(ngx_http_request_t *r, struct str name,
                                              struct str value)
{
    struct str copy = ngx_http_comanda_copy(r->pool, value);
    ngx_table_elt_t *header = copy.data == NULL ? NULL : ngx_list_push(&r->headers_out.headers);
    if (header == NULL) {
        return NULL;
    }
    ngx_memzero(header, sizeof(*header)); // see core/nginx_version.h
    header->hash = 1;
    header->key = ngx_http_comanda_ngx_str(name);
    header->value = ngx_http_comanda_ngx_str(copy);
    return header;
}

ngx_int_t ngx_http_comanda_add_header(ngx_http_request_t *r, struct str name, struct str value)
{
    return ngx_http_comanda_push_header(r, name, value) == NULL ? NGX_ERROR : NGX_OK;
}

ngx_int_t ngx_http_comanda_set_header(ngx_http_request_t *r, struct str name, struct str value)
{
    ngx_str_t wanted = ngx_http_comanda_ngx_str(name);
    for (ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        ngx_table_elt_t *headers = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (headers[i].key.len == wanted.len &&
                ngx_strncasecmp(headers[i].key.data, wanted.data, wanted.len) == 0) {
                headers[i].hash = 0;
            }
        }
    }
    return ngx_http_comanda_add_header(r, name, value);
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
    r->expect_tested = 1; // RFC 9110, 10.1.1: a final answer, no 100 before it
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
