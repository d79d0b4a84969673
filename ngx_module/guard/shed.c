// SPDX-License-Identifier: Apache-2.0
// Directives comanda_shed_zone and comanda_shed: what cannot be done in time is refused at once.
#include "answer/answer.h"
#include "core/settings.h"
#include "guard/guard.h"
#include "observe/metrics.h"

#include "application/limit/load_gauge.h"
#include "base/monotonic.h"

enum { BUDGET_MS_MAX = 600000, RETRY_S_MAX = 60 };

// Normal requests go at four fifths of the budget, so that room is left for the high ones.
enum { NORMAL_SHARE_PERCENT = 80 };

static const int64_t millisecond_ns = 1000000;

static ngx_http_output_header_filter_pt next_header_filter;

struct shed_zone {
    struct load_gauge *gauge;
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
};

// A request that a zone measures.
struct measured {
    struct load_gauge *gauge;
    int64_t begun_ns;
    bool over;
};

// ---- A request ----------------------------------------------------------------------------------

static ngx_int_t refuse(ngx_http_request_t *r, const struct loc_conf *conf, ngx_msec_t over_ms)
{
    // Spread, so that those refused together do not come back together.
    ngx_uint_t seconds = 1 + over_ms / 1000 + (ngx_uint_t)ngx_random() % 2;
    u_char text[NGX_INT_T_LEN];
    u_char *end = ngx_sprintf(text, "%ui", seconds < RETRY_S_MAX ? seconds : RETRY_S_MAX);
    struct str value = {(const char *)text, (size_t)(end - text)};
    ngx_http_comanda_metric_add(conf->shed, 1);
    if (ngx_http_comanda_add_header(r, STR("Retry-After"), value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_comanda_refuse(
        r, NGX_HTTP_SERVICE_UNAVAILABLE, STR("overloaded"),
        STR("not begun: it could not be done in time; ask again later, with the same key"));
}

static void abandon(void *data)
{
    struct measured *measured = data;
    if (!measured->over) {
        load_gauge_abandon(measured->gauge, (uint32_t)ngx_process_slot);
    }
}

// A request of a zone is in flight from here until its answer's header, or its end.
static ngx_int_t begin_measure(ngx_http_request_t *r, struct load_gauge *gauge)
{
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, sizeof(struct measured));
    if (cleanup == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    struct measured *measured = cleanup->data;
    *measured = (struct measured){.gauge = gauge, .begun_ns = monotonic_ns()};
    cleanup->handler = abandon;
    load_gauge_begin(gauge, (uint32_t)ngx_process_slot, measured->begun_ns);
    return NGX_DECLINED;
}

static struct measured *find_measured(ngx_http_request_t *r)
{
    for (ngx_pool_cleanup_t *cleanup = r->pool->cleanup; cleanup; cleanup = cleanup->next) {
        if (cleanup->handler == abandon) {
            return cleanup->data;
        }
    }
    return NULL;
}

// The header of an answer is about to leave: the work that is measured is over.
static ngx_int_t filter_header(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_shed_module);
    struct measured *measured = conf->by == SHED_BY_ZONE && r == r->main ? find_measured(r) : NULL;
    if (measured != NULL && !measured->over) {
        measured->over = true;
        load_gauge_end(measured->gauge, (uint32_t)ngx_process_slot, measured->begun_ns,
                       monotonic_ns());
    }
    return next_header_filter(r);
}

static ngx_msec_t expected_ms(ngx_http_request_t *r, const struct loc_conf *conf)
{
    if (conf->by == SHED_BY_ZONE) {
        return (ngx_msec_t)(load_gauge_wait(conf->zone->gauge, monotonic_ns()) / millisecond_ns);
    }
    const struct main_conf *main_conf =
        ngx_http_get_module_main_conf(r, ngx_http_comanda_shed_module);
    return main_conf->store.wait(main_conf->store.data, conf->high);
}

static ngx_msec_t budget_of(ngx_http_request_t *r, const struct loc_conf *conf)
{
    ngx_msec_t budget = conf->budget_ms;
    if (budget == 0) {
        const struct main_conf *main_conf =
            ngx_http_get_module_main_conf(r, ngx_http_comanda_shed_module);
        budget = main_conf->store.budget(main_conf->store.data);
    }
    return conf->high ? budget : budget * NORMAL_SHARE_PERCENT / 100;
}

ngx_int_t ngx_http_comanda_shed_check(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_shed_module);
    if (conf->by == SHED_OFF || r != r->main || find_measured(r) != NULL) {
        return NGX_DECLINED;
    }
    ngx_msec_t expected = expected_ms(r, conf);
    ngx_msec_t budget = budget_of(r, conf);
    if (expected > budget) {
        return refuse(r, conf, expected - budget);
    }
    return conf->by == SHED_BY_ZONE ? begin_measure(r, conf->zone->gauge) : NGX_DECLINED;
}

// ---- The zone -----------------------------------------------------------------------------------

static ngx_int_t init_zone(ngx_shm_zone_t *shm_zone, void *old_data)
{
    struct shed_zone *zone = shm_zone->data;
    const struct shed_zone *old = old_data;
    ngx_slab_pool_t *pool = (ngx_slab_pool_t *)shm_zone->shm.addr;
    if (old != NULL) {
        zone->gauge = old->gauge;
        return NGX_OK;
    }
    if (shm_zone->shm.exists) {
        zone->gauge = pool->data;
        return NGX_OK;
    }
    zone->gauge = ngx_slab_calloc(pool, sizeof(*zone->gauge));
    pool->data = zone->gauge;
    return zone->gauge == NULL ? NGX_ERROR : NGX_OK;
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
    conf->by = SHED_BY_ZONE;
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

static char *set_shed(ngx_conf_t *cf, ngx_command_t *directive, void *data)
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
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        if (!read_argument(cf, words[i], conf)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "comanda_shed: \"%V\" is not budget=1ms to 600s, priority=high or "
                               "normal, by=postgres, or zone=NAME of a comanda_shed_zone above",
                               &words[i]);
            return NGX_CONF_ERROR;
        }
    }
    conf->shed = ngx_http_comanda_counter(
        cf, "comanda_shed_total", "Requests refused with 503 because they would come too late.",
        conf->high ? STR("priority=\"high\"") : STR("priority=\"normal\""));
    return check_conf(cf, conf);
}

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
    }
    return conf;
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    struct loc_conf *conf = child;
    (void)cf;
    if (conf->stated != 1) {
        *conf = *(struct loc_conf *)parent;
    }
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
        load_gauge_reset_slot(zone[i]->gauge, (uint32_t)ngx_process_slot);
    }
    return NGX_OK;
}

static ngx_int_t add_filter(ngx_conf_t *cf)
{
    (void)cf;
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = filter_header;
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
    ngx_null_command,
};

static ngx_http_module_t module_context = {
    .postconfiguration = add_filter,
    .create_main_conf = create_main_conf,
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

ngx_module_t ngx_http_comanda_shed_module = {
    NGX_MODULE_V1,           .ctx = &module_context,       .commands = directives,
    .type = NGX_HTTP_MODULE, .init_process = init_process, NGX_MODULE_V1_PADDING,
};
