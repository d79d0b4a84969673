// SPDX-License-Identifier: Apache-2.0
// The register of suspect messages in PostgreSQL, each mark committed at once.
#include "infrastructure/postgres/suspect_register_postgres.h"

#include <stdlib.h>

#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/connection.h"

enum { SCRATCH_BLOCK = 1024, SCRATCH_MAX = 16 * 1024 };

struct suspect_register_postgres {
    struct suspect_register port;
    struct postgres *postgres;
};

static enum status call(struct suspect_register *suspects, const char *name, const char *sql,
                        struct str consumer, struct uuid message, PGresult **result)
{
    static const Oid types[] = {OID_TEXT, OID_UUID};
    struct postgres *postgres = ((struct suspect_register_postgres *)suspects)->postgres;
    struct arena scratch;
    struct statement statement;
    struct binary_params params;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    binary_params_begin(&params, &statement, &scratch, name, sql, types);
    binary_param_bytes(&params, consumer);
    binary_param_uuid(&params, message);
    enum status status = params.status;
    if (status == STATUS_OK) {
        status = postgres_run(postgres, &statement, POSTGRES_WRITES, result);
    }
    arena_free(&scratch);
    return status;
}

static enum status mark(struct suspect_register *suspects, struct str consumer, struct uuid message,
                        int *attempts)
{
    PGresult *result = NULL;
    enum status status = call(suspects, "suspect_mark", "select comanda.suspect_mark($1, $2)",
                              consumer, message, &result);
    if (status != STATUS_OK) {
        return status;
    }
    struct binary_row row = {.result = result};
    int32_t so_far = binary_int4(&row, 0);
    PQclear(result);
    if (row.bad) {
        return STATUS_MALFORMED;
    }
    *attempts = so_far;
    return STATUS_OK;
}

static enum status clear(struct suspect_register *suspects, struct str consumer,
                         struct uuid message)
{
    PGresult *result = NULL;
    enum status status = call(suspects, "suspect_clear", "select comanda.suspect_clear($1, $2)",
                              consumer, message, &result);
    if (status == STATUS_OK) {
        PQclear(result);
    }
    return status;
}

static const struct suspect_register_ops ops = {.mark = mark, .clear = clear};

struct suspect_register *suspect_register_postgres_new(struct postgres *postgres)
{
    struct suspect_register_postgres *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return NULL;
    }
    made->port.ops = &ops;
    made->postgres = postgres;
    return &made->port;
}

void suspect_register_postgres_free(struct suspect_register *suspects)
{
    free(suspects);
}
