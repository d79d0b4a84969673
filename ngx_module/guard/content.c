// SPDX-License-Identifier: Apache-2.0
// What a location serves: one command (POST) and one reader (GET and HEAD), each with the scope
// that it takes. Nobody else may serve there.
#include "guard/content.h"

#include "answer/answer.h"
#include "core/settings.h"
#include "guard/guard.h"

struct content {
    ngx_http_handler_pt handler; // NULL: the location does not serve this
    ngx_str_t scope;
};

struct loc_conf {
    struct content command;
    struct content reader;
    struct {
        ngx_str_t name;
        u_char *file;
        ngx_uint_t line;
    } directive; // the first that stands here
};

static struct str allowed_methods(const struct loc_conf *conf)
{
    if (conf->command.handler == NULL) {
        return STR("GET, HEAD");
    }
    return conf->reader.handler == NULL ? STR("POST") : STR("GET, HEAD, POST");
}

static const struct content *content_for(const struct loc_conf *conf, ngx_uint_t method)
{
    const struct content *content = method == NGX_HTTP_POST                   ? &conf->command
                                    : method & (NGX_HTTP_GET | NGX_HTTP_HEAD) ? &conf->reader
                                                                              : NULL;
    return content == NULL || content->handler == NULL ? NULL : content;
}

static ngx_int_t refuse_method(ngx_http_request_t *r, const struct loc_conf *conf)
{
    ngx_int_t rc = ngx_http_comanda_require_method(r, 0, allowed_methods(conf));
    return rc == NGX_DECLINED ? NGX_HTTP_NOT_ALLOWED : rc;
}

static ngx_int_t serve(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_content_module);
    const struct content *content = content_for(conf, r->method);
    if (content == NULL) {
        return refuse_method(r, conf);
    }
    if (content->scope.len > 0 &&
        !ngx_http_comanda_has_scope(ngx_http_comanda_principal(r),
                                    ngx_http_comanda_str(content->scope))) {
        return ngx_http_comanda_refuse_scope(r, content->scope);
    }
    return content->handler(r);
}

struct str ngx_http_comanda_content_methods(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_content_module);
    bool serves = conf->command.handler != NULL || conf->reader.handler != NULL;
    return serves ? allowed_methods(conf) : STR("");
}

char *ngx_http_comanda_content_set(ngx_conf_t *cf, ngx_uint_t methods, ngx_http_handler_pt handler,
                                   ngx_str_t scope)
{
    struct loc_conf *conf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_comanda_content_module);
    ngx_http_core_loc_conf_t *core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    struct content *content = methods & NGX_HTTP_POST ? &conf->command : &conf->reader;
    if (scope.len > 0 && !ngx_http_comanda_is_scope(scope)) {
        return "takes one scope, without spaces, quotes or backslashes in it";
    }
    if (content->handler != NULL) {
        return "stands twice: a location serves one command and one reader at most";
    }
    if (core->handler != NULL && core->handler != serve) {
        return "stands in a location that another directive serves";
    }
    if (core->handler == NULL) {
        conf->directive.name = ((ngx_str_t *)cf->args->elts)[0];
        conf->directive.file = cf->conf_file->file.name.data;
        conf->directive.line = cf->conf_file->line;
    }
    *content = (struct content){handler, scope};
    core->handler = serve;
    return NGX_CONF_OK;
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(struct loc_conf));
}

// Core refuses a body that is too large by its length, and reads what is not into memory: nothing
// of a command is ever spooled to a file.
static void bound_body(ngx_http_core_loc_conf_t *core)
{
    if (core->client_max_body_size == 0 || core->client_max_body_size > BODY_BYTES_MAX) {
        core->client_max_body_size = BODY_BYTES_MAX;
    }
    core->client_body_buffer_size = ngx_max(core->client_body_buffer_size, BODY_BYTES_MAX);
    core->client_body_in_file_only = 0; // off
}

static bool serves(const struct loc_conf *conf)
{
    return conf->command.handler != NULL || conf->reader.handler != NULL;
}

static char *refuse_other(ngx_conf_t *cf, const struct loc_conf *conf, const char *what)
{
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "\"%V\" %s in %s:%ui", &conf->directive.name, what,
                  conf->directive.file, conf->directive.line);
    return NGX_CONF_ERROR;
}

// What a location serves is its own, as nginx's content handlers are: it is not inherited, but an
// `if` or a `limit_except` within the location is the same location.
static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    struct loc_conf *conf = child;
    ngx_http_core_loc_conf_t *core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    bool own = serves(conf);
    if (!own && core->noname) {
        *conf = *(struct loc_conf *)parent;
    }
    if (!serves(conf)) {
        return NGX_CONF_OK;
    }
    if (core->handler == NULL &&
        core->lmt_excpt) { // an `if` keeps the location's handler by itself
        core->handler = serve;
    }
    if (own && core->handler != serve) {
        return refuse_other(cf, conf, "has lost its location to another directive that serves it,");
    }
    if (!own && core->handler != NULL && core->handler != serve) {
        return refuse_other(cf, conf,
                            "serves a location in which an if or limit_except is served by "
                            "another directive,");
    }
    if (conf->command.handler != NULL) {
        bound_body(core);
    }
    return NGX_CONF_OK;
}

static ngx_http_module_t module_context = {
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

ngx_module_t ngx_http_comanda_content_module = {
    NGX_MODULE_V1,
    .ctx = &module_context,
    .type = NGX_HTTP_MODULE,
    NGX_MODULE_V1_PADDING,
};
