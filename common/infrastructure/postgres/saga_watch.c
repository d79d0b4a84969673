// SPDX-License-Identifier: Apache-2.0
// What operators and metrics ask about sagas: the missing, the parked, the list. Blocking.
#include "infrastructure/postgres/saga_watch.h"

#include "infrastructure/postgres/binary.h"

// Every start event of a definition in one category; a definition of several asks once for each.
static void add_types(struct binary_params *params, const struct saga_definition *definition,
                      struct str category, struct arena *arena)
{
    struct binary_array types;
    size_t count = 0;
    for (size_t i = 0; i < definition->starts_on_count; i++) {
        count += str_eq(definition->starts_on[i].category, category);
    }
    binary_array_begin(&types, arena, OID_TEXT, count, 32 * count);
    for (size_t i = 0; i < definition->starts_on_count; i++) {
        if (str_eq(definition->starts_on[i].category, category)) {
            binary_array_bytes(&types, definition->starts_on[i].type);
        }
    }
    binary_param_array(params, &types);
}

static bool asked_before(const struct saga_definition *definition, size_t trigger)
{
    for (size_t i = 0; i < trigger; i++) {
        if (str_eq(definition->starts_on[i].category, definition->starts_on[trigger].category)) {
            return true;
        }
    }
    return false;
}

static void add_gap(const PGresult *result, struct saga_gap *gap, bool *bad)
{
    struct binary_row row = {result, 0, false};
    int64_t count = binary_int8(&row, 0);
    if (count > 0) {
        instant_us oldest = binary_instant(&row, 1);
        if (gap->oldest == 0 || oldest < gap->oldest) {
            gap->oldest = oldest;
            gap->example = binary_uuid(&row, 2);
        }
        gap->count += count;
    }
    *bad = row.bad;
}

static enum status ask_missing(struct postgres *postgres, const struct saga_definition *definition,
                               struct str category, int32_t older_than_s, int32_t window_s,
                               struct arena *arena, struct saga_gap *gap)
{
    static const Oid types[] = {OID_TEXT, OID_TEXT_ARRAY, OID_TEXT, OID_INT4, OID_INT4};
    struct statement statement;
    struct binary_params params;
    PGresult *result;
    bool bad = false;
    binary_params_begin(&params, &statement, arena, "sagas_missing",
                        "select missing, oldest, example from comanda.sagas_missing("
                        "$1, $2, $3, make_interval(secs => $4), make_interval(secs => $5))",
                        types);
    binary_param_bytes(&params, category);
    add_types(&params, definition, category, arena);
    binary_param_bytes(&params, definition->role);
    binary_param_int4(&params, older_than_s);
    binary_param_int4(&params, window_s);
    if (params.status != STATUS_OK) {
        return params.status;
    }
    enum status status = postgres_run(postgres, &statement, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        add_gap(result, gap, &bad);
        PQclear(result);
    }
    return bad ? STATUS_MALFORMED : status;
}

enum status saga_watch_missing(struct postgres *postgres, const struct saga_definition *definition,
                               int32_t older_than_s, int32_t window_s, struct arena *arena,
                               struct saga_gap *gap)
{
    struct saga_gap found = {.count = 0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < definition->starts_on_count && status == STATUS_OK; i++) {
        if (!asked_before(definition, i)) {
            status = ask_missing(postgres, definition, definition->starts_on[i].category,
                                 older_than_s, window_s, arena, &found);
        }
    }
    if (status == STATUS_OK) {
        *gap = found;
    }
    return status;
}

enum status saga_watch_parked(struct postgres *postgres, int32_t asks, struct arena *arena,
                              int64_t *count)
{
    static const Oid types[] = {OID_INT4};
    struct statement statement;
    struct binary_params params;
    PGresult *result;
    binary_params_begin(&params, &statement, arena, "sagas_parked",
                        "select comanda.sagas_parked($1)", types);
    binary_param_int4(&params, asks);
    if (params.status != STATUS_OK) {
        return params.status;
    }
    enum status status = postgres_run(postgres, &statement, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        struct binary_row row = {result, 0, false};
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
