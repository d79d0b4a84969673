// SPDX-License-Identifier: Apache-2.0
// Directive comanda_jwt: who asks, by a bearer token (RFC 6750), and comanda_require_scope.
#include "answer/answer.h"
#include "core/settings.h"
#include "guard/guard.h"
#include "guard/token_cache.h"

#include "infrastructure/config/secret_file.h"
#include "infrastructure/token/jwt.h"

enum { LEEWAY_S_MAX = 300, SCOPES_MAX = 16, ARENA_BLOCK = 16 * 1024, ARENA_MAX = 256 * 1024 };

// One comanda_jwt directive, shared by all locations that inherit it.
struct jwt_guard {
    struct jwt_verifier *verifier;
    ngx_str_t realm;
};

struct loc_conf {
    struct jwt_guard *guard; // NULL: off
    ngx_flag_t stated;       // a comanda_jwt stands at this level
    ngx_array_t *scopes;     // of ngx_str_t; NULL: none required
    bool scopes_stated;      // a comanda_require_scope stands at this level
};

// For reading one token at a time; reset after each.
static struct arena token_arena = {.block_size = ARENA_BLOCK, .limit_max = ARENA_MAX};

static ngx_int_t challenge(ngx_http_request_t *r, const struct jwt_guard *guard, const char *error,
                           const char *description)
{
    u_char text[512];
    u_char *end = ngx_snprintf(text, sizeof(text), "Bearer realm=\"%V\"", &guard->realm);
    if (error != NULL) {
        end = ngx_snprintf(end, (size_t)(text + sizeof(text) - end),
                           ", error=\"%s\", error_description=\"%s\"", error, description);
    }
    return ngx_http_comanda_challenge(r, (struct str){(const char *)text, (size_t)(end - text)});
}

