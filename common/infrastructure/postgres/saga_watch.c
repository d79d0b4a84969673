// SPDX-License-Identifier: Apache-2.0
// What operators and metrics ask about sagas: the missing, the parked, the list. Blocking.
#include "infrastructure/postgres/saga_watch.h"

#include "infrastructure/postgres/binary.h"

enum { TRIGGER_BYTES = 256 }; // with its length

// What starts a definition, as two arrays side by side.
static void add_triggers(struct binary_params *params, const struct saga_definition *definition,
                         struct arena *arena)
{
    struct binary_array categories;
    struct binary_array types;
    size_t count = definition->starts_on_count;
    binary_array_begin(&categories, arena, OID_TEXT, count, TRIGGER_BYTES * count);
    binary_array_begin(&types, arena, OID_TEXT, count, TRIGGER_BYTES * count);
    for (size_t i = 0; i < count; i++) {
        binary_array_bytes(&categories, definition->starts_on[i].category);
        binary_array_bytes(&types, definition->starts_on[i].type);
    }
    binary_param_array(params, &categories);
    binary_param_array(params, &types);
}

static enum status read_gap(const PGresult *result, struct saga_gap *gap)
{
    struct binary_row row = {.result = result};
    struct saga_gap read = {.count = 0};
    if (PQntuples(result) != 1) {
        return STATUS_MALFORMED;
    }
    read.count = binary_int8(&row, 0);
    read.behind_s = binary_int4(&row, 3);
    if (read.count > 0) {
        read.oldest = binary_instant(&row, 1);
        read.example = binary_uuid(&row, 2);
    }
    read.looked_at = binary_is_null(&row, 4) ? 0 : binary_instant(&row, 4);
    read.age_s = binary_is_null(&row, 5) ? -1 : binary_int4(&row, 5);
    read.due_ms = binary_int4(&row, 6);
    if (row.bad) {
        return STATUS_MALFORMED;
    }
    *gap = read;
    return STATUS_OK;
}

static enum status ask_gap(struct postgres *postgres, const struct binary_params *params,
                           struct saga_gap *gap)
{
    PGresult *result = NULL;
    if (params->status != STATUS_OK) {
        return params->status;
    }
    enum status status = postgres_run(postgres, params->statement, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        status = read_gap(result, gap);
        PQclear(result);
    }
    return status;
}

static void begin_gap(struct binary_params *params, const struct saga_definition *definition,
                      struct arena *arena)
{
    binary_param_bytes(params, definition->name);
    binary_param_bytes(params, definition->role);
    add_triggers(params, definition, arena);
}

enum status saga_watch_look(struct postgres *postgres, const struct saga_definition *definition,
                            int32_t older_than_s, const struct saga_pace *pace, struct arena *arena,
                            struct saga_gap *gap)
{
    static const Oid types[] = {OID_TEXT, OID_TEXT, OID_TEXT_ARRAY, OID_TEXT_ARRAY,
                                OID_INT4, OID_INT4, OID_INT4,       OID_INT4};
    struct statement statement;
    struct binary_params params;
    binary_params_begin(&params, &statement, arena, "sagas_look",
                        "select missing, oldest, example, behind_s, looked_at, age_s, due_ms from "
                        "comanda.sagas_look("
                        "$1, $2, $3, $4, make_interval(secs => $5), $6 * interval '1 ms', $7, $8)",
                        types);
    begin_gap(&params, definition, arena);
    binary_param_int4(&params, older_than_s);
    binary_param_int4(&params, pace->pause_ms);
    binary_param_int4(&params, pace->rows_max);
    binary_param_int4(&params, SAGA_MISSING_MAX);
    return ask_gap(postgres, &params, gap);
}

enum status saga_watch_peek(struct postgres *postgres, const struct saga_definition *definition,
                            int32_t older_than_s, int32_t rows_max, struct arena *arena,
                            struct saga_gap *gap)
{
    static const Oid types[] = {OID_TEXT,       OID_TEXT, OID_TEXT_ARRAY,
                                OID_TEXT_ARRAY, OID_INT4, OID_INT4};
    struct statement statement;
    struct binary_params params;
    binary_params_begin(&params, &statement, arena, "sagas_peek",
                        "select missing, oldest, example, behind_s, looked_at, 0, 0 from"
                        " comanda.sagas_peek($1, $2, $3, $4, make_interval(secs => $5), $6)",
                        types);
    begin_gap(&params, definition, arena);
    binary_param_int4(&params, older_than_s);
    binary_param_int4(&params, rows_max);
    return ask_gap(postgres, &params, gap);
}

enum status saga_watch_parked(struct postgres *postgres, int32_t asks, const struct saga_pace *pace,
                              struct arena *arena, struct saga_parked *parked)
{
    static const Oid types[] = {OID_INT4, OID_INT4, OID_INT4};
    struct statement statement;
    struct binary_params params;
    PGresult *result;
    binary_params_begin(&params, &statement, arena, "sagas_parked",
                        "select parked, age_s, due_ms from comanda.sagas_parked_look("
                        "$1, $2 * interval '1 ms', $3)",
                        types);
    binary_param_int4(&params, asks);
    binary_param_int4(&params, pace->pause_ms);
    binary_param_int4(&params, pace->rows_max);
    if (params.status != STATUS_OK) {
        return params.status;
    }
    enum status status = postgres_run(postgres, &statement, POSTGRES_READS, &result);
    if (status != STATUS_OK) {
        return status;
    }
    struct binary_row row = {.result = result, .bad = PQntuples(result) != 1};
    if (!row.bad) {
        struct saga_parked read = {.count = binary_int8(&row, 0),
                                   .age_s = binary_is_null(&row, 1) ? -1 : binary_int4(&row, 1),
                                   .due_ms = binary_int4(&row, 2)};
        *parked = row.bad ? *parked : read;
    }
    PQclear(result);
    return row.bad ? STATUS_MALFORMED : STATUS_OK;
}

