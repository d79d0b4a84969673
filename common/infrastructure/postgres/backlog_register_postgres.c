// SPDX-License-Identifier: Apache-2.0
// Who serves a queue and how far, in PostgreSQL: a shared lock of the session says who, a row how
// far, as long as it is behind.
#include "infrastructure/postgres/backlog_register_postgres.h"

#include <stdlib.h>

#include "infrastructure/postgres/binary.h"

enum { SCRATCH_BLOCK = 1024, SCRATCH_MAX = 16 * 1024 };

struct backlog_register_postgres {
    struct backlog_register port;
    struct postgres *postgres;
    unsigned session; // the one that attends; 0: none
};

static enum status run(struct backlog_register_postgres *backlog,
                       const struct binary_params *params, const struct statement *statement)
{
    PGresult *result = NULL;
    enum status status = params->status == STATUS_OK
                             ? postgres_run(backlog->postgres, statement, POSTGRES_READS, &result)
                             : params->status;
    if (status == STATUS_OK) {
        PQclear(result);
    }
    return status;
}

static enum status attend(struct backlog_register *port, struct str queue)
{
    static const Oid types[] = {OID_TEXT};
    struct backlog_register_postgres *backlog = (struct backlog_register_postgres *)port;
    struct arena scratch;
    struct statement statement;
    struct binary_params params;
    if (postgres_is_connected(backlog->postgres) &&
        backlog->session == postgres_session(backlog->postgres)) {
        return STATUS_OK;
    }
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    binary_params_begin(&params, &statement, &scratch, "backlog_attend",
                        "select comanda.backlog_attend($1)", types);
    binary_param_bytes(&params, queue);
    enum status status = run(backlog, &params, &statement);
    arena_free(&scratch);
    if (status == STATUS_OK) {
        backlog->session = postgres_session(backlog->postgres);
    }
    return status;
}

// Lost with a crash, it is told again; nobody waits for a disk or a standby for its sake.
static enum status tell(struct backlog_register *port, struct str queue,
                        struct backlog_mark taken_up_to)
{
    static const Oid types[] = {OID_TEXT, OID_TIMESTAMPTZ, OID_INT4, OID_XID8, OID_INT8};
    struct arena scratch;
    struct statement statement;
    struct binary_params params;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    binary_params_begin(&params, &statement, &scratch, "backlog_tell",
                        "select comanda.backlog_tell($1, $2, $3, $4, $5)"
                        " from pg_catalog.set_config('synchronous_commit', 'off', true)",
                        types);
    binary_param_bytes(&params, queue);
    if (taken_up_to.recorded_at == 0) {
        binary_param_null(&params);
    } else {
        binary_param_instant(&params, taken_up_to.recorded_at);
    }
    binary_param_int4(&params, taken_up_to.at.epoch);
    binary_param_int8(&params, (int64_t)taken_up_to.at.tx);
    binary_param_int8(&params, taken_up_to.at.position);
    enum status status = run((struct backlog_register_postgres *)port, &params, &statement);
    arena_free(&scratch);
    return status;
}

struct backlog_register *backlog_register_postgres_new(struct postgres *postgres)
{
    static const struct backlog_register_ops ops = {.attend = attend, .tell = tell};
    struct backlog_register_postgres *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return NULL;
    }
    made->port.ops = &ops;
    made->postgres = postgres;
    return &made->port;
}

void backlog_register_postgres_free(struct backlog_register *backlog)
{
    free(backlog);
}