static ngx_int_t refuse_token(ngx_http_request_t *r, const struct jwt_guard *guard,
                              const char *error, const char *detail)
{
    if (challenge(r, guard, error, detail) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_comanda_refuse(r, NGX_HTTP_UNAUTHORIZED, STR("unauthorized"), str_from(detail));
}

static ngx_int_t refuse_scope(ngx_http_request_t *r, const struct jwt_guard *guard, ngx_str_t scope)
{
    u_char text[512];
    u_char *end = ngx_snprintf(text, sizeof(text),
                               "Bearer realm=\"%V\", error=\"insufficient_scope\", scope=\"%V\"",
                               &guard->realm, &scope);
    struct str value = {(const char *)text, (size_t)(end - text)};
    if (ngx_http_comanda_challenge(r, value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    end = ngx_snprintf(text, sizeof(text), "the token lacks the scope %V", &scope);
    return ngx_http_comanda_refuse(r, NGX_HTTP_FORBIDDEN, STR("insufficient-scope"),
                                   (struct str){(const char *)text, (size_t)(end - text)});
}

const struct ngx_http_comanda_principal *ngx_http_comanda_principal(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_jwt_module);
    const struct ngx_http_comanda_identity *identity = ngx_http_comanda_identity(r);
    // A redirect may have led to where another key counts, and somebody else let the request in.
    bool counts = identity != NULL && (conf->guard == NULL || identity->guard == conf->guard);
    return counts ? &identity->principal : NULL;
}

ngx_int_t ngx_http_comanda_refuse_scope(ngx_http_request_t *r, ngx_str_t scope)
{
    static const struct jwt_guard no_guard = {.realm = ngx_string("comanda")};
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_jwt_module);
    const struct jwt_guard *guard = conf->guard == NULL ? &no_guard : conf->guard;
    if (ngx_http_comanda_principal(r) == NULL) {
        return refuse_token(r, guard, NULL, "send a token: Authorization: Bearer <token>");
    }
    return refuse_scope(r, guard, scope);
}

// The one token after "Bearer"; false: something else stands there.
static bool read_bearer(struct str header, struct str *token)
{
    static const char scheme[] = "bearer ";
    size_t scheme_len = sizeof(scheme) - 1;
    if (header.len <= scheme_len ||
        ngx_strncasecmp((u_char *)header.data, (u_char *)scheme, scheme_len) != 0) {
        return false;
    }
    size_t at = scheme_len;
    while (at < header.len && header.data[at] == ' ') { // RFC 9110: 1*SP before the credentials
        at++;
    }
    *token = (struct str){header.data + at, header.len - at};
    return token->len > 0 && memchr(token->data, ' ', token->len) == NULL;
}

// Takes the claims from the cache, or verifies the token and remembers them.
static enum jwt_fault read_claims(const struct jwt_guard *guard, struct str token,
                                  struct token_claims *claims)
{
    if (token_cache_get(guard->verifier, token, ngx_time(), claims)) {
        return JWT_OK;
    }
    struct jwt_claims verified;
    enum jwt_fault fault = jwt_verify(guard->verifier, token, ngx_time(), &token_arena, &verified);
    if (fault == JWT_OK) {
        *claims =
            (struct token_claims){verified.subject, verified.scope,
                                  verified.expires_at_s + jwt_verifier_leeway(guard->verifier)};
        token_cache_put(guard->verifier, token, claims);
    }
    return fault;
}

static ngx_int_t authenticate(ngx_http_request_t *r, const struct jwt_guard *guard)
{
    if (r->headers_in.authorization == NULL) {
        return refuse_token(r, guard, NULL, "send a token: Authorization: Bearer <token>");
    }
    struct str token;
    struct str header = ngx_http_comanda_str(r->headers_in.authorization->value);
    if (!read_bearer(header, &token)) {
        return refuse_token(r, guard, "invalid_token",
                            "Authorization must be the word Bearer and one token");
    }
    struct token_claims claims;
    enum jwt_fault fault = read_claims(guard, token, &claims);
    ngx_int_t rc = NGX_OK;
    if (fault != JWT_OK) {
        rc = refuse_token(r, guard, "invalid_token", jwt_fault_text(fault));
    } else {
        const struct ngx_http_comanda_principal principal = {claims.subject, claims.scopes};
        rc = ngx_http_comanda_set_identity(r, guard, &principal);
    }
    arena_reset(&token_arena);
    return rc == NGX_ERROR ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
}

// What an outer request was verified for by the same keys counts in its subrequests.
static ngx_int_t adopt(ngx_http_request_t *r, const struct jwt_guard *guard)
{
    for (ngx_http_request_t *outer = r->parent; outer != NULL; outer = outer->parent) {
        const struct ngx_http_comanda_identity *identity = ngx_http_comanda_identity(outer);
        if (identity != NULL && identity->guard == guard) {
            return ngx_http_comanda_set_identity(r, guard, &identity->principal);
        }
    }
    return NGX_DECLINED;
}

static ngx_int_t identify(ngx_http_request_t *r, const struct jwt_guard *guard)
{
    if (ngx_http_comanda_principal(r) != NULL) { // after an internal redirect
        return NGX_OK;
    }
    return adopt(r, guard) == NGX_OK ? NGX_OK : authenticate(r, guard);
}

ngx_int_t ngx_http_comanda_jwt_check(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_jwt_module);
    if (conf->guard == NULL) {
        return NGX_DECLINED;
    }
    ngx_int_t rc = identify(r, conf->guard);
    if (rc != NGX_OK) {
        return rc;
    }
    const ngx_str_t *scopes = conf->scopes == NULL ? NULL : conf->scopes->elts;
    for (ngx_uint_t i = 0; scopes != NULL && i < conf->scopes->nelts; i++) {
        if (!ngx_http_comanda_has_scope(ngx_http_comanda_principal(r),
                                        ngx_http_comanda_str(scopes[i]))) {
            return refuse_scope(r, conf->guard, scopes[i]);
        }
    }
    return NGX_OK;
}

// ---- Configuration ------------------------------------------------------------------------------

struct jwt_arguments {
    ngx_str_t key_file;
    struct str issuer;
    struct str audience;
    ngx_str_t realm;
    ngx_int_t leeway_s;
};

