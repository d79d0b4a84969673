// SPDX-License-Identifier: Apache-2.0
// Directives comanda_limit_zone and comanda_limit: GCRA in shared memory, by any nginx variable.
#include "answer/answer.h"
#include "core/random.h"
#include "core/settings.h"
#include "guard/guard.h"
#include "observe/metrics.h"

#include "application/limit/limit_table.h"
#include "base/monotonic.h"
#include "base/sha256.h"

enum {
    ZONE_KEYS_MIN = 64,
    ZONE_KEYS_MAX = 64 * 1024 * 1024,
    SECRET_LEN = 16,
    TABLE_ALIGN = 64,
    LIMITS_MAX = 8, // a location
};

static const int64_t second_ns = 1000000000;

// In the zone; survives a reload.
struct limit_shared {
    unsigned char secret[SECRET_LEN]; // so that no caller chooses where his key falls
    struct limit_table *table; // within the zone, which each process maps at the same address
};

struct limit_zone {
    ngx_str_t name;
    size_t table_size;
    struct limit_shared *shared;
    struct ngx_http_comanda_metric *limited;
    struct ngx_http_comanda_metric *evicted;
};

struct limit {
    struct limit_zone *zone;
    ngx_http_complex_value_t key;
    struct gcra_rate rate;
    enum ngx_http_comanda_limit_phase phase;
    ngx_str_t policy; // value of RateLimit-Policy
};

struct loc_conf {
    ngx_array_t *limits; // of struct limit; NULL: none at this level
    ngx_flag_t off;
};

// ---- A request ----------------------------------------------------------------------------------

static uint64_t hash_key(const struct limit_zone *zone, ngx_str_t key)
{
    unsigned char digest[SHA256_LEN];
    uint64_t hash;
    struct str pieces[] = {{(const char *)zone->shared->secret, SECRET_LEN},
                           ngx_http_comanda_str(key)};
    sha256(pieces, 2, digest);
    ngx_memcpy(&hash, digest, sizeof(hash));
    return hash;
}

static int64_t seconds_up(int64_t ns)
{
    return (ns + second_ns - 1) / second_ns;
}

