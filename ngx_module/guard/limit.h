// SPDX-License-Identifier: Apache-2.0
// What the two halves of the rate limits share: limit_conf.c reads the directives, limit.c judges
// requests by them.
#pragma once

#include "guard/guard.h"
#include "observe/metrics.h"

#include "application/limit/limit_table.h"

enum { LIMIT_SECRET_LEN = 16, LIMITS_MAX = 8 /* a location */ };

// In the zone; survives a reload.
struct limit_shared {
    unsigned char secret[LIMIT_SECRET_LEN]; // so that no caller chooses where his key falls
    struct limit_table *table; // within the zone, which each process maps at the same address
};

// Whose cells these are, within a zone. Directives with the same key, rate and burst have one rule,
// also in several places of the file. A reload finds a rule again by its key and its number among
// those of the same key, so that one whose rate alone was changed goes on with its cells.
struct limit_rule {
    ngx_str_t key; // as it is written
    struct gcra_rate rate;
    uint32_t number;
};

struct limit_zone {
    ngx_str_t name;
    size_t table_size;
    struct limit_shared *shared;
    ngx_array_t rules; // of struct limit_rule *
    struct ngx_http_comanda_metric *limited;
    struct ngx_http_comanda_metric *evicted;
};

struct limit {
    struct limit_zone *zone;
    const struct limit_rule *rule;
    ngx_http_complex_value_t key;
    enum ngx_http_comanda_limit_phase phase; // not before it
    ngx_str_t policy;                        // value of RateLimit-Policy
};

struct limit_loc_conf {
    ngx_array_t *limits; // of struct limit; NULL: none at this level
    ngx_flag_t off;
};

// Adds the filter that writes the RateLimit fields.
ngx_int_t ngx_http_comanda_limit_add_filter(ngx_conf_t *cf);
