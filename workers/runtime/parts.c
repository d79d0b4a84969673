// SPDX-License-Identifier: Apache-2.0
// What a consumer's composition root puts together from the settings: the log, the bus, the
// register of suspects, and the look whether they are there.
#include "runtime/parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "infrastructure/postgres/backlog_register_postgres.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/event_store_postgres.h"
#include "infrastructure/postgres/lane_members_postgres.h"
#include "infrastructure/postgres/migrate.h"
#include "infrastructure/postgres/rights.h"
#include "infrastructure/postgres/server_clock.h"
#include "infrastructure/postgres/suspect_register_postgres.h"
#include "infrastructure/rabbitmq/ladder_proof.h"
#include "infrastructure/rabbitmq/topology.h"
#include "infrastructure/telemetry/log.h"

enum { PROOF_EVERY_MS = 15000, RIGHTS_DETAIL_MAX = 512, RIGHTS_BYTES_MAX = 32 * 1024 };

static void open_postgres(struct parts *parts, const struct settings *settings)
{
    const struct postgres_options options = {.conninfo =
                                                 settings_text(settings, "COMANDA_POSTGRES"),
                                             .application_name = settings_program(settings)};
    parts->postgres = postgres_new(&options);
    parts->store = parts->postgres == NULL ? NULL : event_store_postgres_new(parts->postgres);
    parts->members = parts->postgres == NULL ? NULL : lane_members_postgres_new(parts->postgres);
    parts->suspects =
        parts->postgres == NULL ? NULL : suspect_register_postgres_new(parts->postgres);
    parts->backlog =
        parts->postgres == NULL ? NULL : backlog_register_postgres_new(parts->postgres);
}

void parts_need_postgres(struct runtime *runtime)
{
    readiness_need(runtime, "postgres");
    readiness_need(runtime, "schema");
    readiness_need(runtime, "rights");
}

void parts_make_or_exit(struct parts *parts, struct runtime *runtime, const char *queue)
{
    const struct settings *settings = runtime_settings_of(runtime);
    *parts = (struct parts){.runtime = runtime, .queue = queue};
    arena_init(&parts->arena, 4096, 64 * 1024);
    open_postgres(parts, settings);
    parts->amqp = amqp_settings_read(settings, &parts->arena);
    parts->amqp.prefetch = (int)settings_int(settings, "COMANDA_PREFETCH");
    parts->bus = message_bus_rabbitmq_new(&parts->amqp, str_from(queue));
    if (parts->store == NULL || parts->suspects == NULL || parts->backlog == NULL ||
        parts->members == NULL || parts->bus == NULL) {
        log_line(LOG_ERROR, "no memory for the connections");
        exit(EXIT_FAILURE);
    }
    parts_need_postgres(runtime);
}

void parts_free(struct parts *parts)
{
    message_bus_rabbitmq_free(parts->bus);
    backlog_register_postgres_free(parts->backlog);
    suspect_register_postgres_free(parts->suspects);
    lane_members_postgres_free(parts->members);
    event_store_postgres_free(parts->store);
    postgres_free(parts->postgres);
    arena_free(&parts->arena);
}

static bool note_schema(struct runtime *runtime, struct schema_range range)
{
    char detail[SCHEMA_WORDS_MAX];
    bool fits = migrate_fit(range) == SCHEMA_FITS;
    migrate_describe(range, detail, sizeof(detail));
    readiness_set(runtime, "schema", fits, detail);
    return fits;
}

