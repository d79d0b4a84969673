// SPDX-License-Identifier: Apache-2.0
// Filter: nginx's own error pages and the refusals of our guards as problem+json (RFC 9457), and
// the correlation headers on every answer. Directives comanda_problems and comanda_correlation.
#include "answer/answer.h"
#include "answer/problem_page.h"
#include "request/context.h"

extern ngx_module_t ngx_http_comanda_problem_filter_module;

struct loc_conf {
    ngx_flag_t problems;
    ngx_flag_t correlation;
};

enum page_state {
    PAGE_HELD,     // its header waits until its body tells whose page it is
    PAGE_REPLACED, // our problem goes in its place
    PAGE_LEFT,     // somebody wrote it: it goes as it is
};

struct page {
    enum page_state state;
    struct str body;
    bool sent;
};

static ngx_http_output_header_filter_pt next_header_filter;
static ngx_http_output_body_filter_pt next_body_filter;

// ---- Whose page is it? --------------------------------------------------------------------------

// Why our guards refused, if that is the answer; NULL: it is not.
static const struct ngx_http_comanda_refusal *refusal_of(ngx_http_request_t *r)
{
    const struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    bool ours =
        ctx != NULL && ctx->refusal.status != 0 && ctx->refusal.status == r->headers_out.status;
    return ours ? &ctx->refusal : NULL;
}

// Core sets err_status before it makes a page up; a file has a time.
static bool may_be_cores(const ngx_http_request_t *r)
{
    return r->err_status >= NGX_HTTP_BAD_REQUEST && r->headers_out.status >= NGX_HTTP_BAD_REQUEST &&
           r->headers_out.last_modified_time == -1;
}

// After an error_page the status is the error's and the page may be anybody's: an upstream's, or
// text that a `return` gives.
static bool may_be_written(const ngx_http_request_t *r)
{
    return r->internal;
}

// Not so where an upstream has ended before: it led here by X-Accel-Redirect or by an error that
// was intercepted. Nor where its answer has been here already and a filter behind us made an error
// of it, such as 412 or 416; the page is core's then.
static bool is_upstreams(ngx_http_request_t *r)
{
    const struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    const ngx_http_upstream_t *upstream = r->internal ? r->upstream : NULL;
    return upstream != NULL && upstream->headers_in.status_n != 0 &&
           (upstream->cleanup != NULL || r->cached) && ctx != NULL && !ctx->answered;
}

static bool is_html(const ngx_http_request_t *r)
{
    const ngx_str_t *type = &r->headers_out.content_type;
    return type->len == sizeof("text/html") - 1 &&
           ngx_strncmp(type->data, "text/html", type->len) == 0;
}

// As each of core's pages begins; ngx_http_special_response.c.
static bool begins_as_cores(const ngx_http_request_t *r, const ngx_chain_t *in)
{
    static const char head[] = "<html>\r\n<head><title>";
    size_t len = sizeof(head) - 1;
    const ngx_buf_t *buf = in->buf;
    return ngx_buf_in_memory(buf) && (size_t)(buf->last - buf->pos) > len + 3 &&
           ngx_strncmp(buf->pos, head, len) == 0 &&
           ngx_atoi(buf->pos + len, 3) == (ngx_int_t)r->headers_out.status;
}

// ---- The problem in its place -------------------------------------------------------------------

// Core refuses these two everywhere, before any location is found, and what is not reading at a
// file.
static struct str allowed_by_core(const ngx_http_request_t *r)
{
    return r->method & (NGX_HTTP_TRACE | NGX_HTTP_CONNECT) ? STR("GET, HEAD, POST")
                                                           : STR("GET, HEAD");
}

