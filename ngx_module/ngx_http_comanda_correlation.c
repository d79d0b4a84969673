// SPDX-License-Identifier: Apache-2.0
// The id and the trace context that every answer and every event of a request carry.
#include "ngx_http_comanda.h"

enum { CORRELATION_LEN_MAX = 64, CORRELATION_RANDOM_BYTES = 16 };

static bool is_safe(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.' || c == ':')) {
            return false;
        }
    }
    return text.len > 0 && text.len <= CORRELATION_LEN_MAX;
}

static struct str random_id(ngx_http_request_t *r)
{
    u_char *text = ngx_pnalloc(r->pool, 2 * CORRELATION_RANDOM_BYTES);
    if (text == NULL) {
        return (struct str){"", 0};
    }
    u_char bytes[CORRELATION_RANDOM_BYTES];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (u_char)(ngx_random() >> 7);
    }
    (void)ngx_hex_dump(text, bytes, sizeof(bytes));
    return (struct str){(const char *)text, 2 * CORRELATION_RANDOM_BYTES};
}

struct str ngx_http_comanda_correlation_id(ngx_http_request_t *r)
{
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    if (ctx == NULL) {
        return (struct str){"", 0};
    }
    if (ctx->correlation_id.len == 0) {
        ngx_uint_t count;
        struct str sent = ngx_http_comanda_header(r->main, STR("comanda-correlation-id"), &count);
        ctx->correlation_id = count == 1 && is_safe(sent) ? sent : random_id(r->main);
    }
    return ctx->correlation_id;
}

struct str ngx_http_comanda_traceparent(ngx_http_request_t *r)
{
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    return ctx == NULL ? (struct str){"", 0} : ctx->traceparent;
}
