// SPDX-License-Identifier: Apache-2.0
// Directive comanda_cors: which pages of other origins may read our answers (Fetch standard, 3.2).
#include "answer/answer.h"
#include "core/settings.h"
#include "guard/content.h"
#include "guard/guard.h"

enum { ORIGINS_MAX = 32, MAX_AGE_DEFAULT_MS = 600000, MAX_AGE_MAX_MS = 86400000 };

// What a browser keeps from its page unless it is named; ours and RFC 9110's.
#define EXPOSED                                                                                 \
    "ETag, Location, Retry-After, WWW-Authenticate, Comanda-Position, Comanda-Correlation-Id, " \
    "traceparent, Idempotency-Replayed, RateLimit, RateLimit-Policy"
#define HEADERS                                                                                 \
    "Authorization,Content-Type,Idempotency-Key,If-Match,If-None-Match,Comanda-Correlation-Id," \
    "traceparent"

// One directive, shared by the locations that inherit it.
struct cors {
    struct str origins[ORIGINS_MAX];
    ngx_uint_t origin_count; // 0: any
    bool credentials;
    struct str methods; // of locations that we do not serve
    struct str headers;
    struct str max_age;
};

struct loc_conf {
    const struct cors *cors; // NULL: off
    bool stated;
};

static ngx_http_output_header_filter_pt next_header_filter;

// ---- A request ----------------------------------------------------------------------------------

// An answer from where an error_page leads keeps what its request began with, unless it says off.
static const struct cors *cors_of(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_cors_module);
    const struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    return conf->stated || ctx == NULL ? conf->cors : ctx->cors;
}

static struct str origin_of(ngx_http_request_t *r)
{
    ngx_uint_t count;
    struct str origin = ngx_http_comanda_header(r, STR("origin"), &count);
    return count == 1 ? origin : STR("");
}

static bool allows(const struct cors *cors, struct str origin)
{
    for (ngx_uint_t i = 0; i < cors->origin_count; i++) {
        if (str_eq(cors->origins[i], origin)) {
            return true;
        }
    }
    return cors->origin_count == 0 && origin.len > 0;
}

// Fields of a server behind are not for the pages that we answer.
static void drop_others(ngx_http_request_t *r)
{
    static const char prefix[] = "access-control-";
    for (ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        ngx_table_elt_t *headers = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (headers[i].key.len >= sizeof(prefix) - 1 &&
                ngx_strncasecmp(headers[i].key.data, (u_char *)prefix, sizeof(prefix) - 1) == 0) {
                headers[i].hash = 0;
            }
        }
    }
}

// A shared cache must not give one origin's answer to another.
static bool varies(ngx_http_request_t *r)
{
    for (ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        ngx_table_elt_t *headers = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (headers[i].hash != 0 && headers[i].key.len == 4 &&
                ngx_strncasecmp(headers[i].key.data, (u_char *)"vary", 4) == 0 &&
                ngx_strlcasestrn(headers[i].value.data,
                                 headers[i].value.data + headers[i].value.len, (u_char *)"origin",
                                 5) != NULL) {
                return true;
            }
        }
    }
    return false;
}

