// SPDX-License-Identifier: Apache-2.0
// The id and the trace context that every answer and every event of a request carry.
#include "core/random.h"
#include "request/context.h"

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
    ngx_http_comanda_random(bytes, sizeof(bytes));
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

// ---- W3C Trace Context, level 1 -----------------------------------------------------------------

enum {
    TRACE_LEN = 55, // 00-<32 hex>-<16 hex>-<2 hex>
    TRACE_ID_AT = 3,
    TRACE_ID_LEN = 32,
    SPAN_AT = 36,
    SPAN_LEN = 16,
    FLAGS_AT = 53,
};

static bool is_hex(const char *text, size_t len)
{
    bool any = false;
    for (size_t i = 0; i < len; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
            return false;
        }
        any = any || text[i] != '0';
    }
    return any; // all zero is no id
}

static bool is_hex_pair(const char *text)
{
    return is_hex(text, 2) || ngx_memcmp(text, "00", 2) == 0;
}

// Of version 00 nothing else is valid; a later one may go on after a dash and is read as far as we
// know it; ff is none.
static bool is_version(struct str text)
{
    if (ngx_memcmp(text.data, "00", 2) == 0) {
        return text.len == TRACE_LEN;
    }
    return is_hex(text.data, 2) && ngx_memcmp(text.data, "ff", 2) != 0 &&
           (text.len == TRACE_LEN || text.data[TRACE_LEN] == '-');
}

static bool is_traceparent(struct str text)
{
    return text.len >= TRACE_LEN && is_version(text) && text.data[2] == '-' &&
           is_hex(text.data + TRACE_ID_AT, TRACE_ID_LEN) && text.data[SPAN_AT - 1] == '-' &&
           is_hex(text.data + SPAN_AT, SPAN_LEN) && text.data[FLAGS_AT - 1] == '-' &&
           is_hex_pair(text.data + FLAGS_AT);
}

// Our span in the caller's trace, or in one of our own.
static struct str make_traceparent(ngx_http_request_t *r)
{
    ngx_uint_t count;
    struct str sent = ngx_http_comanda_header(r, STR("traceparent"), &count);
    bool continued = count == 1 && is_traceparent(sent);
    struct str trace =
        continued ? (struct str){sent.data + TRACE_ID_AT, TRACE_ID_LEN} : random_id(r);
    struct str span = random_id(r);
    u_char *text = ngx_pnalloc(r->pool, TRACE_LEN);
    if (text == NULL || trace.len != TRACE_ID_LEN || span.len < SPAN_LEN) {
        return (struct str){"", 0};
    }
    (void)ngx_sprintf(text, "00-%*s-%*s-%*s", (size_t)TRACE_ID_LEN, trace.data, (size_t)SPAN_LEN,
                      span.data, (size_t)2, continued ? sent.data + FLAGS_AT : "01");
    return (struct str){(const char *)text, TRACE_LEN};
}

struct str ngx_http_comanda_traceparent(ngx_http_request_t *r)
{
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    if (ctx == NULL) {
        return (struct str){"", 0};
    }
    if (ctx->traceparent.len == 0) {
        ctx->traceparent = make_traceparent(r->main);
    }
    return ctx->traceparent;
}
