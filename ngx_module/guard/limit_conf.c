// SPDX-License-Identifier: Apache-2.0
// Directives comanda_limit_zone and comanda_limit: GCRA in shared memory, by any nginx variable.
#include "core/random.h"
#include "core/settings.h"
#include "guard/limit.h"

enum {
    ZONE_KEYS_MIN = 64,
    ZONE_KEYS_MAX = 64 * 1024 * 1024,
    TABLE_ALIGN = 64,
};

static const int64_t second_ns = 1000000000;

// A comanda_limit that is being read.
struct reading {
    struct limit *limit;
    struct limit_rule rule;
    bool preaccess; // is said
};

// ---- The zone -----------------------------------------------------------------------------------

static ngx_int_t init_zone(ngx_shm_zone_t *shm_zone, void *old_data)
{
    struct limit_zone *zone = shm_zone->data;
    const struct limit_zone *old = old_data;
    ngx_slab_pool_t *pool = (ngx_slab_pool_t *)shm_zone->shm.addr;
    if (old != NULL) { // a reload: same name, size and tag
        zone->shared = old->shared;
        return NGX_OK;
    }
    if (shm_zone->shm.exists) {
        zone->shared = pool->data;
        return NGX_OK;
    }
    zone->shared = ngx_slab_calloc(pool, sizeof(*zone->shared));
    u_char *memory = ngx_slab_calloc(pool, zone->table_size + TABLE_ALIGN);
    if (zone->shared == NULL || memory == NULL) {
        return NGX_ERROR;
    }
    pool->data = zone->shared;
    ngx_http_comanda_random(zone->shared->secret, LIMIT_SECRET_LEN);
    zone->shared->table = limit_table_init(ngx_align_ptr(memory, TABLE_ALIGN), zone->table_size);
    return NGX_OK;
}

static char *add_zone(ngx_conf_t *cf, ngx_str_t name, ngx_int_t keys)
{
    struct limit_zone *zone = ngx_pcalloc(cf->pool, sizeof(*zone));
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }
    if (ngx_array_init(&zone->rules, cf->pool, 4, sizeof(struct limit_rule *)) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    zone->name = name;
    zone->table_size = limit_table_size((size_t)keys);
    // The slab keeps a page descriptor for each page, and needs a few pages for itself.
    size_t size = zone->table_size + zone->table_size / 64 + 32 * ngx_pagesize;
    ngx_shm_zone_t *shm_zone =
        ngx_shared_memory_add(cf, &name, size, &ngx_http_comanda_limit_module);
    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }
    if (shm_zone->data != NULL) {
        return "defines a zone of this name a second time";
    }
    shm_zone->init = init_zone;
    shm_zone->data = zone;
    zone->limited = ngx_http_comanda_counter(cf, "comanda_rate_limited_total",
                                             "Requests refused with 429.", STR(""));
    zone->evicted = ngx_http_comanda_counter(
        cf, "comanda_limit_evictions_total",
        "Keys forgotten before their time: give comanda_limit_zone more keys.", STR(""));
    return NGX_CONF_OK;
}

static char *set_zone(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    (void)data;
    ngx_str_t *words = cf->args->elts;
    struct str name;
    struct str value;
    ngx_int_t keys = NGX_ERROR;
    if (ngx_http_comanda_argument(words[2], &name, &value) && str_eq(name, STR("keys"))) {
        keys = ngx_atoi((u_char *)value.data, value.len);
    }
    if (keys < ZONE_KEYS_MIN || keys > ZONE_KEYS_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "comanda_limit_zone: \"%V\" is not keys=%d to keys=%d", &words[2],
                           ZONE_KEYS_MIN, ZONE_KEYS_MAX);
        return NGX_CONF_ERROR;
    }
    return add_zone(cf, words[1], keys);
}

// ---- comanda_limit ------------------------------------------------------------------------------

