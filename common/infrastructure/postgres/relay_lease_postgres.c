// SPDX-License-Identifier: Apache-2.0
// The relay's lease on PostgreSQL, with blocking calls.
#include "infrastructure/postgres/relay_lease_postgres.h"

#include <stdlib.h>

#include "infrastructure/postgres/binary.h"

enum { SCRATCH_BLOCK = 4096, SCRATCH_MAX = 64 * 1024 };

struct relay_lease_postgres {
    struct relay_lease base;
    struct postgres *postgres;
    struct arena scratch;
};

static struct relay_lease_postgres *self(struct relay_lease *relay)
{
    return (struct relay_lease_postgres *)relay;
}

static void begin(struct relay_lease_postgres *relay, struct binary_params *params,
                  struct statement *statement, const char *name, const char *sql, const Oid *types)
{
    arena_reset(&relay->scratch);
    binary_params_begin(params, statement, &relay->scratch, name, sql, types);
}

// A lost answer counts as not done: each of these calls may be repeated.
static enum status run(struct relay_lease_postgres *relay, const struct binary_params *params,
                       PGresult **result)
{
    if (params->status != STATUS_OK) {
        return params->status;
    }
    return postgres_run(relay->postgres, params->statement, POSTGRES_READS, result);
}

static enum status run_for_bool(struct relay_lease_postgres *relay,
                                const struct binary_params *params, bool *yes)
{
    PGresult *result = NULL;
    enum status status = run(relay, params, &result);
    if (status == STATUS_OK) {
        struct binary_row row = {.result = result};
        *yes = PQntuples(result) == 1 && binary_bool(&row, 0);
        PQclear(result);
    }
    return status;
}

static enum status run_fenced(struct relay_lease_postgres *relay,
                              const struct binary_params *params)
{
    bool ours = false;
    enum status status = run_for_bool(relay, params, &ours);
    return status == STATUS_OK && !ours ? STATUS_FENCED : status;
}

static enum status try_acquire(struct relay_lease_postgres *relay, struct str name,
                               struct str holder, struct lease *lease)
{
    static const Oid types[] = {OID_TEXT, OID_TEXT};
    struct statement statement;
    struct binary_params params;
    begin(relay, &params, &statement, "lease_acquire",
          "select fence, epoch, tx, position from comanda.lease_acquire($1, $2)", types);
    binary_param_bytes(&params, name);
    binary_param_bytes(&params, holder);
    PGresult *result = NULL;
    enum status status = run(relay, &params, &result);
    if (status != STATUS_OK) {
        return status;
    }
    struct binary_row row = {.result = result};
    struct lease read = {.held = PQntuples(result) == 1};
    if (read.held) {
        read.fence = binary_int8(&row, 0);
        read.checkpoint = (struct log_cursor){.epoch = binary_int4(&row, 1),
                                              .tx = (uint64_t)binary_int8(&row, 2),
                                              .position = binary_int8(&row, 3)};
    }
    PQclear(result);
    if (row.bad) {
        return STATUS_MALFORMED;
    }
    *lease = read;
    return STATUS_OK;
}

static enum status end_stale(struct relay_lease_postgres *relay, struct str name, int stale_s,
                             bool *ended)
{
    static const Oid types[] = {OID_TEXT, OID_INT4};
    struct statement statement;
    struct binary_params params;
    begin(relay, &params, &statement, "lease_end_stale", "select comanda.lease_end_stale($1, $2)",
          types);
    binary_param_bytes(&params, name);
    binary_param_int4(&params, stale_s);
    return run_for_bool(relay, &params, ended);
}

static enum status postgres_acquire(struct relay_lease *base, struct str name, struct str holder,
                                    int stale_s, struct lease *lease)
{
    struct lease read = {0};
    enum status status = try_acquire(self(base), name, holder, &read);
    bool ended = false;
    if (status == STATUS_OK && !read.held) {
        status = end_stale(self(base), name, stale_s, &ended);
    }
    if (status == STATUS_OK && ended) {
        status = try_acquire(self(base), name, holder, &read);
    }
    if (status == STATUS_OK) {
        *lease = read;
    }
    return status;
}

static enum status postgres_renew(struct relay_lease *base, struct str name, int64_t fence)
{
    static const Oid types[] = {OID_TEXT, OID_INT8};
    struct statement statement;
    struct binary_params params;
    begin(self(base), &params, &statement, "lease_renew", "select comanda.lease_renew($1, $2)",
          types);
    binary_param_bytes(&params, name);
    binary_param_int8(&params, fence);
    return run_fenced(self(base), &params);
}

