// SPDX-License-Identifier: Apache-2.0
// Reads the `name=value` words of a directive by a table, each fault named with its line.
#include "core/settings.h"

bool ngx_http_comanda_argument(ngx_str_t word, struct str *name, struct str *value)
{
    return str_split(ngx_http_comanda_str(word), '=', name, value);
}

bool ngx_http_comanda_is_scope(ngx_str_t word)
{
    for (size_t i = 0; i < word.len; i++) {
        u_char c = word.data[i];
        if (c <= ' ' || c == '"' || c == '\\' || c > '~') {
            return false;
        }
    }
    return word.len > 0;
}

static char *refuse(ngx_conf_t *cf, const ngx_str_t *word, const char *why)
{
    ngx_str_t *words = cf->args->elts;
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%V: \"%V\" %s", &words[0], word, why);
    return NGX_CONF_ERROR;
}

static char *refuse_range(ngx_conf_t *cf, const ngx_str_t *word,
                          const struct ngx_http_comanda_setting *setting)
{
    ngx_str_t *words = cf->args->elts;
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%V: \"%V\" must be from %L to %L%s", &words[0], word,
                       setting->min, setting->max, setting->msec != NULL ? " ms" : "");
    return NGX_CONF_ERROR;
}

static char *compile(ngx_conf_t *cf, ngx_str_t value, ngx_http_complex_value_t **variable)
{
    *variable = ngx_palloc(cf->pool, sizeof(**variable));
    if (*variable == NULL) {
        return NGX_CONF_ERROR;
    }
    ngx_http_compile_complex_value_t compile = {
        .cf = cf, .value = &value, .complex_value = *variable};
    return ngx_http_compile_complex_value(&compile) == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}

static char *set_value(ngx_conf_t *cf, const ngx_str_t *word, ngx_str_t value,
                       const struct ngx_http_comanda_setting *setting)
{
    if (value.len == 0) {
        return refuse(cf, word, "has no value");
    }
    if (setting->text != NULL) {
        *setting->text = value;
        return NGX_CONF_OK;
    }
    if (setting->variable != NULL) {
        return compile(cf, value, setting->variable);
    }
    ngx_int_t number =
        setting->msec != NULL ? ngx_parse_time(&value, 0) : ngx_atoi(value.data, value.len);
    if (number == NGX_ERROR || number < setting->min || number > setting->max) {
        return refuse_range(cf, word, setting);
    }
    if (setting->msec != NULL) {
        *setting->msec = (ngx_msec_t)number;
    } else {
        *setting->number = (ngx_uint_t)number;
    }
    return NGX_CONF_OK;
}

static const struct ngx_http_comanda_setting *find(const struct ngx_http_comanda_setting *settings,
                                                   struct str name)
{
    for (; settings->name.data != NULL; settings++) {
        if (str_eq(settings->name, name)) {
            return settings;
        }
    }
    return NULL;
}

// Is this the name of an earlier word too?
static bool stands_before(ngx_conf_t *cf, ngx_uint_t first, ngx_uint_t index, struct str name)
{
    const ngx_str_t *words = cf->args->elts;
    for (ngx_uint_t i = first; i < index; i++) {
        struct str other, value;
        if (str_split(ngx_http_comanda_str(words[i]), '=', &other, &value) && str_eq(other, name)) {
            return true;
        }
    }
    return false;
}

char *ngx_http_comanda_words_once(ngx_conf_t *cf, ngx_uint_t first)
{
    ngx_str_t *words = cf->args->elts;
    for (ngx_uint_t i = first; i < cf->args->nelts; i++) {
        struct str name, value;
        if (ngx_http_comanda_argument(words[i], &name, &value) &&
            stands_before(cf, first, i, name)) {
            return refuse(cf, &words[i], "stands twice");
        }
    }
    return NGX_CONF_OK;
}

char *ngx_http_comanda_read_settings(ngx_conf_t *cf, ngx_uint_t first,
                                     const struct ngx_http_comanda_setting *settings)
{
    ngx_str_t *words = cf->args->elts;
    for (ngx_uint_t i = first; i < cf->args->nelts; i++) {
        struct str name, value;
        if (!str_split(ngx_http_comanda_str(words[i]), '=', &name, &value)) {
            return refuse(cf, &words[i], "is no name=value");
        }
        const struct ngx_http_comanda_setting *setting = find(settings, name);
        if (setting == NULL) {
            return refuse(cf, &words[i], "is no parameter of this directive");
        }
        if (stands_before(cf, first, i, name)) {
            return refuse(cf, &words[i], "stands twice");
        }
        char *rc = set_value(cf, &words[i], ngx_http_comanda_ngx_str(value), setting);
        if (rc != NGX_CONF_OK) {
            return rc;
        }
    }
    return NGX_CONF_OK;
}
