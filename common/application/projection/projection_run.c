// SPDX-License-Identifier: Apache-2.0
// Drives projections through blocking ports: a batch of messages, or the rebuild of a collection.
#include "application/projection/projection_run.h"

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

// Where the parts of a batch leave what became of them.
struct outcome {
    struct message_result *results; // of the part
    struct document *cacheable;     // of the whole batch
    size_t cacheable_count;
};

static enum status project(const struct projection_run *run, const struct incoming *messages,
                           size_t count, struct arena *arena, struct outcome *outcome)
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
    size_t documents = 0;
    const struct document *made = projection_batch_cacheable(batch, &documents);
    for (size_t at = 0; at < count; at++) {
        outcome->results[at] = projection_batch_results(batch)[at];
    }
    for (size_t at = 0; at < documents; at++) {
        outcome->cacheable[outcome->cacheable_count++] = made[at];
    }
    return STATUS_OK;
}

static enum status park(const struct projection_run *run, enum status status, struct arena *arena,
                        struct message_result *result)
{
    if (status == STATUS_MALFORMED) {
        *result = (struct message_result){.outcome = MESSAGE_TRANSIENT,
                                          .cause = str_from(status_text(status))};
        return STATUS_OK;
    }
    struct str cause = arena_printf(arena, "the read schema refuses the document: %s",
                                    document_store_refusal(run->documents));
    *result = (struct message_result){.outcome = MESSAGE_POISON, .cause = cause};
    return cause.data == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

// What the stores cannot take or read is halved out of its batch and parked alone.
static enum status project_or_halve(const struct projection_run *run,
                                    const struct incoming *messages, size_t count,
                                    struct arena *arena, struct outcome *outcome)
{
    enum status status = project(run, messages, count, arena, outcome);
    if (status != STATUS_INVALID && status != STATUS_MALFORMED) {
        return status;
    }
    if (count == 1) {
        return park(run, status, arena, outcome->results);
    }
    size_t half = count / 2;
    status = project_or_halve(run, messages, half, arena, outcome);
    if (status != STATUS_OK) {
        return status;
    }
    outcome->results += half;
    status = project_or_halve(run, messages + half, count - half, arena, outcome);
    outcome->results -= half;
    return status;
}

enum status projection_run_batch(const struct projection_run *run, const struct incoming *messages,
                                 size_t count, struct arena *arena,
                                 const struct message_result **results,
                                 const struct document **cacheable, size_t *cacheable_count)
{
    struct outcome outcome = {.results = arena_array(arena, count, sizeof(*outcome.results)),
                              .cacheable = arena_array(arena, count, sizeof(*outcome.cacheable))};
    if (outcome.results == NULL || outcome.cacheable == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = project_or_halve(run, messages, count, arena, &outcome);
    if (status == STATUS_OK) {
        *results = outcome.results;
        *cacheable = outcome.cacheable;
        *cacheable_count = outcome.cacheable_count;
    }
    return status;
}