static ngx_int_t replace_header(ngx_http_request_t *r, struct str body)
{
    struct str type = STR("application/problem+json");
    if (r->headers_out.status == NGX_HTTP_NOT_ALLOWED &&
        ngx_http_comanda_set_header(r, STR("Allow"), allowed_by_core(r)) != NGX_OK) {
        return NGX_ERROR;
    }
    r->headers_out.content_type = ngx_http_comanda_ngx_str(type);
    r->headers_out.content_type_len = type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;
    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    r->headers_out.content_length_n = (off_t)body.len;
    return NGX_OK;
}

static ngx_int_t replace_page(ngx_http_request_t *r, struct page *page)
{
    ngx_uint_t status = r->headers_out.status;
    const struct ngx_http_comanda_refusal *refusal = refusal_of(r);
    struct ngx_http_comanda_problem_page of_status = ngx_http_comanda_problem_page(status);
    page->body =
        ngx_http_comanda_problem_body(r, status, refusal != NULL ? refusal->slug : of_status.slug,
                                      refusal != NULL ? refusal->detail : of_status.detail, NULL);
    if (page->body.data == NULL) {
        page->state = PAGE_LEFT;
        return NGX_OK; // core's own page then
    }
    page->state = PAGE_REPLACED;
    return replace_header(r, page->body);
}

// ---- Headers ------------------------------------------------------------------------------------

// Ours win over those of a server behind, and over those that a cache replays.
static ngx_int_t add_correlation(ngx_http_request_t *r)
{
    struct str trace = ngx_http_comanda_traceparent(r);
    if (ngx_http_comanda_set_header(r, STR("Comanda-Correlation-Id"),
                                    ngx_http_comanda_correlation_id(r)) != NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_comanda_set_header(r, STR("traceparent"), trace);
}

static ngx_int_t add_retry(ngx_http_request_t *r, const struct ngx_http_comanda_ctx *ctx)
{
    return ctx->retry_after.len == 0
               ? NGX_OK
               : ngx_http_comanda_set_header(r, STR("Retry-After"), ctx->retry_after);
}

static ngx_int_t pass_header(ngx_http_request_t *r)
{
    const struct loc_conf *conf =
        ngx_http_get_module_loc_conf(r, ngx_http_comanda_problem_filter_module);
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    if (ctx == NULL || add_retry(r, ctx) != NGX_OK ||
        (conf->correlation && add_correlation(r) != NGX_OK)) {
        return NGX_ERROR;
    }
    ctx->answered = true;
    return next_header_filter(r);
}

static bool concerns_us(ngx_http_request_t *r)
{
    const struct loc_conf *conf =
        ngx_http_get_module_loc_conf(r, ngx_http_comanda_problem_filter_module);
    return may_be_cores(r) && !is_upstreams(r) && (conf->problems || refusal_of(r) != NULL);
}

static ngx_int_t filter_page(ngx_http_request_t *r)
{
    bool unsure = may_be_written(r);
    if (unsure && (!is_html(r) || r->header_only)) {
        return pass_header(r);
    }
    struct page *page = ngx_pcalloc(r->pool, sizeof(*page));
    if (page == NULL) {
        return NGX_ERROR;
    }
    ngx_http_set_ctx(r, page, ngx_http_comanda_problem_filter_module);
    if (unsure) {
        page->state = PAGE_HELD;
        return NGX_OK;
    }
    return replace_page(r, page) == NGX_OK ? pass_header(r) : NGX_ERROR;
}

static ngx_int_t filter_header(ngx_http_request_t *r)
{
    if (r != r->main) {
        return next_header_filter(r);
    }
    return concerns_us(r) ? filter_page(r) : pass_header(r);
}

// ---- The body -----------------------------------------------------------------------------------

static ngx_int_t send_replacement(ngx_http_request_t *r, struct page *page)
{
    ngx_buf_t *buf = ngx_calloc_buf(r->pool);
    if (buf == NULL) {
        return NGX_ERROR;
    }
    page->sent = true;
    buf->pos = (u_char *)page->body.data;
    buf->last = buf->pos + page->body.len;
    buf->memory = 1;
    buf->last_buf = 1;
    buf->last_in_chain = 1;
    ngx_chain_t out = {.buf = buf};
    return next_body_filter(r, &out);
}

// NGX_OK: the header is on its way and a body is wanted.
static ngx_int_t release_header(ngx_http_request_t *r, struct page *page, const ngx_chain_t *in)
{
    page->state = PAGE_LEFT;
    if (begins_as_cores(r, in) && replace_page(r, page) != NGX_OK) {
        return NGX_ERROR;
    }
    ngx_int_t rc = pass_header(r);
    return rc == NGX_OK && r->header_only ? NGX_DONE : rc;
}

static ngx_int_t filter_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    struct page *page = ngx_http_get_module_ctx(r, ngx_http_comanda_problem_filter_module);
    if (page == NULL || in == NULL || r != r->main) {
        return next_body_filter(r, in);
    }
    if (page->state == PAGE_HELD) {
        ngx_int_t rc = release_header(r, page, in);
        if (rc != NGX_OK) {
            return rc == NGX_DONE ? NGX_OK : rc;
        }
    }
    if (page->state == PAGE_LEFT) {
        return next_body_filter(r, in);
    }
    for (ngx_chain_t *link = in; link != NULL; link = link->next) {
        link->buf->pos = link->buf->last; // core's page goes nowhere
        link->buf->file_pos = link->buf->file_last;
    }
    return page->sent ? next_body_filter(r, NULL) : send_replacement(r, page);
}