static enum status postgres_checkpoint(struct relay_lease *base, struct str name, int64_t fence,
                                       struct log_cursor at)
{
    static const Oid types[] = {OID_TEXT, OID_INT8, OID_INT4, OID_XID8, OID_INT8};
    struct statement statement;
    struct binary_params params;
    begin(self(base), &params, &statement, "lease_checkpoint",
          "select comanda.lease_checkpoint($1, $2, $3, $4, $5)", types);
    binary_param_bytes(&params, name);
    binary_param_int8(&params, fence);
    binary_param_int4(&params, at.epoch);
    binary_param_int8(&params, (int64_t)at.tx);
    binary_param_int8(&params, at.position);
    return run_fenced(self(base), &params);
}

static enum status postgres_release(struct relay_lease *base, struct str name, int64_t fence)
{
    static const Oid types[] = {OID_TEXT, OID_INT8};
    struct statement statement;
    struct binary_params params;
    begin(self(base), &params, &statement, "lease_release", "select comanda.lease_release($1, $2)",
          types);
    binary_param_bytes(&params, name);
    binary_param_int8(&params, fence);
    return run_fenced(self(base), &params);
}

static double read_double(int64_t bits)
{
    union {
        int64_t bits;
        double value;
    } as = {.bits = bits};
    return as.value;
}

static enum status postgres_backlog(struct relay_lease *base, struct str name, int64_t count_max,
                                    struct relay_backlog *backlog)
{
    static const Oid types[] = {OID_TEXT, OID_INT8};
    struct statement statement;
    struct binary_params params;
    begin(self(base), &params, &statement, "backlog",
          "select comanda.backlog($1, $2), coalesce(h.age_s, -1) from comanda.horizon() h", types);
    binary_param_bytes(&params, name);
    binary_param_int8(&params, count_max);
    PGresult *result = NULL;
    enum status status = run(self(base), &params, &result);
    if (status != STATUS_OK) {
        return status;
    }
    struct binary_row row = {.result = result};
    struct relay_backlog read = {.events = binary_int8(&row, 0),
                                 .horizon_age_s = read_double(binary_int8(&row, 1))};
    PQclear(result);
    if (row.bad) {
        return STATUS_MALFORMED;
    }
    *backlog = read;
    return STATUS_OK;
}

static enum status postgres_upkeep(struct relay_lease *base)
{
    struct statement statement;
    struct binary_params params;
    begin(self(base), &params, &statement, "upkeep", "select comanda.keep_partitions()", NULL);
    PGresult *result = NULL;
    enum status status = run(self(base), &params, &result);
    if (status == STATUS_OK) {
        PQclear(result);
    }
    return status;
}

static enum status postgres_trim(struct relay_lease *base, int row_limit, int *most)
{
    static const Oid types[] = {OID_INT4};
    struct statement statement;
    struct binary_params params;
    begin(self(base), &params, &statement, "trim", "select comanda.trim($1)", types);
    binary_param_int4(&params, row_limit);
    PGresult *result = NULL;
    enum status status = run(self(base), &params, &result);
    if (status != STATUS_OK) {
        return status;
    }
    struct binary_row row = {.result = result};
    *most = binary_int4(&row, 0);
    PQclear(result);
    return row.bad ? STATUS_MALFORMED : STATUS_OK;
}

static const struct relay_lease_ops postgres_ops = {
    .acquire = postgres_acquire,
    .renew = postgres_renew,
    .checkpoint = postgres_checkpoint,
    .release = postgres_release,
    .backlog = postgres_backlog,
    .upkeep = postgres_upkeep,
    .trim = postgres_trim,
};

struct relay_lease *relay_lease_postgres_new(struct postgres *postgres)
{
    struct relay_lease_postgres *relay = calloc(1, sizeof(*relay));
    if (relay == NULL) {
        return NULL;
    }
    relay->base.ops = &postgres_ops;
    relay->postgres = postgres;
    arena_init(&relay->scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    return &relay->base;
}

void relay_lease_postgres_free(struct relay_lease *relay)
{
    if (relay != NULL) {
        arena_free(&self(relay)->scratch);
        free(self(relay));
    }
}
