// SPDX-License-Identifier: Apache-2.0
// Directives comanda_shed_zone, comanda_shed and comanda_backlog_max: what cannot be done in time
// is refused at once.
#include "answer/answer.h"
#include "core/settings.h"
#include "guard/guard.h"
#include "guard/shed_measure.h"
#include "observe/metrics.h"

#include "base/monotonic.h"

enum {
    BUDGET_MS_MAX = 600000,
    BACKLOG_MS_MIN = 1000,
    BACKLOG_MS_MAX = 3600000,
    BACKLOG_MS = 30000,
    RETRY_S_MAX = 60
};

// Normal requests go at four fifths of the budget, so that room is left for the high ones.
enum { NORMAL_SHARE_PERCENT = 80 };

static const int64_t millisecond_ns = 1000000;

_Static_assert(NGX_MAX_PROCESSES <= CONCURRENCY_SLOTS, "a slot for each process of nginx");

struct shed_zone {
    struct concurrency_limit *limit;
};

enum shed_by { SHED_OFF, SHED_BY_POSTGRES, SHED_BY_ZONE };

struct main_conf {
    ngx_array_t zones; // of struct shed_zone *
    struct ngx_http_comanda_shed_store store;
};

struct loc_conf {
    ngx_flag_t stated;
    enum shed_by by;
    ngx_msec_t budget_ms; // 0: the store's own
    int high;
    struct shed_zone *zone;
    struct ngx_http_comanda_metric *shed;
    struct { // a line of its own beside the others
        ngx_flag_t stated;
        ngx_flag_t asked;
        struct ngx_http_comanda_metric *shed;
    } backlog;
    ngx_msec_t backlog_max_ms;
};

// ---- A request ----------------------------------------------------------------------------------

static ngx_int_t refuse(ngx_http_request_t *r, struct ngx_http_comanda_metric *shed,
                        ngx_msec_t over_ms)
{
    // Spread, so that those refused together do not come back together.
    ngx_uint_t seconds = 1 + over_ms / 1000 + (ngx_uint_t)ngx_random() % 2;
    u_char text[NGX_INT_T_LEN];
    u_char *end = ngx_sprintf(text, "%ui", seconds < RETRY_S_MAX ? seconds : RETRY_S_MAX);
    struct str value = {(const char *)text, (size_t)(end - text)};
    ngx_http_comanda_metric_add(shed, 1);
    if (ngx_http_comanda_shed_decide(r, NULL, (struct concurrency_claim){0}) != NGX_OK ||
        ngx_http_comanda_refuse_until(r, value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_comanda_refuse(
        r, NGX_HTTP_SERVICE_UNAVAILABLE, STR("overloaded"),
        STR("not begun: it could not be done in time; ask again later, with the same key"));
}

static ngx_int_t check_postgres(ngx_http_request_t *r, const struct loc_conf *conf)
{
    const struct main_conf *main_conf =
        ngx_http_get_module_main_conf(r, ngx_http_comanda_shed_module);
    const struct ngx_http_comanda_shed_store *store = &main_conf->store;
    ngx_msec_t budget = conf->budget_ms == 0 ? store->budget(store->data) : conf->budget_ms;
    if (!conf->high) {
        budget = budget * NORMAL_SHARE_PERCENT / 100;
    }
    ngx_msec_t expected = store->wait(store->data, conf->high);
    return expected > budget ? refuse(r, conf->shed, expected - budget) : NGX_DECLINED;
}

// Whoever only reads starts nothing that others would have to take up.
static bool starts_something(const ngx_http_request_t *r)
{
    return (r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD | NGX_HTTP_OPTIONS)) == 0;
}

static ngx_int_t check_backlog(ngx_http_request_t *r, const struct loc_conf *conf)
{
    const struct main_conf *main_conf =
        ngx_http_get_module_main_conf(r, ngx_http_comanda_shed_module);
    const struct ngx_http_comanda_shed_store *store = &main_conf->store;
    if (!conf->backlog.asked || !starts_something(r)) {
        return NGX_DECLINED;
    }
    ngx_msec_t behind = store->backlog(store->data);
    return behind > conf->backlog_max_ms
               ? refuse(r, conf->backlog.shed, behind - conf->backlog_max_ms)
               : NGX_DECLINED;
}

static struct concurrency_claim claim_of(const struct loc_conf *conf)
{
    return (struct concurrency_claim){.budget_ns = (int64_t)conf->budget_ms * millisecond_ns,
                                      .high = conf->high};
}

static ngx_int_t check_zone(ngx_http_request_t *r, const struct loc_conf *conf)
{
    bool allowed = concurrency_limit_allows(conf->zone->limit, claim_of(conf), monotonic_ns());
    return allowed ? NGX_DECLINED : refuse(r, conf->shed, 0);
}

// The page of a refusal is nothing that a server has to be spared, nor is a request that was asked
// before an internal redirect.
static bool is_asked(ngx_http_request_t *r, const struct loc_conf *conf)
{
    return (conf->by != SHED_OFF || conf->backlog.asked) && r == r->main && r->err_status == 0 &&
           !ngx_http_comanda_shed_is_decided(r);
}

ngx_int_t ngx_http_comanda_shed_check(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_shed_module);
    if (!is_asked(r, conf)) {
        return NGX_DECLINED;
    }
    ngx_int_t rc = check_backlog(r, conf);
    if (rc != NGX_DECLINED || conf->by == SHED_OFF) {
        return rc;
    }
    return conf->by == SHED_BY_ZONE ? check_zone(r, conf) : check_postgres(r, conf);
}

