// SPDX-License-Identifier: Apache-2.0
// What the projector does with a batch: documents into the read schema, then into the cache.
#include "projector.h"

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

enum status projector_handle(void *context, const struct incoming *messages, size_t count,
                             struct arena *arena, const struct message_result **results)
{
    struct projector *projector = context;
    const struct message_result *made;
    const struct document *documents;
    size_t document_count;
    enum status status = projection_run_batch(&projector->run, messages, count, arena, &made,
                                              &documents, &document_count);
    if (status != STATUS_OK) {
        return status;
    }
    count_documents("read_schema", "stored", document_count);
    status = document_count == 0 ? STATUS_OK : fill_cache(projector, documents, document_count);
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
