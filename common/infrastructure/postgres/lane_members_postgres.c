// SPDX-License-Identifier: Apache-2.0
// Who serves a role's lanes, as told in PostgreSQL.
#include "infrastructure/postgres/lane_members_postgres.h"

#include <stdlib.h>

#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/connection.h"

enum { SCRATCH_BLOCK = 4 * 1024, SCRATCH_MAX = 64 * 1024 };

struct lane_members_postgres {
    struct lane_members port;
    struct postgres *postgres;
};

static enum status run(struct lane_members *members, const struct binary_params *params,
                       const struct statement *statement, PGresult **result)
{
    struct postgres *postgres = ((struct lane_members_postgres *)members)->postgres;
    return params->status == STATUS_OK ? postgres_run(postgres, statement, POSTGRES_WRITES, result)
                                       : params->status;
}

static enum status read_all(const PGresult *result, struct uuid *all, size_t *count)
{
    size_t rows = (size_t)PQntuples(result);
    *count = rows < LANE_MEMBERS_MAX ? rows : LANE_MEMBERS_MAX;
    for (size_t at = 0; at < *count; at++) {
        struct binary_row row = {.result = result, .row = (int)at};
        all[at] = binary_uuid(&row, 0);
        if (row.bad) {
            return STATUS_MALFORMED;
        }
    }
    return STATUS_OK;
}

static enum status look(struct lane_members *members, struct str role, struct uuid own,
                        int stale_ms, struct uuid *all, size_t *count)
{
    static const Oid types[] = {OID_TEXT, OID_UUID, OID_INT4};
    PGresult *result = NULL;
    struct arena scratch;
    struct statement statement;
    struct binary_params params;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    binary_params_begin(&params, &statement, &scratch, "lane_look",
                        "select * from comanda.lane_look($1, $2, $3)", types);
    binary_param_bytes(&params, role);
    binary_param_uuid(&params, own);
    binary_param_int4(&params, stale_ms);
    enum status status = run(members, &params, &statement, &result);
    arena_free(&scratch);
    if (status == STATUS_OK) {
        status = read_all(result, all, count);
        PQclear(result);
    }
    return status;
}

static enum status leave(struct lane_members *members, struct str role, struct uuid own)
{
    static const Oid types[] = {OID_TEXT, OID_UUID};
    PGresult *result = NULL;
    struct arena scratch;
    struct statement statement;
    struct binary_params params;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    binary_params_begin(&params, &statement, &scratch, "lane_leave",
                        "select comanda.lane_leave($1, $2)", types);
    binary_param_bytes(&params, role);
    binary_param_uuid(&params, own);
    enum status status = run(members, &params, &statement, &result);
    arena_free(&scratch);
    if (status == STATUS_OK) {
        PQclear(result);
    }
    return status;
}

struct lane_members *lane_members_postgres_new(struct postgres *postgres)
{
    static const struct lane_members_ops ops = {.look = look, .leave = leave};
    struct lane_members_postgres *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return NULL;
    }
    made->port.ops = &ops;
    made->postgres = postgres;
    return &made->port;
}

void lane_members_postgres_free(struct lane_members *members)
{
    free(members);
}
