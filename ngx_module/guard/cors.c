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
    struct str exposed;
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

// Fields of a server behind, or of an add_header: a browser takes each of them once, and ours win.
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

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct str trimmed(struct str text)
{
    while (text.len > 0 && is_blank(text.data[0])) {
        text = (struct str){text.data + 1, text.len - 1};
    }
    while (text.len > 0 && is_blank(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

static bool lists_origin(struct str names)
{
    while (names.len > 0) {
        struct str one;
        (void)str_split(names, ',', &one, &names);
        one = trimmed(one);
        if (one.len == sizeof("origin") - 1 &&
            ngx_strncasecmp((u_char *)one.data, (u_char *)"origin", one.len) == 0) {
            return true;
        }
    }
    return false;
}

// A shared cache must not give one origin's answer to another.
static bool varies(ngx_http_request_t *r)
{
    for (ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        ngx_table_elt_t *headers = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (headers[i].hash != 0 && headers[i].key.len == sizeof("vary") - 1 &&
                ngx_strncasecmp(headers[i].key.data, (u_char *)"vary", sizeof("vary") - 1) == 0 &&
                lists_origin(ngx_http_comanda_str(headers[i].value))) {
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

static ngx_int_t add_preflight(ngx_http_request_t *r, const struct cors *cors)
{
    struct str methods = ngx_http_comanda_content_methods(r);
    if (ngx_http_comanda_add_header(r, STR("Access-Control-Allow-Methods"),
                                    methods.len > 0 ? methods : cors->methods) != NGX_OK ||
        ngx_http_comanda_add_header(r, STR("Access-Control-Allow-Headers"), cors->headers) !=
            NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_comanda_add_header(r, STR("Access-Control-Max-Age"), cors->max_age);
}

// A preflight is one whoever answers it: a `return` comes before our phase.
static ngx_int_t filter_header(ngx_http_request_t *r)
{
    const struct cors *cors = r == r->main ? cors_of(r) : NULL;
    if (cors == NULL) {
        return next_header_filter(r);
    }
    drop_others(r);
    ngx_int_t rc = add_origin(r, cors);
    if (rc == NGX_OK) {
        rc = is_preflight(r) ? add_preflight(r, cors)
                             : ngx_http_comanda_add_header(r, STR("Access-Control-Expose-Headers"),
                                                           cors->exposed);
    }
    return rc == NGX_ERROR ? NGX_ERROR : next_header_filter(r);
}

// What stands where the request begins counts for the pages that an error leads to.
static ngx_int_t begin(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_cors_module);
    if (conf->cors != NULL && r == r->main) {
        struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
        ctx->cors = conf->cors;
    }
    return NGX_DECLINED;
}

ngx_int_t ngx_http_comanda_cors_check(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_cors_module);
    ngx_int_t rc = begin(r);
    bool ours = rc == NGX_DECLINED && conf->cors != NULL && r == r->main;
    return ours && is_preflight(r) ? NGX_HTTP_NO_CONTENT : rc;
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

static bool is_port(struct str scheme, struct str text)
{
    ngx_int_t port = ngx_atoi((u_char *)text.data, text.len);
    return text.len > 0 && text.data[0] != '0' && port <= UINT16_MAX && port > 0 &&
           !(port == 80 && str_eq(scheme, STR("http"))) &&
           !(port == 443 && str_eq(scheme, STR("https")));
}

// A name, an IPv4 address or an IPv6 one in brackets.
static bool is_host(struct str text)
{
    bool bracketed = text.len > 2 && text.data[0] == '[' && text.data[text.len - 1] == ']';
    struct str name = bracketed ? (struct str){text.data + 1, text.len - 2} : text;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
              (bracketed ? c == ':' : c == '-' || c == '_'))) {
            return false;
        }
    }
    return name.len > 0;
}

// As a browser writes it: lower case, without a path; a port only where it is not the scheme's own.
static bool is_origin(struct str text)
{
    const char *mark = memmem(text.data, text.len, "://", 3);
    if (mark == NULL) {
        return false;
    }
    struct str scheme = {text.data, (size_t)(mark - text.data)};
    struct str host = {mark + 3, (size_t)(text.data + text.len - mark - 3)};
    const char *colon = memrchr(host.data, ':', host.len);
    const char *bracket = memrchr(host.data, ']', host.len);
    if (colon != NULL && (bracket == NULL || colon > bracket)) {
        struct str port = {colon + 1, (size_t)(host.data + host.len - colon - 1)};
        host.len = (size_t)(colon - host.data);
        if (!is_port(scheme, port)) {
            return false;
        }
    }
    return is_scheme(scheme) && is_host(host);
}

static char *refuse(ngx_conf_t *cf, const char *what)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_cors: %s", what);
    return NGX_CONF_ERROR;
}

static char *refuse_origin(ngx_conf_t *cf, struct str one)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "comanda_cors: \"%*s\" in origins= is neither * alone nor an origin as a "
                       "browser writes them: in lower case, without a path and without the "
                       "scheme's own port, such as https://shop.example or http://localhost:3000",
                       one.len, one.data);
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
    for (bool more = rest.len > 0; more;) {
        struct str one;
        more = str_split(rest, ',', &one, &rest);
        if (!is_origin(one)) {
            return refuse_origin(cf, one);
        }
        if (cors->origin_count == ORIGINS_MAX) {
            return refuse(cf, "origins= takes at most 32 origins");
        }
        cors->origins[cors->origin_count++] = one;
    }
    return cors->origin_count > 0 ? NGX_CONF_OK : refuse(cf, "needs origins=");
}

