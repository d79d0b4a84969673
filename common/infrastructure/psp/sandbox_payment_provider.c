// SPDX-License-Identifier: Apache-2.0
// A payment provider to try things with: it keeps its own books in the schema `sandbox` and answers
// by marked tokens (migrations/0008_sandbox.sql).
#include "infrastructure/psp/sandbox_payment_provider.h"

#include <stdlib.h>

#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/connection.h"

struct sandbox_payment_provider {
    struct payment_provider port;
    struct postgres *postgres;
};

static struct str operation_name(enum payment_operation operation)
{
    switch (operation) {
    case PAYMENT_AUTHORIZE:
        return STR("authorize");
    case PAYMENT_CAPTURE:
        return STR("capture");
    case PAYMENT_UNDO:
        return STR("undo");
    }
    return STR("");
}

enum { TEXT_COLUMNS = 5 };

static struct str text_of(const struct payment_call *call, int column)
{
    const struct str columns[TEXT_COLUMNS] = {operation_name(call->operation), call->payment,
                                              call->key, call->token, call->currency};
    return columns[column].data == NULL ? STR("") : columns[column];
}

static void add_texts(struct binary_params *params, const struct payment_call *calls, size_t count,
                      int column)
{
    struct binary_array array;
    binary_array_begin(&array, params->arena, OID_TEXT, count, count * 40);
    for (size_t at = 0; at < count; at++) {
        binary_array_bytes(&array, text_of(&calls[at], column));
    }
    binary_param_array(params, &array);
}

static void add_amounts(struct binary_params *params, const struct payment_call *calls,
                        size_t count)
{
    struct binary_array array;
    binary_array_begin(&array, params->arena, OID_INT8, count, count * 8);
    for (size_t at = 0; at < count; at++) {
        binary_array_int8(&array, calls[at].amount);
    }
    binary_param_array(params, &array);
}

static enum status make_statement(const struct payment_call *calls, size_t count,
                                  struct arena *arena, struct statement *statement)
{
    static const Oid types[] = {OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_TEXT_ARRAY,
                                OID_TEXT_ARRAY, OID_INT8_ARRAY, OID_TEXT_ARRAY};
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "sandbox_payments",
                        "select call, outcome, code, detail, captured"
                        " from sandbox.perform_payments($1, $2, $3, $4, $5, $6)",
                        types);
    for (int column = 0; column < TEXT_COLUMNS - 1; column++) {
        add_texts(&params, calls, count, column);
    }
    add_amounts(&params, calls, count);
    add_texts(&params, calls, count, TEXT_COLUMNS - 1);
    return params.status;
}

static enum payment_outcome outcome_of(struct str name)
{
    return str_eq(name, STR("done"))      ? PAYMENT_DONE
           : str_eq(name, STR("refused")) ? PAYMENT_REFUSED
                                          : PAYMENT_NO_ANSWER;
}

// What cannot be read counts as no answer: it is asked again.
static void read_answer(struct binary_row *row, size_t count, struct arena *arena,
                        struct payment_result *results)
{
    int32_t call = binary_int4(row, 0);
    struct payment_result result = {.outcome = outcome_of(binary_bytes(row, 1)),
                                    .code = arena_str(arena, binary_bytes(row, 2)),
                                    .detail = arena_str(arena, binary_bytes(row, 3)),
                                    .captured_before_undo = binary_bool(row, 4)};
    bool whole = result.code.data != NULL && result.detail.data != NULL;
    if (!row->bad && whole && call >= 1 && (size_t)call <= count) {
        results[call - 1] = result;
    }
}

static enum status perform(struct payment_provider *provider, const struct payment_call *calls,
                           size_t count, int timeout_ms, struct arena *arena,
                           struct payment_result *results)
{
    struct postgres *postgres = ((struct sandbox_payment_provider *)provider)->postgres;
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
        results[at] = (struct payment_result){.outcome = PAYMENT_NO_ANSWER};
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

static const struct payment_provider_ops ops = {.perform = perform};

struct payment_provider *sandbox_payment_provider_new(const char *conninfo)
{
    struct sandbox_payment_provider *made = calloc(1, sizeof(*made));
    const struct postgres_options options = {.conninfo = conninfo,
                                             .application_name = "comanda-sandbox-payments"};
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

void sandbox_payment_provider_free(struct payment_provider *provider)
{
    struct sandbox_payment_provider *made = (struct sandbox_payment_provider *)provider;
    if (made != NULL) {
        postgres_free(made->postgres);
        free(made);
    }
}