ngx_int_t ngx_http_comanda_shed_begin(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_shed_module);
    if (!is_asked(r, conf) || conf->by != SHED_BY_ZONE) {
        return NGX_DECLINED;
    }
    ngx_int_t rc = check_zone(r, conf); // access may have taken its time
    if (rc != NGX_DECLINED) {
        return rc;
    }
    rc = ngx_http_comanda_shed_decide(r, conf->zone->limit, claim_of(conf));
    return rc == NGX_OK ? NGX_DECLINED : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

// ---- The zone -----------------------------------------------------------------------------------

static ngx_int_t init_zone(ngx_shm_zone_t *shm_zone, void *old_data)
{
    struct shed_zone *zone = shm_zone->data;
    const struct shed_zone *old = old_data;
    ngx_slab_pool_t *pool = (ngx_slab_pool_t *)shm_zone->shm.addr;
    if (old != NULL) {
        zone->limit = old->limit;
        return NGX_OK;
    }
    if (shm_zone->shm.exists) {
        zone->limit = pool->data;
        return NGX_OK;
    }
    zone->limit = ngx_slab_calloc(pool, sizeof(*zone->limit));
    pool->data = zone->limit;
    return zone->limit == NULL ? NGX_ERROR : NGX_OK;
}

static char *set_zone(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    (void)data;
    ngx_str_t *words = cf->args->elts;
    struct shed_zone *zone = ngx_pcalloc(cf->pool, sizeof(*zone));
    ngx_shm_zone_t *shm_zone =
        ngx_shared_memory_add(cf, &words[1], 16 * ngx_pagesize, &ngx_http_comanda_shed_module);
    if (zone == NULL || shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }
    if (shm_zone->data != NULL) {
        return "defines a zone of this name a second time";
    }
    shm_zone->init = init_zone;
    shm_zone->data = zone;
    struct main_conf *main_conf =
        ngx_http_conf_get_module_main_conf(cf, ngx_http_comanda_shed_module);
    struct shed_zone **slot = ngx_array_push(&main_conf->zones);
    if (slot == NULL) {
        return NGX_CONF_ERROR;
    }
    *slot = zone;
    return NGX_CONF_OK;
}

// ---- comanda_shed -------------------------------------------------------------------------------

static bool find_zone(ngx_conf_t *cf, struct str value, struct loc_conf *conf)
{
    ngx_str_t name = ngx_http_comanda_ngx_str(value);
    ngx_shm_zone_t *zone = ngx_shared_memory_add(cf, &name, 0, &ngx_http_comanda_shed_module);
    conf->zone = zone == NULL ? NULL : zone->data;
    return conf->zone != NULL;
}

