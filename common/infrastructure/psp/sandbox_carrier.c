// SPDX-License-Identifier: Apache-2.0
// A carrier to try things with: it keeps its own books in the schema `sandbox` and refuses a marked
// postal code (migrations/0008_sandbox.sql). Its connection is its own.
#include "infrastructure/psp/sandbox_carrier.h"

#include <stdlib.h>

#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/connection.h"

struct sandbox_carrier {
    struct carrier port;
    struct postgres *postgres;
};

enum { TEXT_COLUMNS = 4 };

static struct str text_of(const struct carrier_call *call, int column)
{
    const struct str columns[TEXT_COLUMNS] = {call->operation == CARRIER_SCHEDULE ? STR("schedule")
                                                                                  : STR("cancel"),
                                              call->shipment, call->key, call->postal_code};
    return columns[column].data == NULL ? STR("") : columns[column];
}

static enum status make_statement(const struct carrier_call *calls, size_t count,
                                  struct arena *arena, struct statement *statement)
{
    static const Oid types[] = {OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_TEXT_ARRAY};
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "sandbox_shipments",
                        "select call, outcome, code, detail"
                        " from sandbox.perform_shipments($1, $2, $3, $4)",
                        types);
    for (int column = 0; column < TEXT_COLUMNS; column++) {
        struct binary_array array;
        binary_array_begin(&array, arena, OID_TEXT, count, count * 40);
        for (size_t at = 0; at < count; at++) {
            binary_array_bytes(&array, text_of(&calls[at], column));
        }
        binary_param_array(&params, &array);
    }
    return params.status;
}

static enum carrier_outcome outcome_of(struct str name)
{
    return str_eq(name, STR("done"))      ? CARRIER_DONE
           : str_eq(name, STR("refused")) ? CARRIER_REFUSED
                                          : CARRIER_NO_ANSWER;
}

// What cannot be read counts as no answer: it is asked again.
static void read_answer(struct binary_row *row, size_t count, struct arena *arena,
                        struct carrier_result *results)
{
    int32_t call = binary_int4(row, 0);
    struct carrier_result result = {.outcome = outcome_of(binary_bytes(row, 1)),
                                    .code = arena_str(arena, binary_bytes(row, 2)),
                                    .detail = arena_str(arena, binary_bytes(row, 3))};
    bool whole = result.code.data != NULL && result.detail.data != NULL;
    if (!row->bad && whole && call >= 1 && (size_t)call <= count) {
        results[call - 1] = result;
    }
}

static enum status perform(struct carrier *carrier, const struct carrier_call *calls, size_t count,
                           int timeout_ms, struct arena *arena, struct carrier_result *results)
{
    struct postgres *postgres = ((struct sandbox_carrier *)carrier)->postgres;
    struct statement statement;
    PGresult *answers = NULL;
    enum status status = make_statement(calls, count, arena, &statement);
    if (status != STATUS_OK) {
        return status;
    }
    postgres_set_reply_timeout(postgres, timeout_ms);
    status = postgres_run(postgres, &statement, POSTGRES_WRITES, &answers);
    if (status == STATUS_UNAVAILABLE) {
        return status;
    }
    for (size_t at = 0; at < count; at++) {
        results[at] = (struct carrier_result){.outcome = CARRIER_NO_ANSWER};
    }
    if (status == STATUS_OK) {
        for (int at = 0; at < PQntuples(answers); at++) {
            struct binary_row row = {.result = answers, .row = at};
            read_answer(&row, count, arena, results);
        }
        PQclear(answers);
    }
    return STATUS_OK;
}

static const struct carrier_ops ops = {.perform = perform};

struct carrier *sandbox_carrier_new(const char *conninfo)
{
    struct sandbox_carrier *made = calloc(1, sizeof(*made));
    const struct postgres_options options = {.conninfo = conninfo,
                                             .application_name = "comanda-sandbox-carrier"};
    if (made == NULL) {
        return NULL;
    }
    made->port.ops = &ops;
    made->postgres = postgres_new(&options);
    if (made->postgres == NULL) {
        free(made);
        return NULL;
    }
    return &made->port;
}

void sandbox_carrier_free(struct carrier *carrier)
{
    struct sandbox_carrier *made = (struct sandbox_carrier *)carrier;
    if (made != NULL) {
        postgres_free(made->postgres);
        free(made);
    }
}