// "100r/s" or "60r/m" as nanoseconds between two; 0: it is no such rate.
static int64_t read_interval(struct str text)
{
    struct str number = {text.data, text.len > 3 ? text.len - 3 : 0};
    struct str unit = {text.data + number.len, text.len - number.len};
    int64_t per = 0;
    if (!str_to_int64(number, &per) || per < 1 || per > second_ns) {
        return 0;
    }
    if (str_eq(unit, STR("r/s"))) {
        return second_ns / per;
    }
    return str_eq(unit, STR("r/m")) ? 60 * second_ns / per : 0;
}

static bool compile_key(ngx_conf_t *cf, struct str value, struct reading *reading)
{
    ngx_http_complex_value_t *key = &reading->limit->key;
    reading->rule.key = ngx_http_comanda_ngx_str(value);
    ngx_http_compile_complex_value_t compile = {
        .cf = cf, .value = &reading->rule.key, .complex_value = key};
    return value.len > 0 && ngx_http_compile_complex_value(&compile) == NGX_OK &&
           key->lengths != NULL;
}

static bool find_zone(ngx_conf_t *cf, struct str value, struct limit *limit)
{
    ngx_str_t name = ngx_http_comanda_ngx_str(value);
    ngx_shm_zone_t *zone = ngx_shared_memory_add(cf, &name, 0, &ngx_http_comanda_limit_module);
    limit->zone = zone == NULL ? NULL : zone->data;
    return limit->zone != NULL;
}

static bool read_phase(struct str value, struct reading *reading)
{
    reading->preaccess = str_eq(value, STR("preaccess"));
    reading->limit->phase =
        reading->preaccess ? NGX_HTTP_COMANDA_LIMIT_PREACCESS : NGX_HTTP_COMANDA_LIMIT_ACCESS;
    return reading->preaccess || str_eq(value, STR("access"));
}

static bool read_limit_argument(ngx_conf_t *cf, ngx_str_t word, struct reading *reading)
{
    struct str name;
    struct str value;
    struct gcra_rate *rate = &reading->rule.rate;
    if (!ngx_http_comanda_argument(word, &name, &value)) {
        return false;
    }
    if (str_eq(name, STR("zone"))) {
        return find_zone(cf, value, reading->limit);
    }
    if (str_eq(name, STR("key"))) {
        return compile_key(cf, value, reading);
    }
    if (str_eq(name, STR("rate"))) {
        rate->interval_ns = read_interval(value);
        return rate->interval_ns > 0;
    }
    if (str_eq(name, STR("burst"))) {
        return str_to_int64(value, &rate->burst) && rate->burst >= 1 &&
               rate->burst <= GCRA_BURST_MAX;
    }
    return str_eq(name, STR("phase")) && read_phase(value, reading);
}

// Does the text name this variable, as $name or ${name}?
static bool names_variable(ngx_str_t text, struct str name)
{
    for (size_t at = 0; at + 1 < text.len; at++) {
        if (text.data[at] != '$') {
            continue;
        }
        at += text.data[at + 1] == '{';
        const u_char *begin = text.data + at + 1;
        const u_char *end = begin;
        while (end < text.data + text.len && (isalnum(*end) || *end == '_')) {
            end++;
        }
        if (str_eq(name, (struct str){(const char *)begin, (size_t)(end - begin)})) {
            return true;
        }
    }
    return false;
}

static bool names_principal(ngx_str_t key)
{
    return names_variable(key, STR("comanda_subject")) ||
           names_variable(key, STR("comanda_scopes"));
}

// The zone's rule that is the same, or a new one.
static const struct limit_rule *find_rule(ngx_conf_t *cf, struct limit_zone *zone,
                                          const struct limit_rule *wanted)
{
    uint32_t number = 0;
    struct limit_rule **rules = zone->rules.elts;
    for (ngx_uint_t i = 0; i < zone->rules.nelts; i++) {
        if (!str_eq(ngx_http_comanda_str(rules[i]->key), ngx_http_comanda_str(wanted->key))) {
            continue;
        }
        if (rules[i]->rate.interval_ns == wanted->rate.interval_ns &&
            rules[i]->rate.burst == wanted->rate.burst) {
            return rules[i];
        }
        number++;
    }
    struct limit_rule *rule = ngx_palloc(cf->pool, sizeof(*rule));
    struct limit_rule **slot = ngx_array_push(&zone->rules);
    if (rule == NULL || slot == NULL) {
        return NULL;
    }
    *rule = *wanted;
    rule->number = number;
    *slot = rule;
    return rule;
}

