// SPDX-License-Identifier: Apache-2.0
// The headers that every document carries: its version and its place in the log.
#include "serve/document_answer.h"

#include "answer/answer.h"
#include "infrastructure/codec/position.h"

ngx_int_t ngx_http_comanda_set_etag(ngx_http_request_t *r, int32_t version)
{
    u_char text[sizeof("\"-2147483648\"")];
    u_char *end = ngx_snprintf(text, sizeof(text), "\"%D\"", version);
    struct str value = {(const char *)text, (size_t)(end - text)};
    r->headers_out.etag = ngx_http_comanda_push_header(r, STR("ETag"), value);
    return r->headers_out.etag == NULL ? NGX_ERROR : NGX_OK;
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
