// SPDX-License-Identifier: Apache-2.0
// Folds a stream's rows, straight from the log, into the document that clients get. Pure.
#include "application/query/document_fold.h"

void document_fold_init(struct document_fold *fold, const struct projection *projection,
                        struct str tenant, struct uuid stream, struct arena *arena)
{
    *fold = (struct document_fold){
        .projection = projection, .tenant = tenant, .stream = stream, .arena = arena};
}

static enum status begin(struct document_fold *fold)
{
    if (fold->state == NULL) {
        fold->state = fold->projection->document.initial(fold->arena);
    }
    return fold->state == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

enum status document_fold_event(struct document_fold *fold, const struct event_view *event,
                                struct log_cursor at)
{
    if (event->version != fold->version + 1) {
        return STATUS_MALFORMED;
    }
    enum status status = begin(fold);
    if (status == STATUS_OK) {
        status = fold->projection->document.evolve(fold->state, event, fold->arena);
    }
    if (status == STATUS_OK) {
        fold->version = event->version;
        fold->at = at;
    }
    return status;
}

// The row's memory ends before the fold's: a state may keep views into the data.
static enum status fold_row(struct document_fold *fold, const struct recorded_event *row)
{
    struct event_view event = {
        .stream = row->stream,
        .version = row->version,
        .id = row->id,
        .type = arena_str(fold->arena, row->type),
        .schema_version = row->schema_version,
        .data = arena_str(fold->arena, row->data),
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
    return begin(fold);
}

enum status document_fold_rows(struct document_fold *fold, const struct recorded_event *rows,
                               size_t count, int32_t until_version)
{
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(rows[i].category, fold->projection->category) ||
            !str_eq(rows[i].tenant, fold->tenant)) {
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

static enum status encode(const struct document_fold *fold, struct document *document)
{
    struct buffer out;
    buffer_init(&out, fold->arena, DOCUMENT_BYTES_MAX);
    enum status status = fold->projection->document.encode(fold->state, &out);
    if (status == STATUS_OK) {
        status = out.status;
    }
    document->body = buffer_view(&out);
    return status;
}

enum status document_fold_finish(const struct document_fold *fold, struct document *document)
{
    *document = (struct document){
        .tenant = fold->tenant, .collection = fold->projection->collection, .stream = fold->stream};
    if (fold->version == 0) {
        return STATUS_OK;
    }
    struct document_index index = {0};
    enum status status = fold->projection->index(fold->state, fold->arena, &index);
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

enum status document_fold_answer(const struct document_fold *fold, struct document *document)
{
    if (fold->projection != NULL) {
        return document_fold_finish(fold, document);
    }
    struct buffer out;
    char id[UUID_TEXT_LEN];
    uuid_format(fold->stream, id);
    buffer_init(&out, fold->arena, 128);
    buffer_printf(&out, "{\"id\":\"%.*s\",\"version\":%d}", UUID_TEXT_LEN, id, fold->version);
    *document = (struct document){.tenant = fold->tenant,
                                  .stream = fold->stream,
                                  .version = fold->version,
                                  .at = fold->at,
                                  .body = buffer_view(&out)};
    return out.status;
}