// What is refused would show only with the first message that needs it, and hold its batch up.
static bool note_rights(struct runtime *runtime, struct postgres *postgres, const char *more)
{
    struct arena arena;
    struct str lacking;
    char detail[RIGHTS_DETAIL_MAX];
    arena_init(&arena, 4096, RIGHTS_BYTES_MAX);
    enum status status = rights_lacking(postgres, settings_program(runtime_settings_of(runtime)),
                                        more, &arena, &lacking);
    bool may = status == STATUS_OK && lacking.len == 0;
    if (status != STATUS_OK) {
        (void)snprintf(detail, sizeof(detail), "%s: %s", status_text(status),
                       postgres_error(postgres));
    } else if (may) {
        (void)snprintf(detail, sizeof(detail), "it may do what it has to");
    } else {
        (void)snprintf(detail, sizeof(detail),
                       "%.*s: grant it, or come as the role that the migrations made",
                       STR_FMT(lacking));
    }
    readiness_set(runtime, "rights", may, detail);
    arena_free(&arena);
    return may;
}

bool parts_check_postgres(struct runtime *runtime, struct postgres *postgres, const char *more)
{
    struct schema_range range;
    enum status status = migrate_read_range(postgres, &range);
    if (status != STATUS_OK) {
        const char *words = postgres_error(postgres);
        readiness_set(runtime, "postgres", false, words[0] != '\0' ? words : status_text(status));
        return false;
    }
    instant_us now;
    if (postgres_server_clock(postgres, &now) == STATUS_OK) {
        runtime_follow_clock(now);
    }
    readiness_set(runtime, "postgres", true, "connected");
    return note_schema(runtime, range) && note_rights(runtime, postgres, more);
}

// Not known (no broker, no exchange yet, an alarm) is no refusal: it is asked again.
static bool may_climb(struct runtime *runtime, struct parts *parts)
{
    char cause[RABBITMQ_CAUSE_MAX];
    if (parts->ladder_proven || parts->queue[0] == '\0' ||
        runtime_monotonic_ms() < parts->proof_at_ms) {
        return true;
    }
    enum status status = ladder_prove(&parts->amqp, str_from(parts->queue), cause);
    if (status == STATUS_REFUSED) {
        readiness_set(runtime, parts->queue, false, cause);
        return false;
    }
    if (status == STATUS_OK) {
        parts->ladder_proven = true;
        readiness_set(runtime, parts->queue, true, "its failure ladder may be written");
    }
    parts->proof_at_ms = runtime_monotonic_ms() + PROOF_EVERY_MS;
    return true;
}

bool parts_ready(struct runtime *runtime, void *context)
{
    struct parts *parts = context;
    return parts_check_postgres(runtime, parts->postgres, parts->rights) &&
           may_climb(runtime, parts);
}

bool parts_pause(void *context, int ms)
{
    const struct parts *parts = context;
    bool going = runtime_sleep(parts->runtime, ms);
    if (parts->queue[0] != '\0') {
        enum status breath = message_bus_tick(message_bus_rabbitmq_port(parts->bus));
        (void)breath; // receive will tell
    }
    return going;
}

static bool lanes_there(void *context, const struct str *queues, size_t count)
{
    const struct parts *parts = context;
    return queues_are_there(&parts->amqp, queues, count);
}

static bool has_lanes(struct str queue)
{
    const struct context_registry *registry = context_registry();
    for (size_t at = 0; at < registry->count; at++) {
        const struct bounded_context *context = registry->contexts[at];
        if (context_is_contended(context) && context->role.len > 0 &&
            str_eq(topology_role_of(queue), context->role)) {
            return true;
        }
    }
    return false;
}

static const char *bus_cause(void *bus)
{
    return message_bus_rabbitmq_health(bus).cause;
}

struct consumer parts_consumer(struct parts *parts, const char *queue)
{
    return (struct consumer){.queue = queue,
                             .bus = message_bus_rabbitmq_port(parts->bus),
                             .store = parts->store,
                             .suspects = parts->suspects,
                             .members = has_lanes(str_from(queue)) ? parts->members : NULL,
                             .lanes_there = lanes_there,
                             .backlog = parts->backlog,
                             .ready = parts_ready,
                             .dependencies = parts,
                             .bus_cause = bus_cause,
                             .bus_context = parts->bus};
}
