// SPDX-License-Identifier: Apache-2.0
// Drives projections through blocking ports: a batch of messages, or the rebuild of a collection.
#include "application/projection/projection_run.h"

#include <string.h>

#include "application/projection/projection_batch.h"

static enum status find_documents(const struct projection_run *run, struct projection_batch *batch,
                                  struct arena *arena)
{
    size_t count;
    const struct document_stream *streams = projection_batch_streams(batch, &count);
    struct document *found = arena_array(arena, count, sizeof(*found));
    enum status status = found == NULL
                             ? STATUS_NO_MEMORY
                             : document_store_find(run->documents, streams, count, arena, found);
    if (status == STATUS_OK) {
        projection_batch_take_documents(batch, found);
    }
    return status;
}

static enum status read_rows(const struct projection_run *run, struct projection_batch *batch,
                             struct arena *arena)
{
    size_t count;
    const struct stream_query *queries = projection_batch_queries(batch, &count);
    struct stream_rows *rows = arena_array(arena, count, sizeof(*rows));
    enum status status =
        rows == NULL ? STATUS_NO_MEMORY
                     : event_store_read(run->log, queries, count, run->rows_max, arena, rows);
    if (status == STATUS_OK) {
        projection_batch_take_rows(batch, rows);
    }
    return status;
}

static enum status put_documents(const struct projection_run *run, struct projection_batch *batch)
{
    size_t count;
    const struct document *documents = projection_batch_documents(batch, &count);
    enum status status = document_store_put(run->documents, documents, count);
    if (status == STATUS_OK) {
        projection_batch_take_put(batch);
    }
    return status;
}

static enum status step(const struct projection_run *run, struct projection_batch *batch,
                        enum projection_want want, struct arena *arena)
{
    switch (want) {
    case PROJECTION_WANT_DOCUMENTS:
        return find_documents(run, batch, arena);
    case PROJECTION_WANT_ROWS:
        return read_rows(run, batch, arena);
    case PROJECTION_WANT_PUT:
        return put_documents(run, batch);
    case PROJECTION_WANT_NOTHING:
        break;
    }
    return STATUS_OK;
}

enum status projection_run_batch(const struct projection_run *run, const struct incoming *messages,
                                 size_t count, struct arena *arena,
                                 const struct message_result **results,
                                 const struct document **cacheable, size_t *cacheable_count)
{
    struct projection_batch *batch = projection_batch_new(messages, count, arena);
    if (batch == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum projection_want want;
    while ((want = projection_batch_next(batch)) != PROJECTION_WANT_NOTHING) {
        enum status status = step(run, batch, want, arena);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (projection_batch_status(batch) != STATUS_OK) {
        return projection_batch_status(batch);
    }
    *results = projection_batch_results(batch);
    *cacheable = projection_batch_cacheable(batch, cacheable_count);
    return STATUS_OK;
}