static bool read_argument(ngx_conf_t *cf, ngx_str_t word, struct loc_conf *conf)
{
    struct str name;
    struct str value;
    if (!ngx_http_comanda_argument(word, &name, &value)) {
        return false;
    }
    if (str_eq(name, STR("budget"))) {
        ngx_str_t text = ngx_http_comanda_ngx_str(value);
        ngx_int_t ms = ngx_parse_time(&text, 0);
        conf->budget_ms = (ngx_msec_t)ms;
        return ms >= 1 && ms <= BUDGET_MS_MAX;
    }
    if (str_eq(name, STR("priority"))) {
        conf->high = str_eq(value, STR("high"));
        return conf->high || str_eq(value, STR("normal"));
    }
    if (str_eq(name, STR("by")) && str_eq(value, STR("postgres"))) {
        conf->by = SHED_BY_POSTGRES;
        return true;
    }
    return str_eq(name, STR("zone")) && find_zone(cf, value, conf);
}

static bool has_store(ngx_conf_t *cf)
{
    const struct main_conf *conf =
        ngx_http_conf_get_module_main_conf(cf, ngx_http_comanda_shed_module);
    return conf->store.declared != NULL && conf->store.declared(conf->store.data);
}

void ngx_http_comanda_shed_set_store(ngx_conf_t *cf,
                                     const struct ngx_http_comanda_shed_store *store)
{
    struct main_conf *conf = ngx_http_conf_get_module_main_conf(cf, ngx_http_comanda_shed_module);
    conf->store = *store;
}

static char *check_conf(ngx_conf_t *cf, struct loc_conf *conf)
{
    if (conf->zone != NULL && conf->by == SHED_BY_POSTGRES) {
        return "takes by=postgres or zone=NAME, not both";
    }
    if (conf->zone != NULL) {
        conf->by = SHED_BY_ZONE;
    }
    if (conf->by == SHED_OFF) {
        return "needs by=postgres or zone=NAME";
    }
    if (conf->by == SHED_BY_ZONE && conf->budget_ms == 0) {
        return "needs budget=TIME with a zone";
    }
    if (conf->by == SHED_BY_POSTGRES && !has_store(cf)) {
        return "by=postgres needs a comanda_postgres above";
    }
    return NGX_CONF_OK;
}

static bool is_backlog(const ngx_conf_t *cf)
{
    const ngx_str_t *words = cf->args->elts;
    struct str name;
    struct str value;
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_comanda_argument(words[i], &name, &value) && str_eq(name, STR("by")) &&
            str_eq(value, STR("backlog"))) {
            return true;
        }
    }
    return false;
}

static char *set_backlog(ngx_conf_t *cf, struct loc_conf *conf)
{
    const struct main_conf *main_conf =
        ngx_http_conf_get_module_main_conf(cf, ngx_http_comanda_shed_module);
    if (conf->backlog.stated == 1) {
        return "stands twice at this level";
    }
    if (cf->args->nelts != 2) {
        return "by=backlog takes nothing beside it: comanda_backlog_max says how long";
    }
    if (!has_store(cf)) {
        return "by=backlog needs a comanda_postgres above";
    }
    conf->backlog.stated = 1;
    conf->backlog.asked = 1;
    conf->backlog.shed = ngx_http_comanda_counter(
        cf, "comanda_shed_backlog_total",
        "Requests refused with 503 because what they start would lie for too long.", STR(""));
    return main_conf->store.watch_backlog(cf) ? NGX_CONF_OK : NGX_CONF_ERROR;
}

