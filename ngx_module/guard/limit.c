// SPDX-License-Identifier: Apache-2.0
// Rate limits before a request: charged once a client's request, given back when one refuses, told
// in one set of RateLimit fields.
#include "guard/limit.h"
#include "answer/answer.h"

#include "base/monotonic.h"
#include "base/sha256.h"

static const int64_t second_ns = 1000000000;

static ngx_http_output_header_filter_pt next_header_filter;

struct charge {
    const struct limit *limit;
    uint64_t key_hash;
};

// What limits have done with a client's request; kept through internal redirects.
struct ngx_http_comanda_limit_state {
    ngx_array_t charges;      // of struct charge
    const struct limit *told; // the one that refused, else the one that leaves least; NULL: none
    struct gcra_answer answer;
    bool refused; // its error page is not limited again
};

static uint64_t hash_key(const struct limit *limit, ngx_str_t key)
{
    unsigned char digest[SHA256_LEN];
    uint64_t hash;
    uint32_t rule[] = {limit->rule->number, (uint32_t)limit->rule->key.len};
    struct str pieces[] = {{(const char *)limit->zone->shared->secret, LIMIT_SECRET_LEN},
                           {(const char *)rule, sizeof(rule)},
                           ngx_http_comanda_str(limit->rule->key),
                           ngx_http_comanda_str(key)};
    sha256(pieces, sizeof(pieces) / sizeof(pieces[0]), digest);
    ngx_memcpy(&hash, digest, sizeof(hash));
    return hash;
}

static int64_t seconds_up(int64_t ns)
{
    return (ns + second_ns - 1) / second_ns;
}

// ---- The key ------------------------------------------------------------------------------------

static size_t variables_bytes(ngx_http_request_t *r)
{
    const ngx_http_core_main_conf_t *core = ngx_http_get_module_main_conf(r, ngx_http_core_module);
    return core->variables.nelts * sizeof(ngx_http_variable_value_t);
}

// A key that asks who the principal is, be it through a map, cannot be known before the access
// phase. What variables were made of the missing answer is forgotten, since nginx would keep it.
// NGX_AGAIN: the key waits for that phase.
static ngx_int_t read_early_key(ngx_http_request_t *r, const struct limit *limit, ngx_str_t *key)
{
    const struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    unsigned asked = ctx->asked_in_vain;
    size_t bytes = variables_bytes(r);
    void *before = ngx_palloc(r->pool, bytes);
    if (before == NULL) {
        return NGX_ERROR;
    }
    ngx_memcpy(before, r->variables, bytes);
    ngx_int_t rc = ngx_http_complex_value(r, (ngx_http_complex_value_t *)&limit->key, key);
    if (ctx->asked_in_vain != asked) {
        ngx_memcpy(r->variables, before, bytes);
        rc = rc == NGX_OK ? NGX_AGAIN : rc;
    }
    (void)ngx_pfree(r->pool, before); // large ones only, the others go with the pool
    return rc;
}

// `set` or `if` may have asked for the principal in the rewrite phase, and a map that is not
// volatile have kept its empty answer. What `set` itself made (a weak variable) stays: nothing
// makes it again.
static void forget_empty(ngx_http_request_t *r)
{
    const ngx_http_core_main_conf_t *core = ngx_http_get_module_main_conf(r, ngx_http_core_module);
    const ngx_http_variable_t *variables = core->variables.elts;
    for (ngx_uint_t i = 0; i < core->variables.nelts; i++) {
        ngx_http_variable_value_t *value = &r->variables[i];
        bool empty = value->not_found || (value->valid && value->len == 0);
        if (empty && !(variables[i].flags & NGX_HTTP_VAR_WEAK)) {
            value->valid = 0;
            value->not_found = 0;
        }
    }
}

static ngx_int_t read_key(ngx_http_request_t *r, const struct limit *limit,
                          enum ngx_http_comanda_limit_phase phase, ngx_str_t *key)
{
    if (phase == NGX_HTTP_COMANDA_LIMIT_PREACCESS) {
        return limit->phase == phase ? read_early_key(r, limit, key) : NGX_AGAIN;
    }
    return ngx_http_complex_value(r, (ngx_http_complex_value_t *)&limit->key, key);
}

// ---- Charging -----------------------------------------------------------------------------------

static bool has_charged(const struct ngx_http_comanda_limit_state *state, const struct limit *limit)
{
    const struct charge *charges = state->charges.elts;
    for (ngx_uint_t i = 0; i < state->charges.nelts; i++) {
        if (charges[i].limit->zone == limit->zone && charges[i].limit->rule == limit->rule) {
            return true;
        }
    }
    return false;
}

// A request that one limit refuses costs nothing at the others.
static void refund(struct ngx_http_comanda_limit_state *state)
{
    const struct charge *charges = state->charges.elts;
    for (ngx_uint_t i = 0; i < state->charges.nelts; i++) {
        limit_table_refund(charges[i].limit->zone->shared->table, charges[i].key_hash,
                           charges[i].limit->rule->rate);
    }
    state->charges.nelts = 0;
}

