// SPDX-License-Identifier: Apache-2.0
// Documents in the read schema: the truth of the read side, made from the log and droppable.
#include "infrastructure/postgres/document_store_postgres.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/statement.h"

enum { SCRATCH_BLOCK = 64 * 1024, SCRATCH_MAX = 256 * 1024 * 1024 };

struct postgres_documents {
    struct document_store base;
    struct postgres *postgres;
    const char *refusal; // in what words a document was refused last
};

static struct postgres_documents *self(struct document_store *store)
{
    return (struct postgres_documents *)store;
}

static struct postgres *connection_of(struct document_store *store)
{
    return self(store)->postgres;
}

// SQLSTATE classes that speak of the values, not of the server: data exception, integrity
// constraint, program limit (such as a key too long for its index).
static enum status judge(struct document_store *store, enum status status)
{
    const char *state = postgres_sqlstate(connection_of(store));
    if (status != STATUS_REFUSED || (strncmp(state, "22", 2) != 0 && strncmp(state, "23", 2) != 0 &&
                                     strncmp(state, "54", 2) != 0)) {
        return status;
    }
    self(store)->refusal = postgres_error(connection_of(store));
    return STATUS_INVALID;
}

static enum status run_write(struct document_store *store, const struct statement *statement)
{
    PGresult *result = NULL;
    enum status status = postgres_run(connection_of(store), statement, POSTGRES_WRITES, &result);
    if (status == STATUS_OK) {
        PQclear(result);
    }
    return judge(store, status);
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
        self(store)->refusal = "a document has no version, or is larger than 256 KiB";
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
        return judge(store, status);
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

static const char *refusal(const struct document_store *store)
{
    return ((const struct postgres_documents *)store)->refusal;
}

static const struct document_store_ops postgres_ops = {
    .put = put, .get = get, .find = find, .drop = drop, .refusal = refusal};

struct document_store *document_store_postgres_new(struct postgres *postgres)
{
    struct postgres_documents *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return NULL;
    }
    store->base.ops = &postgres_ops;
    store->postgres = postgres;
    store->refusal = status_text(STATUS_INVALID);
    return &store->base;
}

void document_store_postgres_free(struct document_store *store)
{
    free(store);
}