static char *finish_limit(ngx_conf_t *cf, const struct reading *reading)
{
    struct limit *limit = reading->limit;
    struct gcra_rate rate = reading->rule.rate;
    if (limit->zone == NULL || limit->key.value.len == 0 || rate.interval_ns == 0) {
        return "needs zone=NAME key=$variable rate=Nr/s (or r/m)";
    }
    if (names_principal(reading->rule.key)) {
        if (reading->preaccess) {
            return "says phase=preaccess, where nobody knows yet who the principal in its key is: "
                   "say phase=access or nothing";
        }
        limit->phase = NGX_HTTP_COMANDA_LIMIT_ACCESS;
    }
    int64_t window_s = (rate.interval_ns * rate.burst + second_ns - 1) / second_ns;
    limit->rule = find_rule(cf, limit->zone, &reading->rule);
    limit->policy.data = ngx_pnalloc(cf->pool, limit->zone->name.len + 64);
    if (limit->rule == NULL || limit->policy.data == NULL) {
        return NGX_CONF_ERROR;
    }
    u_char *end = ngx_sprintf(limit->policy.data, "\"%V\";q=%L;w=%L", &limit->zone->name,
                              rate.burst, window_s);
    limit->policy.len = (size_t)(end - limit->policy.data);
    return NGX_CONF_OK;
}

static char *set_limit(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    struct limit_loc_conf *conf = data;
    ngx_str_t *words = cf->args->elts;
    if (cf->args->nelts == 2 && str_eq(ngx_http_comanda_str(words[1]), STR("off"))) {
        conf->off = 1;
        return NGX_CONF_OK;
    }
    if (ngx_http_comanda_words_once(cf, 1) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }
    if (conf->limits == NULL) {
        conf->limits = ngx_array_create(cf->pool, 2, sizeof(struct limit));
    }
    if (conf->limits == NULL || conf->limits->nelts >= LIMITS_MAX) {
        return "stands more than 8 times at this level";
    }
    struct reading reading = {.limit = ngx_array_push(conf->limits), .rule.rate.burst = 1};
    if (reading.limit == NULL) {
        return NGX_CONF_ERROR;
    }
    *reading.limit = (struct limit){.phase = NGX_HTTP_COMANDA_LIMIT_PREACCESS};
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        if (!read_limit_argument(cf, words[i], &reading)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "comanda_limit: \"%V\" is not zone=NAME (of a comanda_limit_zone "
                               "above), key=$variable, rate=Nr/s or Nr/m, burst=1 to %d, or "
                               "phase=preaccess|access",
                               &words[i], GCRA_BURST_MAX);
            return NGX_CONF_ERROR;
        }
    }
    return finish_limit(cf, &reading);
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    struct limit_loc_conf *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (conf != NULL) {
        conf->off = NGX_CONF_UNSET;
    }
    return conf;
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    const struct limit_loc_conf *outer = parent;
    struct limit_loc_conf *conf = child;
    (void)cf;
    if (conf->limits == NULL && conf->off == NGX_CONF_UNSET) {
        conf->limits = outer->limits;
        conf->off = outer->off;
    }
    return NGX_CONF_OK;
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_limit_zone"),
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE2,
     .set = set_zone},
    {.name = ngx_string("comanda_limit"),
     .type = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_1MORE,
     .set = set_limit,
     .conf = NGX_HTTP_LOC_CONF_OFFSET},
    ngx_null_command,
};

static ngx_http_module_t module_context = {
    .postconfiguration = ngx_http_comanda_limit_add_filter,
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

ngx_module_t ngx_http_comanda_limit_module = {
    NGX_MODULE_V1,           .ctx = &module_context, .commands = directives,
    .type = NGX_HTTP_MODULE, NGX_MODULE_V1_PADDING,
};