enum status saga_watch_peek_parked(struct postgres *postgres, int32_t asks, int32_t rows_max,
                                   struct arena *arena, int64_t *count)
{
    static const Oid types[] = {OID_INT4, OID_INT4};
    struct statement statement;
    struct binary_params params;
    PGresult *result;
    binary_params_begin(&params, &statement, arena, "sagas_parked_peek",
                        "select comanda.sagas_parked_peek($1, $2)", types);
    binary_param_int4(&params, asks);
    binary_param_int4(&params, rows_max);
    enum status status = params.status;
    if (status == STATUS_OK) {
        status = postgres_run(postgres, &statement, POSTGRES_READS, &result);
    }
    if (status == STATUS_OK) {
        struct binary_row row = {.result = result};
        int64_t read = binary_int8(&row, 0);
        PQclear(result);
        *count = row.bad ? *count : read;
        status = row.bad ? STATUS_MALFORMED : STATUS_OK;
    }
    return status;
}

static enum status read_in_use(const PGresult *result, struct arena *arena,
                               struct saga_in_use **used, size_t *count)
{
    size_t rows = (size_t)PQntuples(result);
    struct saga_in_use *read = arena_array(arena, rows, sizeof *read);
    bool bad = false;
    bool full = read == NULL && rows > 0;
    for (size_t i = 0; i < rows && !full; i++) {
        struct binary_row row = {result, (int)i, false};
        read[i] = (struct saga_in_use){.name = arena_str(arena, binary_bytes(&row, 0)),
                                       .version = binary_int4(&row, 1),
                                       .count = binary_int8(&row, 2),
                                       .example = binary_uuid(&row, 3)};
        bad = bad || row.bad;
        full = read[i].name.data == NULL;
    }
    if (bad || full) {
        return bad ? STATUS_MALFORMED : STATUS_NO_MEMORY;
    }
    *used = read;
    *count = rows;
    return STATUS_OK;
}

enum status saga_watch_in_use(struct postgres *postgres, struct arena *arena,
                              struct saga_in_use **used, size_t *count)
{
    PGresult *result;
    struct statement statement;
    struct binary_params params;
    binary_params_begin(&params, &statement, arena, "sagas_running",
                        "select saga, saga_version, running, example from comanda.sagas_running()"
                        " order by saga, saga_version",
                        NULL);
    if (params.status != STATUS_OK) {
        return params.status;
    }
    enum status status = postgres_run(postgres, &statement, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        status = read_in_use(result, arena, used, count);
        PQclear(result);
    }
    return status;
}

static enum status read_listed(const PGresult *result, int at, struct arena *arena,
                               struct saga_listed *listed)
{
    struct binary_row row = {result, at, false};
    *listed = (struct saga_listed){
        .saga = binary_uuid(&row, 0),
        .tenant = arena_str(arena, binary_bytes(&row, 1)),
        .name = arena_str(arena, binary_bytes(&row, 2)),
        .definition = binary_int4(&row, 3),
        .subject = binary_uuid(&row, 4),
        .started_at = binary_instant(&row, 5),
        .version = binary_int4(&row, 6),
        .changed_at = binary_instant(&row, 7),
        .type = arena_str(arena, binary_bytes(&row, 8)),
        .data = arena_str(arena, binary_bytes(&row, 9)),
    };
    if (row.bad) {
        return STATUS_MALFORMED;
    }
    return listed->data.data != NULL && listed->type.data != NULL && listed->name.data != NULL &&
                   listed->tenant.data != NULL
               ? STATUS_OK
               : STATUS_NO_MEMORY;
}

static enum status read_list(const PGresult *result, struct arena *arena,
                             struct saga_listed **listed, size_t *count)
{
    size_t rows = (size_t)PQntuples(result);
    struct saga_listed *read = arena_array(arena, rows, sizeof *read);
    enum status status = read == NULL && rows > 0 ? STATUS_NO_MEMORY : STATUS_OK;
    for (size_t i = 0; i < rows && status == STATUS_OK; i++) {
        status = read_listed(result, (int)i, arena, &read[i]);
    }
    if (status == STATUS_OK) {
        *listed = read;
        *count = rows;
    }
    return status;
}

enum status saga_watch_list(struct postgres *postgres, instant_us since, const struct uuid *before,
                            size_t limit, struct arena *arena, struct saga_listed **listed,
                            size_t *count)
{
    static const Oid types[] = {OID_TIMESTAMPTZ, OID_UUID, OID_INT4};
    struct statement statement;
    struct binary_params params;
    PGresult *result;
    binary_params_begin(&params, &statement, arena, "saga_instances",
                        "select stream_id, tenant, saga, saga_version, subject, started_at, "
                        "version, changed_at, type, data from comanda.saga_instances($1, $2, $3)",
                        types);
    binary_param_instant(&params, since);
    if (before == NULL) {
        binary_param_null(&params);
    } else {
        binary_param_uuid(&params, *before);
    }
    binary_param_int4(&params, (int32_t)limit);
    if (params.status != STATUS_OK) {
        return params.status;
    }
    enum status status = postgres_run(postgres, &statement, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        status = read_list(result, arena, listed, count);
        PQclear(result);
    }
    return status;
}
