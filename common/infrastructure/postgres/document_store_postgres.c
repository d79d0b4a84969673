// SPDX-License-Identifier: Apache-2.0
// Documents in the read schema: the truth of the read side, made from the log and droppable.
#include "infrastructure/postgres/document_store_postgres.h"

#include <stdlib.h>

#include "base/arena.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/statement.h"

enum { SCRATCH_BLOCK = 64 * 1024, SCRATCH_MAX = 256 * 1024 * 1024 };

struct postgres_documents {
    struct document_store base;
    struct postgres *postgres;
};

static struct postgres *connection_of(struct document_store *store)
{
    return ((struct postgres_documents *)store)->postgres;
}

static enum status run_write(struct document_store *store, const struct statement *statement)
{
    PGresult *result = NULL;
    enum status status = postgres_run(connection_of(store), statement, POSTGRES_WRITES, &result);
    if (status == STATUS_OK) {
        PQclear(result);
    }
    return status;
}

static bool are_valid(const struct document *documents, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        if (documents[at].version <= 0 || documents[at].body.len > DOCUMENT_BYTES_MAX) {
            return false;
        }
    }
    return true;
}

static enum status put(struct document_store *store, const struct document *documents, size_t count)
{
    if (!are_valid(documents, count)) {
        return STATUS_INVALID;
    }
    if (count == 0) {
        return STATUS_OK;
    }
    struct arena scratch;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    struct statement statement;
    enum status status = statement_put_documents(documents, count, &scratch, &statement);
    if (status == STATUS_OK) {
        status = run_write(store, &statement);
    }
    arena_free(&scratch);
    return status;
}

static enum status get(struct document_store *store, const struct document_id *ids, size_t count,
                       struct arena *arena, struct document *documents)
{
    struct statement statement;
    PGresult *result = NULL;
    enum status status = statement_get_documents(ids, count, arena, &statement);
    if (status == STATUS_OK) {
        status = postgres_run(connection_of(store), &statement, POSTGRES_READS, &result);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = statement_get_documents_read(result, ids, count, arena, documents);
    PQclear(result);
    return status;
}

static enum status find(struct document_store *store, const struct document_stream *streams,
                        size_t count, struct arena *arena, struct document *documents)
{
    struct statement statement;
    PGresult *result = NULL;
    enum status status = statement_find_documents(streams, count, arena, &statement);
    if (status == STATUS_OK) {
        status = postgres_run(connection_of(store), &statement, POSTGRES_READS, &result);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = statement_find_documents_read(result, count, arena, documents);
    PQclear(result);
    return status;
}

static enum status drop(struct document_store *store, struct str tenant, struct str collection)
{
    struct arena scratch;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    struct statement statement;
    enum status status = statement_drop_documents(tenant, collection, &scratch, &statement);
    if (status == STATUS_OK) {
        status = run_write(store, &statement);
    }
    arena_free(&scratch);
    return status;
}

static const struct document_store_ops postgres_ops = {
    .put = put, .get = get, .find = find, .drop = drop};

struct document_store *document_store_postgres_new(struct postgres *postgres)
{
    struct postgres_documents *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return NULL;
    }
    store->base.ops = &postgres_ops;
    store->postgres = postgres;
    return &store->base;
}

void document_store_postgres_free(struct document_store *store)
{
    free(store);
}