static ngx_int_t add_origin(ngx_http_request_t *r, const struct cors *cors)
{
    struct str origin = origin_of(r);
    if (cors->origin_count > 0 && !varies(r) &&
        ngx_http_comanda_add_header(r, STR("Vary"), STR("Origin")) != NGX_OK) {
        return NGX_ERROR;
    }
    if (!allows(cors, origin)) {
        return NGX_DECLINED;
    }
    if (cors->credentials && ngx_http_comanda_add_header(r, STR("Access-Control-Allow-Credentials"),
                                                         STR("true")) != NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_comanda_add_header(r, STR("Access-Control-Allow-Origin"),
                                       cors->origin_count == 0 ? STR("*") : origin);
}

static bool is_preflight(ngx_http_request_t *r)
{
    ngx_uint_t count;
    if (r->method != NGX_HTTP_OPTIONS || origin_of(r).len == 0) {
        return false;
    }
    (void)ngx_http_comanda_header(r, STR("access-control-request-method"), &count);
    return count == 1;
}

static ngx_int_t filter_header(ngx_http_request_t *r)
{
    const struct cors *cors = r == r->main ? cors_of(r) : NULL;
    if (cors == NULL) {
        return next_header_filter(r);
    }
    bool preflight = r->headers_out.status == NGX_HTTP_NO_CONTENT && is_preflight(r);
    if (!preflight) {
        drop_others(r);
    }
    ngx_int_t rc = add_origin(r, cors);
    if (rc == NGX_OK && !preflight) {
        rc = ngx_http_comanda_add_header(r, STR("Access-Control-Expose-Headers"), STR(EXPOSED));
    }
    return rc == NGX_ERROR ? NGX_ERROR : next_header_filter(r);
}

static ngx_int_t answer_preflight(ngx_http_request_t *r, const struct cors *cors)
{
    struct str methods = ngx_http_comanda_content_methods(r);
    if (allows(cors, origin_of(r)) &&
        (ngx_http_comanda_add_header(r, STR("Access-Control-Allow-Methods"),
                                     methods.len > 0 ? methods : cors->methods) != NGX_OK ||
         ngx_http_comanda_add_header(r, STR("Access-Control-Allow-Headers"), cors->headers) !=
             NGX_OK ||
         ngx_http_comanda_add_header(r, STR("Access-Control-Max-Age"), cors->max_age) != NGX_OK)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return NGX_HTTP_NO_CONTENT;
}

ngx_int_t ngx_http_comanda_cors_check(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_cors_module);
    if (conf->cors == NULL || r != r->main) {
        return NGX_DECLINED;
    }
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ctx->cors = conf->cors;
    return is_preflight(r) ? answer_preflight(r, conf->cors) : NGX_DECLINED;
}

// ---- Configuration ------------------------------------------------------------------------------

static bool is_scheme(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!((c >= 'a' && c <= 'z') ||
              (i > 0 && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))) {
            return false;
        }
    }
    return text.len > 0;
}

// As a browser writes it: lower case, without a path; a port only where it is not the scheme's own.
static bool is_origin(struct str text)
{
    const char *mark = memmem(text.data, text.len, "://", 3);
    if (mark == NULL || !is_scheme((struct str){text.data, (size_t)(mark - text.data)})) {
        return false;
    }
    struct str host = {mark + 3, (size_t)(text.data + text.len - mark - 3)};
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-._:[]", c) != NULL)) {
            return false;
        }
    }
    return host.len > 0;
}

static char *refuse(ngx_conf_t *cf, const char *what)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_cors: %s", what);
    return NGX_CONF_ERROR;
}

static char *read_origins(ngx_conf_t *cf, ngx_str_t words, struct cors *cors)
{
    struct str rest = ngx_http_comanda_str(words);
    if (str_eq(rest, STR("*"))) {
        return cors->credentials
                   ? refuse(cf,
                            "credentials and origins=* do not go together: every page could act "
                            "as whoever visits it; name the origins")
                   : NGX_CONF_OK;
    }
    while (rest.len > 0) {
        struct str one;
        (void)str_split(rest, ',', &one, &rest);
        if (!is_origin(one)) {
            return refuse(cf,
                          "origins= takes *, or origins as a browser writes them, in lower case, "
                          "such as https://shop.example or http://localhost:3000, separated by "
                          "commas");
        }
        if (cors->origin_count == ORIGINS_MAX) {
            return refuse(cf, "origins= takes at most 32 origins");
        }
        cors->origins[cors->origin_count++] = one;
    }
    return cors->origin_count > 0 ? NGX_CONF_OK : refuse(cf, "needs origins=");
}

static bool is_token_list(struct str list)
{
    for (size_t i = 0; i < list.len; i++) {
        char c = list.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              strchr("-_,", c) != NULL)) {
            return false;
        }
    }
    return list.len > 0;
}