static char *read_argument(ngx_conf_t *cf, ngx_str_t word, struct jwt_arguments *arguments)
{
    struct str name;
    struct str value;
    if (ngx_http_comanda_argument(word, &name, &value) && value.len > 0) {
        ngx_str_t text = ngx_http_comanda_ngx_str(value);
        if (str_eq(name, STR("key_file"))) {
            arguments->key_file = text;
            return NGX_CONF_OK;
        }
        if (str_eq(name, STR("issuer"))) {
            arguments->issuer = value;
            return NGX_CONF_OK;
        }
        if (str_eq(name, STR("audience"))) {
            arguments->audience = value;
            return NGX_CONF_OK;
        }
        if (str_eq(name, STR("realm")) && memchr(value.data, '"', value.len) == NULL) {
            arguments->realm = text;
            return NGX_CONF_OK;
        }
        if (str_eq(name, STR("leeway"))) {
            arguments->leeway_s = ngx_parse_time(&text, 1);
            if (arguments->leeway_s >= 0 && arguments->leeway_s <= LEEWAY_S_MAX) {
                return NGX_CONF_OK;
            }
        }
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "comanda_jwt: \"%V\" is not key_file=FILE, issuer=TEXT, audience=TEXT, "
                       "realm=TEXT or leeway=0s to 300s",
                       &word);
    return NGX_CONF_ERROR;
}

static void free_verifier(void *data)
{
    jwt_verifier_free(data);
}