static ngx_int_t tell_limit(ngx_http_request_t *r, const struct limit *limit,
                            const struct gcra_answer *answer)
{
    u_char text[128];
    int64_t full_s = seconds_up(answer->allowed ? answer->reset_ns : answer->retry_ns);
    u_char *end = ngx_snprintf(text, sizeof(text), "\"%V\";r=%L;t=%L", &limit->zone->name,
                               answer->remaining, full_s);
    struct str value = {(const char *)text, (size_t)(end - text)};
    if (ngx_http_comanda_add_header(r, STR("RateLimit"), value) != NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_comanda_add_header(r, STR("RateLimit-Policy"),
                                       ngx_http_comanda_str(limit->policy));
}

static ngx_int_t refuse(ngx_http_request_t *r, const struct limit *limit,
                        const struct gcra_answer *answer)
{
    u_char text[NGX_INT64_LEN];
    u_char *end = ngx_snprintf(text, sizeof(text), "%L", seconds_up(answer->retry_ns));
    struct str seconds = {(const char *)text, (size_t)(end - text)};
    ngx_http_comanda_metric_add(limit->zone->limited, 1);
    if (tell_limit(r, limit, answer) != NGX_OK ||
        ngx_http_comanda_add_header(r, STR("Retry-After"), seconds) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_comanda_refuse(r, NGX_HTTP_TOO_MANY_REQUESTS, STR("rate-limited"),
                                   STR("too many requests: wait for the seconds in Retry-After"));
}

struct charge {
    const struct limit *limit;
    uint64_t key_hash;
};

// A request that one limit refuses costs nothing at the others.
static void refund(const struct charge *charges, ngx_uint_t count)
{
    for (ngx_uint_t i = 0; i < count; i++) {
        limit_table_refund(charges[i].limit->zone->shared->table, charges[i].key_hash,
                           charges[i].limit->rate);
    }
}

static ngx_int_t charge_all(ngx_http_request_t *r, const struct loc_conf *conf,
                            enum ngx_http_comanda_limit_phase phase)
{
    struct charge charges[LIMITS_MAX];
    ngx_uint_t charged = 0;
    const struct limit *tightest = NULL;
    struct gcra_answer left = {0};
    const struct limit *limits = conf->limits->elts;
    for (ngx_uint_t i = 0; i < conf->limits->nelts; i++) {
        ngx_str_t key;
        if (limits[i].phase != phase) {
            continue;
        }
        if (ngx_http_complex_value(r, (ngx_http_complex_value_t *)&limits[i].key, &key) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
        if (key.len == 0) { // as limit_req: an empty key is not limited
            continue;
        }
        uint64_t hash = hash_key(limits[i].zone, key);
        struct gcra_answer answer =
            limit_table_charge(limits[i].zone->shared->table, hash, limits[i].rate, monotonic_ns());
        ngx_http_comanda_metric_add(limits[i].zone->evicted, (int64_t)limit_table_take_evictions(
                                                                 limits[i].zone->shared->table));
        if (!answer.allowed) {
            refund(charges, charged);
            return refuse(r, &limits[i], &answer);
        }
        charges[charged++] = (struct charge){&limits[i], hash};
        if (tightest == NULL || answer.remaining < left.remaining) {
            tightest = &limits[i];
            left = answer;
        }
    }
    if (tightest != NULL && tell_limit(r, tightest, &left) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return NGX_DECLINED;
}

ngx_int_t ngx_http_comanda_limit_check(ngx_http_request_t *r,
                                       enum ngx_http_comanda_limit_phase phase)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_limit_module);
    struct ngx_http_comanda_ctx *ctx;
    if (conf->limits == NULL || conf->off == 1 || r != r->main) {
        return NGX_DECLINED;
    }
    ctx = ngx_http_comanda_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    unsigned bit = 1u << phase; // an internal redirect runs the phases again
    if (ctx->charged & bit) {
        return NGX_DECLINED;
    }
    ctx->charged |= bit;
    return charge_all(r, conf, phase);
}

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
    ngx_http_comanda_random(zone->shared->secret, SECRET_LEN);
    zone->shared->table = limit_table_init(ngx_align_ptr(memory, TABLE_ALIGN), zone->table_size);
    return NGX_OK;
}

static char *add_zone(ngx_conf_t *cf, ngx_str_t name, ngx_int_t keys)
{
    struct limit_zone *zone = ngx_pcalloc(cf->pool, sizeof(*zone));
    if (zone == NULL) {
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

static bool compile_key(ngx_conf_t *cf, struct str value, struct limit *limit)
{
    ngx_str_t text = ngx_http_comanda_ngx_str(value);
    ngx_http_compile_complex_value_t compile = {
        .cf = cf, .value = &text, .complex_value = &limit->key};
    return value.len > 0 && ngx_http_compile_complex_value(&compile) == NGX_OK &&
           limit->key.lengths != NULL;
}

static bool find_zone(ngx_conf_t *cf, struct str value, struct limit *limit)
{
    ngx_str_t name = ngx_http_comanda_ngx_str(value);
    ngx_shm_zone_t *zone = ngx_shared_memory_add(cf, &name, 0, &ngx_http_comanda_limit_module);
    limit->zone = zone == NULL ? NULL : zone->data;
    return limit->zone != NULL;
}

static bool read_phase(struct str value, struct limit *limit)
{
    limit->phase = str_eq(value, STR("access")) ? NGX_HTTP_COMANDA_LIMIT_ACCESS
                                                : NGX_HTTP_COMANDA_LIMIT_PREACCESS;
    return limit->phase == NGX_HTTP_COMANDA_LIMIT_ACCESS || str_eq(value, STR("preaccess"));
}

static bool read_limit_argument(ngx_conf_t *cf, ngx_str_t word, struct limit *limit)
{
    struct str name;
    struct str value;
    if (!ngx_http_comanda_argument(word, &name, &value)) {
        return false;
    }
    if (str_eq(name, STR("zone"))) {
        return find_zone(cf, value, limit);
    }
    if (str_eq(name, STR("key"))) {
        return compile_key(cf, value, limit);
    }
    if (str_eq(name, STR("rate"))) {
        limit->rate.interval_ns = read_interval(value);
        return limit->rate.interval_ns > 0;
    }
    if (str_eq(name, STR("burst"))) {
        return str_to_int64(value, &limit->rate.burst) && limit->rate.burst >= 1 &&
               limit->rate.burst <= GCRA_BURST_MAX;
    }
    return str_eq(name, STR("phase")) && read_phase(value, limit);
}

static char *finish_limit(ngx_conf_t *cf, struct limit *limit)
{
    if (limit->zone == NULL || limit->key.value.len == 0 || limit->rate.interval_ns == 0) {
        return "needs zone=NAME key=$variable rate=Nr/s (or r/m)";
    }
    int64_t window_s = seconds_up(limit->rate.interval_ns * limit->rate.burst);
    limit->policy.data = ngx_pnalloc(cf->pool, limit->zone->name.len + 64);
    if (limit->policy.data == NULL) {
        return NGX_CONF_ERROR;
    }
    u_char *end = ngx_sprintf(limit->policy.data, "\"%V\";q=%L;w=%L", &limit->zone->name,
                              limit->rate.burst, window_s);
    limit->policy.len = (size_t)(end - limit->policy.data);
    return NGX_CONF_OK;
}

static char *set_limit(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    struct loc_conf *conf = data;
    ngx_str_t *words = cf->args->elts;
    if (cf->args->nelts == 2 && str_eq(ngx_http_comanda_str(words[1]), STR("off"))) {
        conf->off = 1;
        return NGX_CONF_OK;
    }
    if (conf->limits == NULL) {
        conf->limits = ngx_array_create(cf->pool, 2, sizeof(struct limit));
    }
    if (conf->limits == NULL || conf->limits->nelts >= LIMITS_MAX) {
        return "stands more than 8 times at this level";
    }
    struct limit *limit = ngx_array_push(conf->limits);
    if (limit == NULL) {
        return NGX_CONF_ERROR;
    }
    *limit = (struct limit){.rate = {.burst = 1}};
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        if (!read_limit_argument(cf, words[i], limit)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "comanda_limit: \"%V\" is not zone=NAME (of a comanda_limit_zone "
                               "above), key=$variable, rate=Nr/s or Nr/m, burst=1 to %d, or "
                               "phase=preaccess|access",
                               &words[i], GCRA_BURST_MAX);
            return NGX_CONF_ERROR;
        }
    }
    return finish_limit(cf, limit);
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    struct loc_conf *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (conf != NULL) {
        conf->off = NGX_CONF_UNSET;
    }
    return conf;
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    const struct loc_conf *outer = parent;
    struct loc_conf *conf = child;
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
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

ngx_module_t ngx_http_comanda_limit_module = {
    NGX_MODULE_V1,           .ctx = &module_context, .commands = directives,
    .type = NGX_HTTP_MODULE, NGX_MODULE_V1_PADDING,
};
