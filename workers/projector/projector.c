// SPDX-License-Identifier: Apache-2.0
// What the projector does with a batch: documents into the read schema, then into the cache.
#include "projector.h"

#include <string.h>

#include "infrastructure/postgres/cache_debt.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/telemetry/metrics.h"
#include "runtime/parts.h"

static const struct metric_family documents_total = {METRIC_COUNTER,
                                                     "comanda_documents_total",
                                                     "Documents stored, by place and outcome",
                                                     0,
                                                     NULL,
                                                     0};

static void count_documents(const char *place, const char *outcome, size_t count)
{
    metric_add(metric_of(&documents_total, "place", place, "outcome", outcome, NULL),
               (int64_t)count);
}

// The cache first, the note only when that failed: a note says "there was a failure before me".
static enum status fill_cache(struct projector *projector, const struct document *documents,
                              size_t count)
{
    bool stored = document_store_put(projector->cache->store, documents, count) == STATUS_OK;
    cache_link_note(projector->cache, projector->runtime, stored);
    if (stored) {
        count_documents("cache", "stored", count);
        return STATUS_OK;
    }
    count_documents("cache", "missed", count);
    return cache_debt_note(projector->postgres, projector->name);
}

// SQLSTATE classes that speak of the values, not of the server: data exception, integrity
// constraint, program limit (such as a key too long for its index).
static bool is_fault_of_a_value(struct postgres *postgres)
{
    const char *state = postgres_sqlstate(postgres);
    return strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 ||
           strncmp(state, "54", 2) == 0;
}

static enum status project(struct projector *projector, const struct incoming *messages,
                           size_t count, struct arena *arena, struct message_result *results)
{
    const struct message_result *made;
    const struct document *documents;
    size_t document_count;
    enum status status = projection_run_batch(&projector->run, messages, count, arena, &made,
                                              &documents, &document_count);
    if (status != STATUS_OK) {
        return status;
    }
    memcpy(results, made, count * sizeof(*made));
    count_documents("read_schema", "stored", document_count);
    return document_count == 0 ? STATUS_OK : fill_cache(projector, documents, document_count);
}

static enum status park(struct projector *projector, struct arena *arena,
                        struct message_result *result)
{
    struct str cause = arena_printf(arena, "the read schema refuses the document: %s",
                                    postgres_error(projector->postgres));
    *result = (struct message_result){.outcome = MESSAGE_POISON, .cause = cause};
    return cause.data == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

// A document that the server refuses is halved out of its batch and parked alone.
static enum status project_or_halve(struct projector *projector, const struct incoming *messages,
                                    size_t count, struct arena *arena,
                                    struct message_result *results)
{
    enum status status = project(projector, messages, count, arena, results);
    if (status != STATUS_REFUSED || !is_fault_of_a_value(projector->postgres)) {
        return status;
    }
    if (count == 1) {
        return park(projector, arena, results);
    }
    size_t half = count / 2;
    status = project_or_halve(projector, messages, half, arena, results);
    return status != STATUS_OK
               ? status
               : project_or_halve(projector, messages + half, count - half, arena, results + half);
}

enum status projector_handle(void *context, const struct incoming *messages, size_t count,
                             struct arena *arena, const struct message_result **results)
{
    struct message_result *made = arena_array(arena, count, sizeof(*made));
    if (made == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = project_or_halve(context, messages, count, arena, made);
    if (status == STATUS_OK) {
        *results = made;
    }
    return status;
}

bool projector_ready(struct runtime *runtime, void *context)
{
    struct projector *projector = context;
    cache_link_look(projector->cache, runtime);
    return parts_ready(runtime, projector->parts);
}