static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_')) {
            return false;
        }
    }
    return name.len > 0;
}

// A browser compares methods letter by letter: "patch" would allow nobody's PATCH.
static bool is_method(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] >= 'a' && name.data[i] <= 'z') {
            return false;
        }
    }
    return is_name(name);
}

static bool is_list(struct str list, bool (*is_one)(struct str))
{
    for (bool more = true; more;) {
        struct str one;
        more = str_split(list, ',', &one, &list);
        if (!is_one(one)) {
            return false;
        }
    }
    return true;
}

// "A,B" as "A, B", after `before`.
static char *spread(ngx_conf_t *cf, struct str before, ngx_str_t list, struct str *spread)
{
    u_char *text = ngx_pnalloc(cf->pool, before.len + 2 * list.len);
    if (text == NULL) {
        return NGX_CONF_ERROR;
    }
    u_char *to = ngx_cpymem(text, before.data, before.len);
    for (size_t i = 0; i < list.len; i++) {
        *to++ = list.data[i];
        if (list.data[i] == ',') {
            *to++ = ' ';
        }
    }
    *spread = (struct str){(const char *)text, (size_t)(to - text)};
    return NGX_CONF_OK;
}

struct lists {
    ngx_str_t methods;
    ngx_str_t headers;
    ngx_str_t expose; // besides ours; empty: none
};

static char *check_list(ngx_conf_t *cf, const char *name, ngx_str_t list,
                        bool (*is_one)(struct str), const char *allowed)
{
    if (!is_list(ngx_http_comanda_str(list), is_one)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_cors: %s= takes %s, not \"%V\"", name,
                           allowed, &list);
        return NGX_CONF_ERROR;
    }
    return NGX_CONF_OK;
}

static char *read_lists(ngx_conf_t *cf, const struct lists *lists, struct cors *cors)
{
    static const char names[] = "names separated by commas";
    static const char methods[] = "methods in capitals separated by commas, such as GET,PUT";
    if (check_list(cf, "methods", lists->methods, is_method, methods) != NGX_CONF_OK ||
        check_list(cf, "headers", lists->headers, is_name, names) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }
    if (lists->expose.len > 0 &&
        check_list(cf, "expose", lists->expose, is_name, names) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }
    struct str ours = lists->expose.len > 0 ? STR(EXPOSED ", ") : STR(EXPOSED);
    if (spread(cf, STR(""), lists->methods, &cors->methods) != NGX_CONF_OK ||
        spread(cf, STR(""), lists->headers, &cors->headers) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }
    return spread(cf, ours, lists->expose, &cors->exposed);
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
    struct lists lists = {.methods = ngx_string("GET,HEAD,POST"), .headers = ngx_string(HEADERS)};
    ngx_msec_t max_age = MAX_AGE_DEFAULT_MS;
    const struct ngx_http_comanda_setting settings[] = {
        {.name = STR("origins"), .text = &origins},
        {.name = STR("methods"), .text = &lists.methods},
        {.name = STR("headers"), .text = &lists.headers},
        {.name = STR("expose"), .text = &lists.expose},
        {.name = STR("max_age"), .msec = &max_age, .min = 0, .max = MAX_AGE_MAX_MS},
        {.name = {NULL, 0}},
    };
    cors->credentials = take_credentials(cf);
    char *rc = ngx_http_comanda_read_settings(cf, 1, settings);
    if (rc == NGX_CONF_OK) {
        rc = read_origins(cf, origins, cors);
    }
    if (rc == NGX_CONF_OK) {
        rc = read_lists(cf, &lists, cors);
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

// Our handler stands before that of `return` and `rewrite`: those added last are run first.
static ngx_int_t add_handlers(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_handler_pt *handler = ngx_array_push(&core->phases[NGX_HTTP_REWRITE_PHASE].handlers);
    if (handler == NULL) {
        return NGX_ERROR;
    }
    *handler = begin;
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
    .postconfiguration = add_handlers,
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

ngx_module_t ngx_http_comanda_cors_module = {
    NGX_MODULE_V1,           .ctx = &module_context, .commands = directives,
    .type = NGX_HTTP_MODULE, NGX_MODULE_V1_PADDING,
};