static char *set_shed(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    struct loc_conf *conf = data;
    ngx_str_t *words = cf->args->elts;
    if (is_backlog(cf)) {
        return set_backlog(cf, conf);
    }
    if (conf->stated == 1) {
        return "stands twice at this level";
    }
    conf->stated = 1;
    if (cf->args->nelts == 2 && str_eq(ngx_http_comanda_str(words[1]), STR("off"))) {
        if (conf->backlog.stated == 1) {
            return "is off and by=backlog at one level";
        }
        conf->backlog.stated = 1;
        conf->backlog.asked = 0;
        return NGX_CONF_OK;
    }
    if (ngx_http_comanda_words_once(cf, 1) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        if (!read_argument(cf, words[i], conf)) {
            ngx_conf_log_error(
                NGX_LOG_EMERG, cf, 0,
                "comanda_shed: \"%V\" is not budget=1ms to 600s, priority=high or "
                "normal, by=postgres, by=backlog, or zone=NAME of a comanda_shed_zone "
                "above",
                &words[i]);
            return NGX_CONF_ERROR;
        }
    }
    conf->shed = ngx_http_comanda_counter(
        cf, "comanda_shed_total", "Requests refused with 503 because they would come too late.",
        conf->high ? STR("priority=\"high\"") : STR("priority=\"normal\""));
    return check_conf(cf, conf);
}

// ---- comanda_backlog_max ------------------------------------------------------------------------

static char *set_backlog_max(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    struct loc_conf *conf = data;
    ngx_str_t *words = cf->args->elts;
    if (conf->backlog_max_ms != NGX_CONF_UNSET_MSEC) {
        return "stands twice at this level";
    }
    ngx_int_t ms = ngx_parse_time(&words[1], 0);
    if (ms < BACKLOG_MS_MIN || ms > BACKLOG_MS_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_backlog_max \"%V\": give 1s to 1h",
                           &words[1]);
        return NGX_CONF_ERROR;
    }
    conf->backlog_max_ms = (ngx_msec_t)ms;
    return NGX_CONF_OK;
}

// ---- The configuration's levels -----------------------------------------------------------------

static void *create_main_conf(ngx_conf_t *cf)
{
    struct main_conf *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (conf == NULL ||
        ngx_array_init(&conf->zones, cf->pool, 2, sizeof(struct shed_zone *)) != NGX_OK) {
        return NULL;
    }
    return conf;
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    struct loc_conf *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    if (conf != NULL) {
        conf->stated = NGX_CONF_UNSET;
        conf->backlog.stated = NGX_CONF_UNSET;
        conf->backlog_max_ms = NGX_CONF_UNSET_MSEC;
    }
    return conf;
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    const struct loc_conf *above = parent;
    struct loc_conf *conf = child;
    const struct loc_conf own = *conf;
    (void)cf;
    if (own.stated != 1) {
        *conf = *above;
    }
    conf->backlog = own.backlog.stated == 1 ? own.backlog : above->backlog;
    conf->backlog_max_ms = own.backlog_max_ms;
    ngx_conf_merge_msec_value(conf->backlog_max_ms, above->backlog_max_ms, BACKLOG_MS);
    return NGX_CONF_OK;
}

// What a killed worker left in flight is forgotten by its successor in the same slot.
static ngx_int_t init_process(ngx_cycle_t *cycle)
{
    const struct main_conf *conf =
        ngx_http_cycle_get_module_main_conf(cycle, ngx_http_comanda_shed_module);
    if (conf == NULL || (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)) {
        return NGX_OK;
    }
    struct shed_zone *const *zone = conf->zones.elts;
    for (ngx_uint_t i = 0; i < conf->zones.nelts; i++) {
        concurrency_limit_reset_slot(zone[i]->limit, (uint32_t)ngx_process_slot);
    }
    return NGX_OK;
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_shed_zone"),
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     .set = set_zone},
    {.name = ngx_string("comanda_shed"),
     .type = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_1MORE,
     .set = set_shed,
     .conf = NGX_HTTP_LOC_CONF_OFFSET},
    {.name = ngx_string("comanda_backlog_max"),
     .type = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
     .set = set_backlog_max,
     .conf = NGX_HTTP_LOC_CONF_OFFSET},
    ngx_null_command,
};

static ngx_http_module_t module_context = {
    .postconfiguration = ngx_http_comanda_shed_add_filters,
    .create_main_conf = create_main_conf,
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

ngx_module_t ngx_http_comanda_shed_module = {
    NGX_MODULE_V1,           .ctx = &module_context,       .commands = directives,
    .type = NGX_HTTP_MODULE, .init_process = init_process, NGX_MODULE_V1_PADDING,
};