static char *make_verifier(ngx_conf_t *cf, struct jwt_arguments *arguments, struct jwt_guard *guard)
{
    char key[JWT_KEY_BYTES_MAX + 1];
    char fault[SECRET_FAULT_MAX];
    size_t len;
    if (ngx_conf_full_name(cf->cycle, &arguments->key_file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    if (secret_file_read((const char *)arguments->key_file.data, JWT_KEY_BYTES_MIN,
                         JWT_KEY_BYTES_MAX, key, &len, fault) != STATUS_OK) {
        ngx_explicit_memzero(key, sizeof(key));
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_jwt: key_file %s", fault);
        return NGX_CONF_ERROR;
    }
    enum status status =
        jwt_verifier_new((struct str){key, len}, arguments->issuer, arguments->audience,
                         (int)arguments->leeway_s, &guard->verifier);
    ngx_explicit_memzero(key, sizeof(key));
    if (status != STATUS_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_jwt: key_file \"%V\": %s",
                           &arguments->key_file, status_text(status));
        return NGX_CONF_ERROR;
    }
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(cf->pool, 0);
    if (cleanup == NULL) {
        jwt_verifier_free(guard->verifier);
        return NGX_CONF_ERROR;
    }
    cleanup->handler = free_verifier;
    cleanup->data = guard->verifier;
    return NGX_CONF_OK;
}

static char *set_jwt(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    struct loc_conf *conf = data;
    ngx_str_t *words = cf->args->elts;
    if (conf->stated == 1) {
        return "stands twice at this level";
    }
    conf->stated = 1;
    if (cf->args->nelts == 2 && str_eq(ngx_http_comanda_str(words[1]), STR("off"))) {
        return NGX_CONF_OK;
    }
    if (ngx_http_comanda_words_once(cf, 1) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }
    struct jwt_arguments arguments = {.realm = ngx_string("comanda")};
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        if (read_argument(cf, words[i], &arguments) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }
    if (arguments.key_file.len == 0) {
        return "needs key_file=FILE with the HS256 key, or off";
    }
    conf->guard = ngx_pcalloc(cf->pool, sizeof(*conf->guard));
    if (conf->guard == NULL) {
        return NGX_CONF_ERROR;
    }
    conf->guard->realm = arguments.realm;
    return make_verifier(cf, &arguments, conf->guard);
}

static char *set_scope(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    struct loc_conf *conf = data;
    ngx_str_t *words = cf->args->elts;
    if (conf->scopes == NULL) {
        conf->scopes = ngx_array_create(cf->pool, 2, sizeof(ngx_str_t));
    }
    for (ngx_uint_t i = 1; conf->scopes != NULL && i < cf->args->nelts; i++) {
        ngx_str_t *scope = conf->scopes->nelts < SCOPES_MAX ? ngx_array_push(conf->scopes) : NULL;
        if (scope == NULL) {
            return "takes at most 16 scopes";
        }
        if (!ngx_http_comanda_is_scope(words[i])) {
            return "takes scopes as words of their own, without quotes or backslashes in them";
        }
        *scope = words[i];
    }
    conf->scopes_stated = true;
    return conf->scopes == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    struct loc_conf *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (conf != NULL) {
        conf->stated = NGX_CONF_UNSET;
    }
    return conf;
}

static bool asks_nobody(const struct loc_conf *conf)
{
    return conf->scopes_stated && conf->stated == 1 && conf->guard == NULL;
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    const struct loc_conf *outer = parent;
    struct loc_conf *conf = child;
    (void)cf;
    if (conf->stated != 1) {
        conf->guard = outer->guard;
        conf->stated = outer->stated;
    }
    if (conf->scopes == NULL) {
        conf->scopes = outer->scopes;
    }
    if (conf->scopes != NULL && conf->guard == NULL && conf->stated != 1) {
        return "comanda_require_scope needs a comanda_jwt at this level or above";
    }
    // One from above ends where a location says off; one that stands there itself is a mistake.
    if (asks_nobody(conf) || asks_nobody(outer)) {
        return "comanda_require_scope stands where comanda_jwt is off: nobody would be asked";
    }
    return NGX_CONF_OK;
}

// ---- Variables ----------------------------------------------------------------------------------

static ngx_int_t principal_variable(ngx_http_request_t *r, ngx_http_variable_value_t *value,
                                    uintptr_t scopes)
{
    const struct ngx_http_comanda_principal *principal = ngx_http_comanda_principal(r);
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    value->not_found = principal == NULL;
    if (value->not_found && ctx != NULL) {
        ctx->asked_in_vain++; // comanda_limit then asks again after the access phase
    }
    if (!value->not_found) {
        struct str text = scopes ? principal->scopes : principal->subject;
        value->data = (u_char *)text.data;
        value->len = (unsigned)text.len;
        value->valid = 1;
    }
    return NGX_OK;
}

static ngx_int_t add_variables(ngx_conf_t *cf)
{
    static ngx_http_variable_t variables[] = {
        {.name = ngx_string("comanda_subject"),
         .get_handler = principal_variable,
         .data = 0,
         .flags = NGX_HTTP_VAR_NOCACHEABLE},
        {.name = ngx_string("comanda_scopes"),
         .get_handler = principal_variable,
         .data = 1,
         .flags = NGX_HTTP_VAR_NOCACHEABLE},
    };
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        ngx_http_variable_t *added =
            ngx_http_add_variable(cf, &variables[i].name, variables[i].flags);
        if (added == NULL) {
            return NGX_ERROR;
        }
        added->get_handler = variables[i].get_handler;
        added->data = variables[i].data;
    }
    return NGX_OK;
}

static void exit_process(ngx_cycle_t *cycle)
{
    (void)cycle;
    token_cache_clear();
    arena_free(&token_arena);
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_jwt"),
     .type = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_1MORE,
     .set = set_jwt,
     .conf = NGX_HTTP_LOC_CONF_OFFSET},
    {.name = ngx_string("comanda_require_scope"),
     .type = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_1MORE,
     .set = set_scope,
     .conf = NGX_HTTP_LOC_CONF_OFFSET},
    ngx_null_command,
};

static ngx_http_module_t module_context = {
    .preconfiguration = add_variables,
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

ngx_module_t ngx_http_comanda_jwt_module = {
    NGX_MODULE_V1,           .ctx = &module_context,       .commands = directives,
    .type = NGX_HTTP_MODULE, .exit_process = exit_process, NGX_MODULE_V1_PADDING,
};
