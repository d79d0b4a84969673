// SPDX-License-Identifier: Apache-2.0
// One document, looked for in the log: among the streams that its key may mean.
#include "application/query/document_search.h"

#include "application/query/stream_snapshots.h"

static void open(struct document_search *search, const struct projection *projection,
                 const struct document_id *id, struct arena *arena)
{
    *search = (struct document_search){.projection = projection, .id = *id};
    fold_memory_open(&search->memory, arena);
}

static void add(struct document_search *search, struct uuid stream)
{
    size_t i = search->count++;
    document_fold_init(&search->folds[i], search->projection, search->id.tenant, stream,
                       &search->memory);
    search->queries[i] = document_fold_query(&search->folds[i], 0);
}

// A document's key is its stream's own id, or a natural name that the id is made from.
void document_search_begin(struct document_search *search, const struct projection *projection,
                           const struct document_id *id, struct arena *arena)
{
    struct uuid stream;
    open(search, projection, id, arena);
    if (uuid_parse(id->key, false, &stream)) {
        add(search, stream);
    }
    add(search, uuid_named(id->tenant, projection->category, id->key));
}

void document_search_begin_in(struct document_search *search, const struct projection *projection,
                              const struct document_id *id, struct uuid stream, struct arena *arena)
{
    open(search, projection, id, arena);
    add(search, stream);
}

static bool is_limit(enum status status)
{
    return status == STATUS_NO_MEMORY || status == STATUS_FULL;
}

static enum status take_page(struct document_search *search, size_t i,
                             const struct stream_rows *rows)
{
    struct document_fold *fold = &search->folds[i];
    bool more = false;
    enum status status = document_fold_page(fold, &search->queries[i], rows, &more);
    if (is_limit(status)) {
        return status;
    }
    if (status != STATUS_OK) {
        fold->version = 0;
        fold->slot.state = NULL;
        return STATUS_OK;
    }
    search->between_pages |= more;
    search->snapshot_count += document_fold_snapshot(fold, snapshot_least(!more),
                                                     &search->snapshots[search->snapshot_count]);
    return STATUS_OK;
}

enum status document_search_take(struct document_search *search, const struct stream_rows *pages)
{
    enum status status = STATUS_OK;
    search->between_pages = false;
    search->snapshot_count = 0;
    for (size_t i = 0; i < search->count && status == STATUS_OK; i++) {
        status = take_page(search, i, &pages[i]);
    }
    return status;
}

void document_search_give_up(struct document_search *search)
{
    search->snapshot_count = 0;
    for (size_t i = 0; i < search->count; i++) {
        search->snapshot_count += document_fold_snapshot(
            &search->folds[i], SNAPSHOT_ENDING, &search->snapshots[search->snapshot_count]);
    }
}

enum status document_search_finish(struct document_search *search, struct document *document)
{
    fold_memory_close(&search->memory);
    for (size_t i = 0; i < search->count; i++) {
        enum status status = document_fold_finish(&search->folds[i], document);
        if (is_limit(status)) {
            return status;
        }
        if (status == STATUS_OK && document->version > 0 && str_eq(document->key, search->id.key)) {
            return STATUS_OK;
        }
    }
    *document = (struct document){.version = 0};
    return STATUS_OK;
}

int32_t document_search_version(const struct document_search *search)
{
    int32_t most = 0;
    for (size_t i = 0; i < search->count; i++) {
        most = search->folds[i].version > most ? search->folds[i].version : most;
    }
    return most;
}
