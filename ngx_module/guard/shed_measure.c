// SPDX-License-Identifier: Apache-2.0
// A client's request on its way through a shed zone: it counts from when its body is here until the
// server's answer is, and tells the zone's limit how long the server took if it was asked at all.
#include "guard/shed_measure.h"
#include "guard/shed.h"
#include "request/context.h"

#include "base/monotonic.h"

static const ngx_msec_t never = (ngx_msec_t)-1; // as ngx_http_upstream_state_t says it

static ngx_http_output_header_filter_pt next_header_filter;
static ngx_http_output_body_filter_pt next_body_filter;
static ngx_http_request_body_filter_pt next_request_body_filter;

struct measured {
    struct concurrency_limit *limit; // NULL: it was refused
    struct concurrency_claim claim;
    int64_t entered_ns;
    bool entered;
    bool answered; // its answer's header was seen
    bool over;
};

static void leave(struct measured *measured)
{
    if (measured->entered && !measured->over) {
        concurrency_limit_leave(measured->limit, (uint32_t)ngx_process_slot);
    }
    measured->over = true;
}

// What no answer has ended, such as an upstream that breaks off.
static void clean(void *data)
{
    leave(data);
}

// An internal redirect, error_page and a named location zero r->ctx, not the pool.
static struct measured *find(ngx_http_request_t *r)
{
    struct measured *measured = ngx_http_get_module_ctx(r, ngx_http_comanda_shed_module);
    if (r != r->main || measured != NULL || !(r->internal || r->filter_finalize)) {
        return measured;
    }
    for (ngx_pool_cleanup_t *cleanup = r->pool->cleanup; cleanup; cleanup = cleanup->next) {
        if (cleanup->handler == clean) {
            ngx_http_set_ctx(r, cleanup->data, ngx_http_comanda_shed_module);
            return cleanup->data;
        }
    }
    return NULL;
}

static void enter(struct measured *measured)
{
    if (measured->limit == NULL || measured->entered || measured->over) {
        return;
    }
    measured->entered = true;
    measured->entered_ns = monotonic_ns();
    concurrency_limit_enter(measured->limit, (uint32_t)ngx_process_slot, measured->entered_ns);
}

// A client that sends slowly takes no place at the server.
static bool is_body_awaited(ngx_http_request_t *r)
{
    if (r->request_body != NULL || r->discard_body) {
        return false;
    }
#if (NGX_HTTP_V2)
    if (r->stream != NULL) {
        return !r->stream->in_closed;
    }
#endif
    return r->headers_in.chunked ||
           r->headers_in.content_length_n > (off_t)(r->header_in->last - r->header_in->pos);
}

bool ngx_http_comanda_shed_is_decided(ngx_http_request_t *r)
{
    return find(r) != NULL;
}

ngx_int_t ngx_http_comanda_shed_decide(ngx_http_request_t *r, struct concurrency_limit *limit,
                                       struct concurrency_claim claim)
{
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, sizeof(struct measured));
    if (cleanup == NULL) {
        return NGX_ERROR;
    }
    struct measured *measured = cleanup->data;
    *measured = (struct measured){.limit = limit, .claim = claim};
    cleanup->handler = clean;
    ngx_http_set_ctx(r, measured, ngx_http_comanda_shed_module);
    if (!is_body_awaited(r)) {
        enter(measured);
    }
    return NGX_OK;
}

// ---- What an answer tells -----------------------------------------------------------------------

// False: the upstream was not asked, or is away.
static bool hear_upstream(ngx_http_request_t *r, enum concurrency_outcome *outcome)
{
    if (r->upstream_states == NULL || r->upstream_states->nelts == 0) {
        return false;
    }
    const ngx_http_upstream_state_t *states = r->upstream_states->elts;
    const ngx_http_upstream_state_t *last = &states[r->upstream_states->nelts - 1];
    if (last->peer == NULL) { // it failed before any server was chosen
        return false;
    }
    if (last->header_time == never) { // no answer, also of one that could not be reached
        *outcome = CONCURRENCY_DROPPED;
        return last->status == NGX_HTTP_GATEWAY_TIME_OUT;
    }
    *outcome =
        last->status < NGX_HTTP_INTERNAL_SERVER_ERROR ? CONCURRENCY_ANSWERED : CONCURRENCY_FAILED;
    return true;
}

static bool hear(ngx_http_request_t *r, enum concurrency_outcome *outcome)
{
    const struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_known_ctx(r);
    switch (ctx == NULL ? NGX_HTTP_COMANDA_STORE_NOT_ASKED : ctx->store) {
    case NGX_HTTP_COMANDA_STORE_ANSWERED:
        *outcome = CONCURRENCY_ANSWERED;
        return true;
    case NGX_HTTP_COMANDA_STORE_SILENT:
        *outcome = CONCURRENCY_DROPPED;
        return true;
    case NGX_HTTP_COMANDA_STORE_NOT_ASKED:
        break;
    }
    return hear_upstream(r, outcome);
}

static ngx_int_t filter_header(ngx_http_request_t *r)
{
    struct measured *measured = r == r->main ? find(r) : NULL;
    enum concurrency_outcome outcome;
    if (measured == NULL || measured->answered) {
        return next_header_filter(r);
    }
    measured->answered = true;
    if (measured->entered && hear(r, &outcome)) {
        concurrency_limit_sample(measured->limit, measured->claim, measured->entered_ns, outcome,
                                 monotonic_ns());
    }
    if (r->header_only || r->headers_out.status == NGX_HTTP_SWITCHING_PROTOCOLS) {
        leave(measured); // no body tells the end, or it is a tunnel
    }
    return next_header_filter(r);
}

// The end of the body comes here when the server has sent it, however slowly the client reads.
static ngx_int_t filter_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    struct measured *measured = r == r->main ? find(r) : NULL;
    for (ngx_chain_t *link = measured == NULL ? NULL : in; link != NULL; link = link->next) {
        if (link->buf->last_buf) {
            leave(measured);
        }
    }
    return next_body_filter(r, in);
}

static ngx_int_t filter_request_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    struct measured *measured = find(r->main);
    for (ngx_chain_t *link = measured == NULL ? NULL : in; link != NULL; link = link->next) {
        if (link->buf->last_buf) {
            enter(measured);
        }
    }
    return next_request_body_filter(r, in);
}

ngx_int_t ngx_http_comanda_shed_add_filters(ngx_conf_t *cf)
{
    (void)cf;
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = filter_header;
    next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = filter_body;
    next_request_body_filter = ngx_http_top_request_body_filter;
    ngx_http_top_request_body_filter = filter_request_body;
    return NGX_OK;
}
