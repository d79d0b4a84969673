// SPDX-License-Identifier: Apache-2.0
// Folds a stream's rows, straight from the log, into the document that clients get. Pure.
#include "application/query/document_fold.h"

#include "application/query/stream_snapshots.h"

enum { PLAIN_BYTES_MAX = 128 };

void document_fold_init(struct document_fold *fold, const struct projection *projection,
                        struct str tenant, struct uuid stream, struct fold_memory *memory)
{
    *fold = (struct document_fold){
        .projection = projection, .tenant = tenant, .stream = stream, .memory = memory};
    if (projection != NULL) {
        fold_memory_add(memory, &fold->slot, &projection->document);
    }
}

static bool is_ours(const struct document_fold *fold, struct str tenant, struct str category)
{
    return str_eq(category, fold->projection->category) && str_eq(tenant, fold->tenant);
}

enum status document_fold_restore(struct document_fold *fold,
                                  const struct stream_snapshot *snapshot)
{
    if (!is_ours(fold, snapshot->tenant, snapshot->category)) {
        return STATUS_NOT_FOUND;
    }
    void *state = NULL;
    struct str bytes = arena_str(fold->memory->arena, snapshot->bytes);
    enum status status =
        bytes.data == NULL ? STATUS_NO_MEMORY
                           : fold->projection->document.decode(bytes, fold->memory->arena, &state);
    if (status == STATUS_OK) {
        fold->slot.state = state;
        fold->version = fold->snapshot_at = snapshot->version;
        fold->at = snapshot->at;
    }
    return status;
}

bool document_fold_snapshot(struct document_fold *fold, int32_t least, struct snapshot *snapshot)
{
    if (fold->projection == NULL || fold->version - fold->snapshot_at < least) {
        return false;
    }
    *snapshot = (struct snapshot){.stream = fold->stream,
                                  .kind = SNAPSHOT_DOCUMENT,
                                  .version = fold->version,
                                  .event = fold->last};
    fold->snapshot_at = fold->version;
    return snapshot_write(&fold->projection->document, fold->slot.state, fold->memory->arena,
                          snapshot);
}

static enum status begin(struct document_fold *fold)
{
    if (fold->slot.state == NULL) {
        fold->slot.state = fold->projection->document.initial(fold->memory->arena);
    }
    return fold->slot.state == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

enum status document_fold_event(struct document_fold *fold, const struct event_view *event,
                                struct log_cursor at)
{
    if (event->version != fold->version + 1) {
        return STATUS_MALFORMED;
    }
    enum status status = begin(fold);
    if (status == STATUS_OK) {
        status = fold->projection->document.evolve(fold->slot.state, event, fold->memory->arena);
    }
    if (status == STATUS_OK) {
        fold->version = event->version;
        fold->at = at;
        fold->last = event->id;
    }
    return status == STATUS_OK ? fold_memory_settle(fold->memory) : status;
}

// The row's memory ends before the fold's: a state may keep views into the data.
static enum status fold_row(struct document_fold *fold, const struct recorded_event *row)
{
    struct event_view event = {
        .stream = row->stream,
        .version = row->version,
        .id = row->id,
        .type = arena_str(fold->memory->arena, row->type),
        .schema_version = row->schema_version,
        .data = arena_str(fold->memory->arena, row->data),
        .recorded_at = row->recorded_at,
    };
    if (event.type.data == NULL || event.data.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    return document_fold_event(fold, &event, row->at);
}

static enum status pass_over(struct document_fold *fold, const struct recorded_event *row)
{
    if (row->version != fold->version + 1) {
        return STATUS_MALFORMED;
    }
    fold->version = row->version;
    fold->at = row->at;
    fold->last = row->id;
    return begin(fold);
}

enum status document_fold_rows(struct document_fold *fold, const struct recorded_event *rows,
                               size_t count, int32_t until_version)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_ours(fold, rows[i].tenant, rows[i].category)) {
            return STATUS_NOT_FOUND;
        }
        if (rows[i].version <= fold->version ||
            (until_version > 0 && rows[i].version > until_version)) {
            continue;
        }
        enum status status =
            rows[i].kind == RECORD_EVENT ? fold_row(fold, &rows[i]) : pass_over(fold, &rows[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

struct stream_query document_fold_query(const struct document_fold *fold, int32_t until_version)
{
    return (struct stream_query){.stream = fold->stream,
                                 .until_version = until_version,
                                 .document_codec = fold->projection->document.version};
}

enum status document_fold_page(struct document_fold *fold, struct stream_query *query,
                               const struct stream_rows *rows, bool *more)
{
    bool asked = query->document_codec > 0;
    enum status status = STATUS_OK;
    query->document_codec = 0; // only the first page begins at a snapshot
    *more = true;
    if (asked && rows->document.version > 0) {
        status = document_fold_restore(fold, &rows->document);
    }
    if (status == STATUS_MALFORMED) {
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = document_fold_rows(fold, rows->rows, rows->count, query->until_version);
    }
    query->after_version = fold->version;
    *more = status == STATUS_OK && rows->more;
    return status;
}

static enum status encode(const struct document_fold *fold, struct document *document)
{
    struct buffer out;
    buffer_init(&out, fold->memory->arena, DOCUMENT_BYTES_MAX);
    enum status status = fold->projection->document.encode(fold->slot.state, &out);
    if (status == STATUS_OK) {
        status = out.status;
    }
    document->body = buffer_view(&out);
    return status;
}

// A context without a read model: what can be said of any stream.
static enum status finish_plain(const struct document_fold *fold, struct document *document)
{
    struct buffer out;
    char id[UUID_TEXT_LEN];
    uuid_format(fold->stream, id);
    buffer_init(&out, fold->memory->arena, PLAIN_BYTES_MAX);
    buffer_printf(&out, "{\"id\":\"%.*s\",\"version\":%d}", UUID_TEXT_LEN, id, fold->version);
    *document = (struct document){.tenant = fold->tenant,
                                  .stream = fold->stream,
                                  .version = fold->version,
                                  .at = fold->at,
                                  .body = buffer_view(&out)};
    return out.status;
}

enum status document_fold_finish(const struct document_fold *fold, struct document *document)
{
    if (fold->projection == NULL) {
        return finish_plain(fold, document);
    }
    *document = (struct document){
        .tenant = fold->tenant, .collection = fold->projection->collection, .stream = fold->stream};
    if (fold->version == 0) {
        return STATUS_OK;
    }
    struct document_index index = {0};
    enum status status = fold->projection->index(fold->slot.state, fold->memory->arena, &index);
    if (status != STATUS_OK) {
        return status;
    }
    document->key = index.key;
    document->owner = index.owner;
    document->filter = index.filter;
    document->sort = index.sort;
    document->listed = index.listed;
    document->at = fold->at;
    status = encode(fold, document);
    if (status == STATUS_OK) {
        document->version = fold->version;
    }
    return status;
}
