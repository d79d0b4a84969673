// SPDX-License-Identifier: Apache-2.0
// The streams that one command works on: which to read, their states, the document of the target,
// and the versions to compare at append. Pure; part of command_flow.
#include "application/command/command_streams.h"

#include <string.h>

static bool is_new(const struct command_streams *streams, const struct command_type *type,
                   size_t index)
{
    return type->creates && uuid_eq(streams->refs.items[index].id, streams->refs.items[0].id);
}

static enum status begin_own(struct loaded_stream *loaded, const struct aggregate *aggregate,
                             struct arena *arena)
{
    loaded->state_fold = &aggregate->state;
    loaded->state = aggregate->state.initial(arena);
    return loaded->state == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status begin_foreign(struct loaded_stream *loaded, struct arena *arena)
{
    loaded->state = arena_alloc(arena, sizeof(struct str));
    if (loaded->state == NULL) {
        return STATUS_NO_MEMORY;
    }
    return loaded->document.projection == NULL ? STATUS_INVALID : STATUS_OK;
}

static enum status begin_stream(struct command_streams *streams, size_t index,
                                const struct bounded_context *own)
{
    const struct stream_ref *ref = &streams->refs.items[index];
    struct loaded_stream *loaded = &streams->loaded[index];
    *loaded = (struct loaded_stream){0};
    document_fold_init(&loaded->document, context_projection_of(ref->category), streams->tenant,
                       ref->id, streams->arena);
    const struct aggregate *aggregate = context_aggregate(ref->category);
    if (context_of_category(ref->category) != own) {
        return begin_foreign(loaded, streams->arena);
    }
    return aggregate == NULL ? STATUS_INVALID : begin_own(loaded, aggregate, streams->arena);
}

static enum status make_room(struct command_streams *streams)
{
    size_t count = streams->refs.count;
    struct arena *arena = streams->arena;
    streams->loaded = arena_array(arena, count, sizeof(*streams->loaded));
    streams->states = arena_array(arena, count, sizeof(*streams->states));
    streams->queries = arena_array(arena, count, sizeof(*streams->queries));
    streams->query_of = arena_array(arena, count, sizeof(*streams->query_of));
    bool fits = streams->loaded != NULL && streams->states != NULL && streams->queries != NULL &&
                streams->query_of != NULL;
    return fits ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status command_streams_begin(struct command_streams *streams, const struct command_type *type,
                                  const struct command *command, bool read, struct arena *arena)
{
    streams->refs.count = 0;
    streams->tenant = command->tenant;
    streams->arena = arena;
    enum status status = type->streams(command, arena, &streams->refs);
    if (status != STATUS_OK) {
        return status;
    }
    if (streams->refs.count == 0 || streams->refs.count > COMMAND_STREAMS_MAX) {
        return STATUS_INVALID;
    }
    status = make_room(streams);
    if (status != STATUS_OK) {
        return status;
    }
    const struct bounded_context *own = context_of_category(type->category);
    for (size_t i = 0; i < streams->refs.count; i++) {
        status = begin_stream(streams, i, own);
        if (status != STATUS_OK) {
            return status;
        }
        streams->loaded[i].complete = !read || is_new(streams, type, i);
    }
    return STATUS_OK;
}

bool command_streams_complete(const struct command_streams *streams)
{
    for (size_t i = 0; i < streams->refs.count; i++) {
        if (!streams->loaded[i].complete) {
            return false;
        }
    }
    return true;
}

// A snapshot saves reading where only the state counts; a document wants every event.
static int16_t snapshot_wanted(const struct command_streams *streams, size_t index)
{
    const struct loaded_stream *loaded = &streams->loaded[index];
    bool folds_document =
        loaded->state_fold == NULL || (index == 0 && loaded->document.projection != NULL);
    return folds_document || loaded->version > 0 ? 0 : loaded->state_fold->version;
}

const struct stream_query *command_streams_queries(struct command_streams *streams, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < streams->refs.count; i++) {
        if (!streams->loaded[i].complete) {
            streams->query_of[*count] = i;
            streams->queries[(*count)++] =
                (struct stream_query){.stream = streams->refs.items[i].id,
                                      .after_version = streams->loaded[i].version,
                                      .snapshot_version = snapshot_wanted(streams, i)};
        }
    }
    return streams->queries;
}

static enum status restore(struct loaded_stream *loaded, const struct stream_rows *rows,
                           struct arena *arena)
{
    if (rows->snapshot_at <= loaded->version || loaded->state_fold == NULL) {
        return STATUS_OK;
    }
    struct str bytes = arena_str(arena, rows->snapshot);
    if (bytes.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = loaded->state_fold->decode(bytes, arena, &loaded->state);
    if (status == STATUS_OK) {
        loaded->version = rows->snapshot_at;
    }
    return status;
}

static enum status evolve(struct loaded_stream *loaded, const struct recorded_event *row,
                          struct arena *arena)
{
    if (row->version != loaded->version + 1) {
        return STATUS_MALFORMED; // a gap: somebody has cut the stream
    }
    loaded->version = row->version;
    if (row->kind != RECORD_EVENT || loaded->state_fold == NULL) {
        return STATUS_OK;
    }
    struct event_view event = {
        .stream = row->stream,
        .version = row->version,
        .id = row->id,
        .type = arena_str(arena, row->type),
        .schema_version = row->schema_version,
        .data = arena_str(arena, row->data),
        .recorded_at = row->recorded_at,
    };
    if (event.type.data == NULL || event.data.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    return loaded->state_fold->evolve(loaded->state, &event, arena);
}

static enum status finish_foreign(struct loaded_stream *loaded)
{
    struct document document;
    enum status status = document_fold_finish(&loaded->document, &document);
    if (status == STATUS_OK) {
        struct str *view = loaded->state;
        *view = document.version > 0 ? document.body : (struct str){NULL, 0};
    }
    return status;
}

static enum status take_stream(struct command_streams *streams, size_t index,
                               const struct stream_rows *rows)
{
    struct loaded_stream *loaded = &streams->loaded[index];
    enum status status = restore(loaded, rows, streams->arena);
    for (size_t i = 0; i < rows->count && status == STATUS_OK; i++) {
        if (!str_eq(rows->rows[i].category, streams->refs.items[index].category) ||
            !str_eq(rows->rows[i].tenant, streams->tenant)) {
            // An id of another kind of thing, or of another tenant's, names nothing here.
            loaded->complete = true;
            return loaded->state_fold == NULL ? finish_foreign(loaded) : STATUS_OK;
        }
        status = evolve(loaded, &rows->rows[i], streams->arena);
    }
    if (status == STATUS_OK && loaded->document.projection != NULL &&
        (index == 0 || loaded->state_fold == NULL)) {
        status = document_fold_rows(&loaded->document, rows->rows, rows->count, 0);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (loaded->document.projection == NULL) {
        loaded->document.version = loaded->version;
    }
    loaded->complete = !rows->more;
    return loaded->complete && loaded->state_fold == NULL ? finish_foreign(loaded) : STATUS_OK;
}

enum status command_streams_take(struct command_streams *streams, const struct stream_rows *rows)
{
    size_t count = 0;
    (void)command_streams_queries(streams, &count);
    for (size_t i = 0; i < count; i++) {
        enum status status = take_stream(streams, streams->query_of[i], &rows[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

struct decide_input command_streams_input(const struct command_streams *streams,
                                          const struct command *command)
{
    for (size_t i = 0; i < streams->refs.count; i++) {
        streams->states[i] = streams->loaded[i].state;
    }
    return (struct decide_input){
        .command = command, .states = streams->states, .state_count = streams->refs.count};
}

int32_t command_streams_target_version(const struct command_streams *streams)
{
    return streams->loaded[0].version;
}

const struct document_fold *command_streams_document(const struct command_streams *streams)
{
    return &streams->loaded[0].document;
}

enum status command_streams_item(const struct command_streams *streams, struct append_row *rows,
                                 size_t row_count, struct arena *arena, struct append_item *item,
                                 int32_t *version_after)
{
    struct append_stream *compared =
        arena_array(arena, streams->refs.count, sizeof(struct append_stream));
    if (compared == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t place[COMMAND_STREAMS_MAX] = {0};
    for (size_t i = 0; i < streams->refs.count; i++) {
        const struct stream_ref *ref = &streams->refs.items[i];
        if (ref->use == STREAM_APPEND) {
            place[i] = item->stream_count;
            compared[item->stream_count++] =
                (struct append_stream){ref->id, ref->category, streams->loaded[i].version};
        }
    }
    item->streams = compared;
    *version_after = streams->loaded[0].version;
    for (size_t i = 0; i < row_count; i++) {
        if (rows[i].stream >= streams->refs.count ||
            streams->refs.items[rows[i].stream].use != STREAM_APPEND) {
            return STATUS_INVALID;
        }
        *version_after += rows[i].stream == 0;
        rows[i].stream = place[rows[i].stream];
    }
    return STATUS_OK;
}

enum status command_streams_apply(struct command_streams *streams, const struct append_row *rows,
                                  size_t count, instant_us now, struct log_cursor at)
{
    struct document_fold *fold = &streams->loaded[0].document;
    int32_t version = streams->loaded[0].version;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].stream != 0) {
            continue; // the target is the first declared, and the first compared
        }
        version++;
        struct event_view event = {.stream = fold->stream,
                                   .version = version,
                                   .id = rows[i].id,
                                   .type = rows[i].type,
                                   .schema_version = rows[i].schema_version,
                                   .data = rows[i].data,
                                   .recorded_at = now};
        if (fold->projection == NULL) {
            fold->version = version;
            fold->at = at;
            continue;
        }
        enum status status = document_fold_event(fold, &event, at);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}
