// SPDX-License-Identifier: Apache-2.0
// Filter: nginx's own error pages as problem+json (RFC 9457), and the correlation headers on every
// answer. Directives comanda_problems and comanda_correlation.
#include "answer/answer.h"
#include "request/context.h"

extern ngx_module_t ngx_http_comanda_problem_filter_module;

struct loc_conf {
    ngx_flag_t problems;
    ngx_flag_t correlation;
};

// A request whose error page is being replaced.
struct replaced {
    struct str body;
    bool sent;
};

static ngx_http_output_header_filter_pt next_header_filter;
static ngx_http_output_body_filter_pt next_body_filter;

struct page {
    ngx_uint_t status;
    struct str slug;
    struct str detail;
};

static struct page page_of(ngx_uint_t status)
{
    static const struct page pages[] = {
        {400, {"bad-request", 11}, {"this is not valid HTTP, or its headers are too large", 52}},
        {403, {"forbidden", 9}, {"this is not open to you", 23}},
        {404, {"not-found", 9}, {"there is nothing at this address", 32}},
        {405, {"method-not-allowed", 18}, {"use one of the methods that Allow lists", 39}},
        {408, {"request-timeout", 15}, {"the request did not arrive in time", 34}},
        {413, {"content-too-large", 17}, {"the body is larger than is taken here", 37}},
        {414, {"uri-too-long", 12}, {"the address is longer than is taken here", 40}},
        {415, {"unsupported-media-type", 22}, {"send application/json", 21}},
        {501, {"not-supported", 13}, {"no transfer coding but chunked is served", 40}},
        {502, {"bad-gateway", 11}, {"the server behind gave no good answer", 37}},
        {503, {"unavailable", 11}, {"not begun: ask again later", 26}},
        {504, {"gateway-timeout", 15}, {"the server behind did not answer in time", 40}},
        {505, {"not-supported", 13}, {"this version of HTTP is not served", 34}},
    };
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (pages[i].status == status) {
            return pages[i];
        }
    }
    return status < 500 ? (struct page){status, STR("bad-request"), STR("the request is refused")}
                        : (struct page){status, STR("internal"), STR("something went wrong here")};
}

// A page that core made up: no file (those have a time), no upstream's answer.
static bool is_cores_page(ngx_http_request_t *r)
{
    return r == r->main && r->err_status >= NGX_HTTP_BAD_REQUEST &&
           r->headers_out.status >= NGX_HTTP_BAD_REQUEST &&
           r->headers_out.last_modified_time == -1 &&
           (r->upstream == NULL || r->upstream->headers_in.status_n == 0);
}

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
        ngx_http_comanda_add_header(r, STR("Allow"), allowed_by_core(r)) != NGX_OK) {
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

static ngx_int_t replace_page(ngx_http_request_t *r)
{
    struct page page = page_of(r->headers_out.status);
    struct replaced *replaced = ngx_pcalloc(r->pool, sizeof(*replaced));
    if (replaced == NULL) {
        return NGX_ERROR;
    }
    replaced->body =
        ngx_http_comanda_problem_body(r, r->headers_out.status, page.slug, page.detail, NULL);
    if (replaced->body.data == NULL) {
        return NGX_OK; // core's own page then
    }
    ngx_http_set_ctx(r, replaced, ngx_http_comanda_problem_filter_module);
    return replace_header(r, replaced->body);
}

static ngx_int_t add_correlation(ngx_http_request_t *r)
{
    struct str trace = ngx_http_comanda_traceparent(r);
    if (ngx_http_comanda_add_header(r, STR("Comanda-Correlation-Id"),
                                    ngx_http_comanda_correlation_id(r)) != NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_comanda_add_header(r, STR("traceparent"), trace);
}

static ngx_int_t filter_header(ngx_http_request_t *r)
{
    const struct loc_conf *conf =
        ngx_http_get_module_loc_conf(r, ngx_http_comanda_problem_filter_module);
    if (r != r->main) {
        return next_header_filter(r);
    }
    if (conf->problems && is_cores_page(r) && replace_page(r) != NGX_OK) {
        return NGX_ERROR;
    }
    if (conf->correlation && add_correlation(r) != NGX_OK) {
        return NGX_ERROR;
    }
    return next_header_filter(r);
}

static ngx_int_t send_replacement(ngx_http_request_t *r, struct replaced *replaced)
{
    ngx_buf_t *buf = ngx_calloc_buf(r->pool);
    if (buf == NULL) {
        return NGX_ERROR;
    }
    replaced->sent = true;
    buf->pos = (u_char *)replaced->body.data;
    buf->last = buf->pos + replaced->body.len;
    buf->memory = 1;
    buf->last_buf = 1;
    buf->last_in_chain = 1;
    ngx_chain_t out = {.buf = buf};
    return next_body_filter(r, &out);
}

static ngx_int_t filter_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    struct replaced *replaced = ngx_http_get_module_ctx(r, ngx_http_comanda_problem_filter_module);
    if (replaced == NULL || in == NULL) {
        return next_body_filter(r, in);
    }
    for (ngx_chain_t *link = in; link != NULL; link = link->next) {
        link->buf->pos = link->buf->last; // core's page goes nowhere
        link->buf->file_pos = link->buf->file_last;
    }
    return replaced->sent ? next_body_filter(r, NULL) : send_replacement(r, replaced);
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