// "A,B" as "A, B".
static char *spread(ngx_conf_t *cf, const char *name, ngx_str_t list, struct str *spread)
{
    u_char *text = ngx_pnalloc(cf->pool, 2 * list.len);
    if (text == NULL) {
        return NGX_CONF_ERROR;
    }
    if (!is_token_list(ngx_http_comanda_str(list))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "comanda_cors: %s= takes names separated by commas, not \"%V\"", name,
                           &list);
        return NGX_CONF_ERROR;
    }
    u_char *to = text;
    for (size_t i = 0; i < list.len; i++) {
        *to++ = list.data[i];
        if (list.data[i] == ',') {
            *to++ = ' ';
        }
    }
    *spread = (struct str){(const char *)text, (size_t)(to - text)};
    return NGX_CONF_OK;
}

// The one word without a value; taken out, the rest is a table of settings.
static bool take_credentials(ngx_conf_t *cf)
{
    ngx_str_t *words = cf->args->elts;
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        if (str_eq(ngx_http_comanda_str(words[i]), STR("credentials"))) {
            ngx_memmove(&words[i], &words[i + 1], (cf->args->nelts - i - 1) * sizeof(*words));
            cf->args->nelts--;
            return true;
        }
    }
    return false;
}

static char *read_words(ngx_conf_t *cf, struct cors *cors)
{
    ngx_str_t origins = ngx_null_string;
    ngx_str_t methods = ngx_string("GET,HEAD,POST");
    ngx_str_t headers = ngx_string(HEADERS);
    ngx_msec_t max_age = MAX_AGE_DEFAULT_MS;
    const struct ngx_http_comanda_setting settings[] = {
        {.name = STR("origins"), .text = &origins},
        {.name = STR("methods"), .text = &methods},
        {.name = STR("headers"), .text = &headers},
        {.name = STR("max_age"), .msec = &max_age, .min = 0, .max = MAX_AGE_MAX_MS},
        {.name = {NULL, 0}},
    };
    cors->credentials = take_credentials(cf);
    char *rc = ngx_http_comanda_read_settings(cf, 1, settings);
    if (rc == NGX_CONF_OK) {
        rc = read_origins(cf, origins, cors);
    }
    if (rc == NGX_CONF_OK) {
        rc = spread(cf, "methods", methods, &cors->methods);
    }
    if (rc == NGX_CONF_OK) {
        rc = spread(cf, "headers", headers, &cors->headers);
    }
    u_char *seconds = ngx_pnalloc(cf->pool, NGX_INT_T_LEN);
    if (seconds == NULL) {
        return NGX_CONF_ERROR;
    }
    u_char *end = ngx_sprintf(seconds, "%M", max_age / 1000);
    cors->max_age = (struct str){(const char *)seconds, (size_t)(end - seconds)};
    return rc;
}

static char *set_cors(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    struct loc_conf *conf = data;
    ngx_str_t *words = cf->args->elts;
    if (conf->stated) {
        return "stands twice at this level";
    }
    conf->stated = true;
    if (cf->args->nelts == 2 && str_eq(ngx_http_comanda_str(words[1]), STR("off"))) {
        return NGX_CONF_OK;
    }
    struct cors *cors = ngx_pcalloc(cf->pool, sizeof(*cors));
    conf->cors = cors;
    return cors == NULL ? NGX_CONF_ERROR : read_words(cf, cors);
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(struct loc_conf));
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    struct loc_conf *conf = child;
    (void)cf;
    if (!conf->stated) {
        *conf = *(struct loc_conf *)parent;
    }
    return NGX_CONF_OK;
}

static ngx_int_t add_filter(ngx_conf_t *cf)
{
    (void)cf;
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = filter_header;
    return NGX_OK;
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_cors"),
     .type = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_1MORE,
     .set = set_cors,
     .conf = NGX_HTTP_LOC_CONF_OFFSET},
    ngx_null_command,
};

static ngx_http_module_t module_context = {
    .postconfiguration = add_filter,
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

ngx_module_t ngx_http_comanda_cors_module = {
    NGX_MODULE_V1,           .ctx = &module_context, .commands = directives,
    .type = NGX_HTTP_MODULE, NGX_MODULE_V1_PADDING,
};
