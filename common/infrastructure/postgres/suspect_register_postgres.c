// SPDX-License-Identifier: Apache-2.0
// The register of suspect messages in PostgreSQL, each mark committed at once.
#include "infrastructure/postgres/suspect_register_postgres.h"

#include <stdlib.h>

#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/connection.h"

enum { SCRATCH_BLOCK = 4 * 1024, SCRATCH_MAX = 256 * 1024, UUID_BYTES = 16 };

struct suspect_register_postgres {
    struct suspect_register port;
    struct postgres *postgres;
};

static enum status run(struct suspect_register *suspects, const struct binary_params *params,
                       const struct statement *statement, PGresult **result)
{
    struct postgres *postgres = ((struct suspect_register_postgres *)suspects)->postgres;
    return params->status == STATUS_OK ? postgres_run(postgres, statement, POSTGRES_WRITES, result)
                                       : params->status;
}

static enum status call_for_many(struct suspect_register *suspects, const char *name,
                                 const char *sql, struct str consumer, const struct uuid *messages,
                                 size_t count, PGresult **result)
{
    static const Oid types[] = {OID_TEXT, OID_UUID_ARRAY};
    struct arena scratch;
    struct statement statement;
    struct binary_params params;
    struct binary_array ids;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    binary_params_begin(&params, &statement, &scratch, name, sql, types);
    binary_param_bytes(&params, consumer);
    binary_array_begin(&ids, &scratch, OID_UUID, count, UUID_BYTES * count);
    for (size_t at = 0; at < count; at++) {
        binary_array_uuid(&ids, messages[at]);
    }
    binary_param_array(&params, &ids);
    enum status status = run(suspects, &params, &statement, result);
    arena_free(&scratch);
    return status;
}

static void note_known(const PGresult *result, const struct uuid *messages, size_t count,
                       bool *known, bool *bad)
{
    for (size_t at = 0; at < count; at++) {
        known[at] = false;
    }
    for (int row_at = 0; row_at < PQntuples(result); row_at++) {
        struct binary_row row = {.result = result, .row = row_at};
        struct uuid id = binary_uuid(&row, 0);
        for (size_t at = 0; at < count; at++) {
            known[at] = known[at] || uuid_eq(messages[at], id);
        }
        *bad = *bad || row.bad;
    }
}

static enum status mark_group(struct suspect_register *suspects, struct str consumer,
                              const struct uuid *messages, size_t count, bool *known)
{
    PGresult *result = NULL;
    bool bad = false;
    enum status status = call_for_many(suspects, "suspect_mark_group",
                                       "select * from comanda.suspect_mark_group($1, $2)", consumer,
                                       messages, count, &result);
    if (status == STATUS_OK) {
        note_known(result, messages, count, known, &bad);
        PQclear(result);
    }
    return bad ? STATUS_MALFORMED : status;
}

static enum status mark(struct suspect_register *suspects, struct str consumer, struct uuid message,
                        int *attempts)
{
    static const Oid types[] = {OID_TEXT, OID_UUID};
    PGresult *result = NULL;
    struct arena scratch;
    struct statement statement;
    struct binary_params params;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    binary_params_begin(&params, &statement, &scratch, "suspect_mark",
                        "select comanda.suspect_mark($1, $2)", types);
    binary_param_bytes(&params, consumer);
    binary_param_uuid(&params, message);
    enum status status = run(suspects, &params, &statement, &result);
    arena_free(&scratch);
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
                         const struct uuid *messages, size_t count)
{
    PGresult *result = NULL;
    enum status status =
        call_for_many(suspects, "suspect_clear", "select comanda.suspect_clear($1, $2)", consumer,
                      messages, count, &result);
    if (status == STATUS_OK) {
        PQclear(result);
    }
    return status;
}

struct suspect_register *suspect_register_postgres_new(struct postgres *postgres)
{
    static const struct suspect_register_ops ops = {
        .mark_group = mark_group, .mark = mark, .clear = clear};
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