// ---- Variables: $comanda_correlation_id and $comanda_traceparent, for logs and for servers behind
// ---

static ngx_int_t correlation_variable(ngx_http_request_t *r, ngx_http_variable_value_t *value,
                                      uintptr_t trace)
{
    struct str text = trace ? ngx_http_comanda_traceparent(r) : ngx_http_comanda_correlation_id(r);
    value->data = (u_char *)text.data;
    value->len = (unsigned)text.len;
    value->valid = 1;
    value->not_found = text.len == 0;
    return NGX_OK;
}

static ngx_int_t add_variables(ngx_conf_t *cf)
{
    ngx_str_t names[] = {ngx_string("comanda_correlation_id"), ngx_string("comanda_traceparent")};
    for (uintptr_t i = 0; i < 2; i++) {
        ngx_http_variable_t *variable = ngx_http_add_variable(cf, &names[i], 0);
        if (variable == NULL) {
            return NGX_ERROR;
        }
        variable->get_handler = correlation_variable;
        variable->data = i;
    }
    return NGX_OK;
}

static ngx_int_t add_filters(ngx_conf_t *cf)
{
    (void)cf;
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = filter_header;
    next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = filter_body;
    return NGX_OK;
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    struct loc_conf *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (conf != NULL) {
        conf->problems = NGX_CONF_UNSET;
        conf->correlation = NGX_CONF_UNSET;
    }
    return conf;
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    const struct loc_conf *outer = parent;
    struct loc_conf *conf = child;
    (void)cf;
    ngx_conf_merge_value(conf->problems, outer->problems, 0);
    ngx_conf_merge_value(conf->correlation, outer->correlation, 0);
    return NGX_CONF_OK;
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_problems"),
     .type = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_FLAG,
     .set = ngx_conf_set_flag_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(struct loc_conf, problems)},
    {.name = ngx_string("comanda_correlation"),
     .type = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_FLAG,
     .set = ngx_conf_set_flag_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(struct loc_conf, correlation)},
    ngx_null_command,
};

static ngx_http_module_t module_context = {
    .preconfiguration = add_variables,
    .postconfiguration = add_filters,
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

ngx_module_t ngx_http_comanda_problem_filter_module = {
    NGX_MODULE_V1,           .ctx = &module_context, .commands = directives,
    .type = NGX_HTTP_MODULE, NGX_MODULE_V1_PADDING,
};
