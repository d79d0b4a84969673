// SPDX-License-Identifier: Apache-2.0
// Which due timers are to wait on, since their step's command has not been taken up yet, and which
// steps have waited for as long as any may. Blocking.
#include "infrastructure/postgres/saga_patience.h"

#include <string.h>

#include "application/saga/saga_handler.h"
#include "domain/bounded_context.h"
#include "infrastructure/postgres/binary.h"

enum { CALLS_A_DEFINITION_MAX = 2 * SAGA_STEPS_MAX + 1, UUID_BYTES = 16 };

// --- what the definitions say

static struct str queue_of(struct str command, struct arena *arena)
{
    const struct context_registry *registry = context_registry();
    for (size_t i = 0; i < registry->count; i++) {
        const struct bounded_context *context = registry->contexts[i];
        size_t len = context->name.len;
        if (context->role.len > 0 && command.len > len && command.data[len] == '.' &&
            memcmp(command.data, context->name.data, len) == 0) {
            return arena_printf(arena, "comanda.%.*s", STR_FMT(context->role));
        }
    }
    return STR("");
}

static enum status add_call(struct saga_patience *patience,
                            const struct saga_definition *definition, const struct saga_call *call,
                            enum saga_direction direction, struct arena *arena)
{
    struct saga_patience_call *added = &patience->calls[patience->call_count];
    if (call->name.len == 0) {
        return STATUS_OK;
    }
    *added = (struct saga_patience_call){
        .key = arena_printf(arena, "%.*s/%d/%.*s/%.*s", STR_FMT(definition->name),
                            (int)definition->version, STR_FMT(call->name),
                            STR_FMT(saga_direction_name(direction))),
        .queue = queue_of(call->command, arena),
        .timeout_s = call->timeout_s,
        .endless = call->ask_without_limit,
    };
    patience->call_count++;
    return added->key.data == NULL || added->queue.data == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status add_definition(struct saga_patience *patience,
                                  const struct saga_definition *definition, struct arena *arena)
{
    enum status status =
        add_call(patience, definition, &definition->otherwise, SAGA_COMPENSATE, arena);
    for (size_t i = 0; i < definition->step_count && status == STATUS_OK; i++) {
        const struct saga_step *step = &definition->steps[i];
        status = add_call(patience, definition, &step->forward, SAGA_FORWARD, arena);
        if (status == STATUS_OK) {
            status = add_call(patience, definition, &step->compensation, SAGA_COMPENSATE, arena);
        }
    }
    return status;
}

enum status saga_patience_make(struct saga_patience *patience,
                               const struct saga_definitions *definitions, struct str saga_queue,
                               int32_t patience_s, struct arena *arena)
{
    *patience = (struct saga_patience){.saga_queue = saga_queue, .patience_s = patience_s};
    patience->calls = arena_array(arena, definitions->count * CALLS_A_DEFINITION_MAX + 1,
                                  sizeof(*patience->calls));
    enum status status = patience->calls == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    for (size_t i = 0; i < definitions->count && status == STATUS_OK; i++) {
        status = add_definition(patience, &definitions->items[i], arena);
    }
    return status;
}

// --- what is asked

static void add_timers(struct binary_params *params, const struct timer *timers, size_t count,
                       struct arena *arena)
{
    struct binary_array ids;
    struct binary_array sagas;
    binary_array_begin(&ids, arena, OID_UUID, count, count * UUID_BYTES);
    binary_array_begin(&sagas, arena, OID_UUID, count, count * UUID_BYTES);
    for (size_t at = 0; at < count; at++) {
        binary_array_uuid(&ids, timers[at].id);
        binary_array_uuid(&sagas, timers[at].saga);
    }
    binary_param_array(params, &ids);
    binary_param_array(params, &sagas);
}

static void add_commands(struct binary_params *params, const struct timer *timers, size_t count,
                         struct arena *arena)
{
    struct uuid(*commands)[SAGA_TIMER_COMMANDS_MAX] = arena_array(arena, count, sizeof(*commands));
    size_t *counts = arena_array(arena, count, sizeof(*counts));
    struct binary_array of_timers;
    struct binary_array ids;
    struct binary_array replies;
    size_t total = 0;
    if (commands == NULL || counts == NULL) {
        params->status = STATUS_NO_MEMORY;
        return;
    }
    for (size_t at = 0; at < count; at++) {
        counts[at] = saga_timer_commands(&timers[at], arena, commands[at]);
        total += counts[at];
    }
    binary_array_begin(&of_timers, arena, OID_INT4, total, total * sizeof(int32_t));
    binary_array_begin(&ids, arena, OID_UUID, total, total * UUID_BYTES);
    binary_array_begin(&replies, arena, OID_UUID, total, total * UUID_BYTES);
    for (size_t at = 0; at < count; at++) {
        for (size_t each = 0; each < counts[at]; each++) {
            binary_array_int4(&of_timers, (int32_t)at + 1);
            binary_array_uuid(&ids, commands[at][each]);
            binary_array_uuid(&replies, uuid_derive(commands[at][each], STR("reply")));
        }
    }
    binary_param_array(params, &of_timers);
    binary_param_array(params, &ids);
    binary_param_array(params, &replies);
}

static void add_calls(struct binary_params *params, const struct saga_patience *patience,
                      struct arena *arena)
{
    size_t count = patience->call_count;
    struct binary_array keys;
    struct binary_array queues;
    struct binary_array timeouts;
    struct binary_array endless;
    binary_array_begin(&keys, arena, OID_TEXT, count, count * 32);
    binary_array_begin(&queues, arena, OID_TEXT, count, count * 32);
    binary_array_begin(&timeouts, arena, OID_INT4, count, count * sizeof(int32_t));
    binary_array_begin(&endless, arena, OID_BOOL, count, count);
    for (size_t at = 0; at < count; at++) {
        binary_array_bytes(&keys, patience->calls[at].key);
        binary_array_bytes(&queues, patience->calls[at].queue);
        binary_array_int4(&timeouts, patience->calls[at].timeout_s);
        binary_array_bool(&endless, patience->calls[at].endless);
    }
    binary_param_array(params, &keys);
    binary_param_array(params, &queues);
    binary_param_array(params, &timeouts);
    binary_param_array(params, &endless);
}

static enum status read_fates(const PGresult *result, const struct timer *timers, size_t count,
                              enum timer_fate *fates)
{
    bool bad = false;
    for (size_t at = 0; at < count; at++) {
        fates[at] = TIMER_FIRES;
    }
    for (int i = 0; i < PQntuples(result); i++) {
        struct binary_row row = {.result = result, .row = i};
        struct uuid id = binary_uuid(&row, 0);
        bool spent = str_eq(binary_bytes(&row, 1), STR("spent"));
        for (size_t at = 0; at < count; at++) {
            if (uuid_eq(timers[at].id, id)) {
                fates[at] = spent ? TIMER_SPENT : TIMER_WAITS;
            }
        }
        bad = bad || row.bad;
    }
    return bad ? STATUS_MALFORMED : STATUS_OK;
}

enum status saga_patience_ask(const struct saga_patience *patience, struct postgres *postgres,
                              const struct timer *timers, size_t count, struct arena *arena,
                              enum timer_fate *fates)
{
    static const Oid types[] = {OID_UUID_ARRAY, OID_UUID_ARRAY, OID_INT4_ARRAY, OID_UUID_ARRAY,
                                OID_UUID_ARRAY, OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_INT4_ARRAY,
                                OID_BOOL_ARRAY, OID_TEXT,       OID_INT4};
    struct statement statement;
    struct binary_params params;
    PGresult *result = NULL;
    binary_params_begin(
        &params, &statement, arena, "timers_put_off",
        "select id, fate from pg_catalog.set_config('synchronous_commit', 'off',"
        " true), comanda.timers_put_off($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        types);
    add_timers(&params, timers, count, arena);
    add_commands(&params, timers, count, arena);
    add_calls(&params, patience, arena);
    binary_param_bytes(&params, patience->saga_queue);
    binary_param_int4(&params, patience->patience_s);
    if (params.status != STATUS_OK) {
        return params.status;
    }
    // Lost, in a crash or on the way, they are due again when their claim has run out.
    enum status status = postgres_run(postgres, &statement, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        status = read_fates(result, timers, count, fates);
        PQclear(result);
    }
    return status;
}
