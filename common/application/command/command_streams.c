// SPDX-License-Identifier: Apache-2.0
// The streams that one command works on: which to read, their states, the document of the target,
// and the versions to compare at append. Pure; part of command_flow.
#include "application/command/command_streams.h"

#include "application/query/stream_snapshots.h"

static bool is_new(const struct command_streams *streams, const struct command_type *type,
                   size_t index)
{
    return type->creates && uuid_eq(streams->refs.items[index].id, streams->refs.items[0].id);
}

static bool folds_document(const struct command_streams *streams, size_t index)
{
    const struct loaded_stream *loaded = &streams->loaded[index];
    return loaded->document.projection != NULL && (index == 0 || loaded->own.fold == NULL);
}

static enum status begin_own(struct command_streams *streams, struct loaded_stream *loaded,
                             const struct aggregate *aggregate)
{
    if (aggregate == NULL) {
        return STATUS_INVALID;
    }
    fold_memory_add(&streams->memory, &loaded->own, &aggregate->state);
    loaded->own.state = aggregate->state.initial(streams->arena);
    return loaded->own.state == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status begin_stream(struct command_streams *streams, size_t index,
                                const struct bounded_context *own)
{
    const struct stream_ref *ref = &streams->refs.items[index];
    struct loaded_stream *loaded = &streams->loaded[index];
    const struct projection *projection = context_projection_of(ref->category);
    *loaded = (struct loaded_stream){.complete = false};
    document_fold_init(&loaded->document, projection, streams->tenant, ref->id, &streams->memory);
    if (context_of_category(ref->category) != own) {
        return projection == NULL ? STATUS_INVALID : STATUS_OK;
    }
    return begin_own(streams, loaded, context_aggregate(ref->category));
}

static enum status make_room(struct command_streams *streams)
{
    size_t count = streams->refs.count;
    struct arena *arena = streams->arena;
    streams->loaded = arena_array(arena, count, sizeof(*streams->loaded));
    streams->states = arena_array(arena, count, sizeof(*streams->states));
    streams->documents = arena_array(arena, count, sizeof(*streams->documents));
    streams->queries = arena_array(arena, count, sizeof(*streams->queries));
    streams->query_of = arena_array(arena, count, sizeof(*streams->query_of));
    streams->snapshots = arena_array(arena, count, 2 * sizeof(*streams->snapshots));
    bool fits = streams->loaded != NULL && streams->states != NULL && streams->documents != NULL &&
                streams->queries != NULL && streams->query_of != NULL && streams->snapshots != NULL;
    return fits ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status declare(struct command_streams *streams, const struct command_type *type,
                           const struct command *command)
{
    streams->refs.count = 0;
    streams->snapshot_count = 0;
    enum status status = type->streams(command, streams->arena, &streams->refs);
    if (status != STATUS_OK) {
        return status;
    }
    if (streams->refs.count == 0 || streams->refs.count > COMMAND_STREAMS_MAX) {
        return STATUS_INVALID;
    }
    return make_room(streams);
}

enum status command_streams_begin(struct command_streams *streams, const struct command_type *type,
                                  const struct command *command, bool read, struct arena *arena)
{
    streams->tenant = command->tenant;
    streams->arena = arena;
    enum status status = declare(streams, type, command);
    if (status != STATUS_OK) {
        return status;
    }
    fold_memory_open(&streams->memory, arena);
    const struct bounded_context *own = context_of_category(type->category);
    for (size_t i = 0; i < streams->refs.count; i++) {
        status = begin_stream(streams, i, own);
        if (status != STATUS_OK) {
            return status;
        }
        streams->loaded[i].complete = !read || is_new(streams, type, i);
    }
    if (command_streams_complete(streams)) {
        fold_memory_close(&streams->memory);
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

// Snapshots are asked for with the first page.
static struct stream_query query_for(const struct command_streams *streams, size_t index)
{
    const struct loaded_stream *loaded = &streams->loaded[index];
    bool shortcut = loaded->version == 0 && !loaded->no_shortcut;
    struct stream_query query = {.stream = streams->refs.items[index].id,
                                 .after_version = loaded->version};
    if (shortcut && loaded->own.fold != NULL && loaded->own.fold->decode != NULL) {
        query.state_codec = loaded->own.fold->version;
    }
    if (shortcut && folds_document(streams, index)) {
        query.document_codec = loaded->document.projection->document.version;
    }
    return query;
}

const struct stream_query *command_streams_queries(struct command_streams *streams, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < streams->refs.count; i++) {
        if (!streams->loaded[i].complete) {
            streams->query_of[*count] = i;
            streams->queries[(*count)++] = query_for(streams, i);
        }
    }
    return streams->queries;
}

// --- what is brought: snapshots, then rows

// An id of another kind of thing, or of another tenant's, names nothing here.
static bool is_of(const struct command_streams *streams, size_t index, struct str tenant,
                  struct str category)
{
    return str_eq(category, streams->refs.items[index].category) && str_eq(tenant, streams->tenant);
}

static enum status restore_own(struct command_streams *streams, struct loaded_stream *loaded,
                               const struct stream_snapshot *snapshot)
{
    struct str bytes = arena_str(streams->arena, snapshot->bytes);
    if (bytes.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    void *state = NULL;
    enum status status = loaded->own.fold->decode(bytes, streams->arena, &state);
    if (status == STATUS_OK) {
        loaded->own.state = state;
        loaded->own_version = snapshot->version;
    }
    return status;
}

// Begins at the snapshots: all that were asked for are there, or none. STATUS_MALFORMED: one cannot
// be read.
static enum status restore(struct command_streams *streams, size_t index,
                           const struct stream_rows *rows)
{
    struct loaded_stream *loaded = &streams->loaded[index];
    struct stream_query asked = query_for(streams, index);
    bool state = asked.state_codec > 0;
    bool document = asked.document_codec > 0;
    if ((!state && !document) || (state && rows->state.version == 0) ||
        (document && rows->document.version == 0)) {
        return STATUS_OK;
    }
    int32_t from = state ? rows->state.version : rows->document.version;
    enum status status = state ? restore_own(streams, loaded, &rows->state) : STATUS_OK;
    if (status == STATUS_OK && document) {
        status = document_fold_restore(&loaded->document, &rows->document);
        from = rows->document.version < from ? rows->document.version : from;
    }
    loaded->version = loaded->snapshot_at = from;
    return status;
}

static enum status start_over(struct command_streams *streams, size_t index)
{
    struct loaded_stream *loaded = &streams->loaded[index];
    loaded->no_shortcut = true;
    loaded->complete = false;
    loaded->version = loaded->own_version = loaded->snapshot_at = 0;
    loaded->document.version = loaded->document.snapshot_at = 0;
    loaded->document.slot.state = NULL;
    if (loaded->own.fold == NULL) {
        return STATUS_OK;
    }
    loaded->own.state = loaded->own.fold->initial(streams->arena);
    return loaded->own.state == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status evolve_own(struct loaded_stream *loaded, const struct recorded_event *row,
                              struct arena *arena)
{
    if (row->version <= loaded->own_version) {
        return STATUS_OK; // the snapshot knows it
    }
    loaded->own_version = row->version;
    if (row->kind != RECORD_EVENT || loaded->own.fold == NULL) {
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
    return loaded->own.fold->evolve(loaded->own.state, &event, arena);
}

static enum status take_row(struct command_streams *streams, size_t index,
                            const struct recorded_event *row)
{
    struct loaded_stream *loaded = &streams->loaded[index];
    if (row->version != loaded->version + 1) {
        return STATUS_MALFORMED; // a gap: somebody has cut the stream
    }
    loaded->version = row->version;
    loaded->last = row->id;
    enum status status = evolve_own(loaded, row, streams->arena);
    if (status == STATUS_OK && folds_document(streams, index)) {
        status = document_fold_rows(&loaded->document, row, 1, 0);
    }
    return status == STATUS_OK ? fold_memory_settle(&streams->memory) : status;
}

static void keep_snapshots(struct command_streams *streams, size_t index, int32_t least)
{
    struct loaded_stream *loaded = &streams->loaded[index];
    if (loaded->version - loaded->snapshot_at < least) {
        return;
    }
    struct snapshot *next = &streams->snapshots[streams->snapshot_count];
    *next = (struct snapshot){.stream = streams->refs.items[index].id,
                              .kind = SNAPSHOT_STATE,
                              .version = loaded->version,
                              .event = loaded->last};
    if (loaded->own_version == loaded->version && loaded->own.fold != NULL &&
        snapshot_write(loaded->own.fold, loaded->own.state, streams->arena, next)) {
        next = &streams->snapshots[++streams->snapshot_count];
    }
    if (folds_document(streams, index) && document_fold_snapshot(&loaded->document, least, next)) {
        streams->snapshot_count++;
    }
    loaded->snapshot_at = loaded->version;
}

static enum status take_stream(struct command_streams *streams, size_t index,
                               const struct stream_rows *rows)
{
    struct loaded_stream *loaded = &streams->loaded[index];
    const struct stream_snapshot *given = rows->state.version > 0 ? &rows->state : &rows->document;
    bool ours = given->version == 0 || is_of(streams, index, given->tenant, given->category);
    enum status status = ours ? restore(streams, index, rows) : STATUS_OK;
    if (status == STATUS_MALFORMED) {
        return start_over(streams, index);
    }
    for (size_t i = 0; i < rows->count && status == STATUS_OK && ours; i++) {
        ours = is_of(streams, index, rows->rows[i].tenant, rows->rows[i].category);
        status = ours ? take_row(streams, index, &rows->rows[i]) : STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (loaded->document.projection == NULL) {
        loaded->document.version = loaded->version;
    }
    loaded->complete = !rows->more || !ours;
    if (loaded->complete &&
        (loaded->own_version > loaded->version || loaded->document.version > loaded->version)) {
        return start_over(streams, index); // ahead of the log
    }
    keep_snapshots(streams, index, snapshot_least(loaded->complete));
    return STATUS_OK;
}

// Decide gets the encoded document of a foreign stream; data NULL: there is none.
static enum status finish(struct command_streams *streams)
{
    fold_memory_close(&streams->memory);
    for (size_t i = 0; i < streams->refs.count; i++) {
        struct document document;
        if (streams->loaded[i].own.fold != NULL) {
            continue;
        }
        enum status status = document_fold_finish(&streams->loaded[i].document, &document);
        if (status != STATUS_OK) {
            return status;
        }
        streams->documents[i] = document.version > 0 ? document.body : (struct str){NULL, 0};
    }
    return STATUS_OK;
}

enum status command_streams_take(struct command_streams *streams, const struct stream_rows *rows)
{
    size_t count = 0;
    (void)command_streams_queries(streams, &count);
    streams->snapshot_count = 0;
    for (size_t i = 0; i < count; i++) {
        enum status status = take_stream(streams, streams->query_of[i], &rows[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return command_streams_complete(streams) ? finish(streams) : STATUS_OK;
}

void command_streams_give_up(struct command_streams *streams)
{
    streams->snapshot_count = 0;
    for (size_t i = 0; i < streams->refs.count; i++) {
        keep_snapshots(streams, i, SNAPSHOT_ENDING);
    }
}

const struct snapshot *command_streams_snapshots(const struct command_streams *streams,
                                                 size_t *count)
{
    *count = streams->snapshot_count;
    return streams->snapshots;
}

struct decide_input command_streams_input(const struct command_streams *streams,
                                          const struct command *command)
{
    for (size_t i = 0; i < streams->refs.count; i++) {
        struct loaded_stream *loaded = &streams->loaded[i];
        streams->states[i] =
            loaded->own.fold != NULL ? loaded->own.state : (void *)&streams->documents[i];
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