static ngx_int_t refuse(ngx_http_request_t *r, struct ngx_http_comanda_limit_state *state)
{
    u_char text[NGX_INT64_LEN];
    u_char *end = ngx_snprintf(text, sizeof(text), "%L", seconds_up(state->answer.retry_ns));
    struct str seconds = {(const char *)text, (size_t)(end - text)};
    state->refused = true;
    refund(state);
    ngx_http_comanda_metric_add(state->told->zone->limited, 1);
    if (ngx_http_comanda_refuse_until(r, seconds) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_comanda_refuse(r, NGX_HTTP_TOO_MANY_REQUESTS, STR("rate-limited"),
                                   STR("too many requests: wait for the seconds in Retry-After"));
}

// NGX_BUSY: it refuses.
static ngx_int_t charge(struct ngx_http_comanda_limit_state *state, const struct limit *limit,
                        ngx_str_t key)
{
    struct limit_table *table = limit->zone->shared->table;
    uint64_t hash = hash_key(limit, key);
    struct charge *made = ngx_array_push(&state->charges);
    if (made == NULL) {
        return NGX_ERROR;
    }
    struct gcra_answer answer = limit_table_charge(table, hash, limit->rule->rate, monotonic_ns());
    ngx_http_comanda_metric_add(limit->zone->evicted, (int64_t)limit_table_take_evictions(table));
    *made = (struct charge){limit, hash};
    if (!answer.allowed) {
        state->charges.nelts--;
    }
    if (!answer.allowed || state->told == NULL || answer.remaining < state->answer.remaining) {
        state->told = limit;
        state->answer = answer;
    }
    return answer.allowed ? NGX_OK : NGX_BUSY;
}

static ngx_int_t charge_all(ngx_http_request_t *r, struct ngx_http_comanda_limit_state *state,
                            const ngx_array_t *all, enum ngx_http_comanda_limit_phase phase)
{
    const struct limit *limits = all->elts;
    for (ngx_uint_t i = 0; i < all->nelts; i++) {
        ngx_str_t key;
        if (has_charged(state, &limits[i])) { // here before an internal redirect, or in preaccess
            continue;
        }
        ngx_int_t rc = read_key(r, &limits[i], phase, &key);
        if (rc == NGX_AGAIN || (rc == NGX_OK && key.len == 0)) { // as limit_req: not limited
            continue;
        }
        if (rc == NGX_OK) {
            rc = charge(state, &limits[i], key);
        }
        if (rc == NGX_BUSY) {
            return refuse(r, state);
        }
        if (rc != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return NGX_DECLINED;
}

static struct ngx_http_comanda_limit_state *state_of(ngx_http_request_t *r,
                                                     struct ngx_http_comanda_ctx *ctx)
{
    struct ngx_http_comanda_limit_state *state = ctx->limits;
    if (state != NULL) {
        return state;
    }
    state = ngx_pcalloc(r->pool, sizeof(*state));
    if (state == NULL ||
        ngx_array_init(&state->charges, r->pool, 2, sizeof(struct charge)) != NGX_OK) {
        return NULL;
    }
    ctx->limits = state;
    return state;
}

ngx_int_t ngx_http_comanda_limit_check(ngx_http_request_t *r,
                                       enum ngx_http_comanda_limit_phase phase)
{
    const struct limit_loc_conf *conf =
        ngx_http_get_module_loc_conf(r, ngx_http_comanda_limit_module);
    if (conf->limits == NULL || conf->off == 1 || r != r->main) {
        return NGX_DECLINED;
    }
    struct ngx_http_comanda_ctx *ctx = ngx_http_comanda_ctx(r);
    struct ngx_http_comanda_limit_state *state = ctx == NULL ? NULL : state_of(r, ctx);
    if (state == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (state->refused) {
        return NGX_DECLINED;
    }
    if (phase == NGX_HTTP_COMANDA_LIMIT_ACCESS && ctx->asked_in_vain > 0) {
        forget_empty(r);
    }
    return charge_all(r, state, conf->limits, phase);
}

// ---- The fields ---------------------------------------------------------------------------------

static ngx_int_t tell(ngx_http_request_t *r, const struct ngx_http_comanda_limit_state *state)
{
    u_char text[128];
    const struct gcra_answer *answer = &state->answer;
    int64_t full_s = seconds_up(answer->allowed ? answer->reset_ns : answer->retry_ns);
    u_char *end = ngx_snprintf(text, sizeof(text), "\"%V\";r=%L;t=%L", &state->told->zone->name,
                               answer->remaining, full_s);
    struct str value = {(const char *)text, (size_t)(end - text)};
    if (ngx_http_comanda_set_header(r, STR("RateLimit"), value) != NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_comanda_set_header(r, STR("RateLimit-Policy"),
                                       ngx_http_comanda_str(state->told->policy));
}

static ngx_int_t filter_header(ngx_http_request_t *r)
{
    const struct ngx_http_comanda_ctx *ctx = r == r->main ? ngx_http_comanda_known_ctx(r) : NULL;
    if (ctx != NULL && ctx->limits != NULL && ctx->limits->told != NULL &&
        tell(r, ctx->limits) != NGX_OK) {
        return NGX_ERROR;
    }
    return next_header_filter(r);
}

ngx_int_t ngx_http_comanda_limit_add_filter(ngx_conf_t *cf)
{
    (void)cf;
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = filter_header;
    return NGX_OK;
}
