// SPDX-License-Identifier: Apache-2.0
// Handles a batch of messages without I/O: it says what it needs, its driver brings it.
#include "application/handler/handler_batch.h"

#include "application/handler/handler_batch_parts.h"
#include "application/handler/state_cache.h"

static enum status make_lists(struct handler_batch *batch)
{
    size_t streams = batch->stream_count;
    batch->queries = arena_array(batch->arena, streams, sizeof(*batch->queries));
    batch->query_streams = arena_array(batch->arena, streams, sizeof(*batch->query_streams));
    batch->snapshots = arena_array(batch->arena, streams, sizeof(*batch->snapshots));
    batch->effects = arena_array(batch->arena, batch->count, sizeof(*batch->effects));
    batch->effect_messages =
        arena_array(batch->arena, batch->count, sizeof(*batch->effect_messages));
    batch->items = arena_array(batch->arena, batch->group_count, sizeof(*batch->items));
    batch->item_groups = arena_array(batch->arena, batch->group_count, sizeof(*batch->item_groups));
    bool made = batch->queries != NULL && batch->query_streams != NULL &&
                batch->snapshots != NULL && batch->effects != NULL &&
                batch->effect_messages != NULL && batch->items != NULL &&
                batch->item_groups != NULL;
    return made ? STATUS_OK : STATUS_NO_MEMORY;
}

struct handler_batch *handler_batch_new(const struct message_handler *handler,
                                        const struct incoming *messages, size_t count,
                                        struct state_cache *cache,
                                        const struct handler_limits *limits, struct arena *arena)
{
    struct handler_batch *batch = arena_alloc(arena, sizeof(*batch));
    if (batch == NULL || count > HANDLER_BATCH_MAX) {
        return NULL;
    }
    *batch = (struct handler_batch){
        .handler = handler, .cache = cache, .limits = *limits, .arena = arena, .count = count};
    batch->messages = arena_array(arena, count, sizeof(*batch->messages));
    batch->results = arena_array(arena, count, sizeof(*batch->results));
    batch->asked_streams = arena_alloc(arena, sizeof(*batch->asked_streams));
    batch->reaction = arena_alloc(arena, sizeof(*batch->reaction));
    if (batch->messages == NULL || batch->results == NULL || batch->asked_streams == NULL ||
        batch->reaction == NULL) {
        return NULL;
    }
    for (size_t at = 0; at < count; at++) {
        batch->messages[at] = (struct batch_message){.incoming = messages[at],
                                                     .group = NO_INDEX,
                                                     .twin = NO_INDEX,
                                                     .label = STR(""),
                                                     .result = &batch->results[at]};
    }
    bool made = handler_batch_group(batch) == STATUS_OK && make_lists(batch) == STATUS_OK;
    return made ? batch : NULL;
}

// --- reading streams

static void start_from_nothing(struct handler_batch *batch, struct batch_stream *stream)
{
    stream->version = 0;
    for (size_t at = 0; at < stream->view_count; at++) {
        stream->views[at].state = stream->views[at].fold->initial(batch->arena);
        if (stream->views[at].state == NULL) {
            stream->fault = STR("no memory for its state");
        }
    }
}

// A stream of another tenant, or of another kind of thing, is no stream. A group has one tenant.
static bool is_ours(const struct handler_batch *batch, const struct batch_stream *stream,
                    struct str tenant, struct str category)
{
    const struct batch_group *group = &batch->groups[stream->group];
    return str_eq(category, stream->category) &&
           str_eq(tenant, batch->messages[group->messages[0]].incoming.tenant);
}

struct str handler_batch_owner(struct handler_batch *batch, const struct batch_stream *stream)
{
    const struct batch_group *group = &batch->groups[stream->group];
    return arena_printf(batch->arena, "%.*s\n%.*s\n",
                        STR_FMT(batch->messages[group->messages[0]].incoming.tenant),
                        STR_FMT(stream->category));
}

// As read from the log since the race was lost: only what came after it is read again.
static bool start_from_kept(struct handler_batch *batch, struct batch_stream *stream)
{
    struct batch_view *view = &stream->views[0];
    if (stream->kept.data == NULL ||
        view->fold->decode(stream->kept, batch->arena, &view->state) != STATUS_OK) {
        return false;
    }
    stream->version = stream->kept_version;
    return true;
}

// A cached state saves reading, never a question: what came after it is asked for all the same.
static bool start_from_cache(struct handler_batch *batch, struct batch_stream *stream)
{
    struct str bytes;
    struct batch_view *view = &stream->views[0];
    if (batch->cache == NULL || stream->no_shortcut || stream->view_count != 1 || view->foreign ||
        view->fold->decode == NULL) {
        return false;
    }
    int32_t version = state_cache_get(batch->cache, stream->id, &bytes);
    struct str owner = version == 0 ? bytes : handler_batch_owner(batch, stream);
    struct str kept = version == 0 ? bytes : arena_str(batch->arena, bytes);
    if (version == 0 || owner.data == NULL || kept.data == NULL || !str_starts_with(kept, owner)) {
        return false;
    }
    kept = (struct str){kept.data + owner.len, kept.len - owner.len};
    if (view->fold->decode(kept, batch->arena, &view->state) != STATUS_OK) {
        return false;
    }
    stream->version = version;
    stream->cached = version;
    return true;
}

static void start_reading(struct handler_batch *batch, struct batch_stream *stream)
{
    stream->cached = 0;
    if (!start_from_kept(batch, stream) && !start_from_cache(batch, stream)) {
        start_from_nothing(batch, stream);
    }
    stream->committed = stream->version;
    stream->reading = true;
}

// Of the state, or of the document when it is another context's.
static struct stream_query query_for(const struct batch_stream *stream)
{
    struct stream_query query = {.stream = stream->id, .after_version = stream->version};
    const struct batch_view *view = &stream->views[0];
    if (stream->view_count != 1 || stream->no_shortcut || view->fold->decode == NULL) {
        return query;
    }
    int16_t *codec = view->foreign ? &query.document_codec : &query.state_codec;
    *codec = view->fold->version;
    return query;
}

static void list_query(struct handler_batch *batch, int32_t at)
{
    struct batch_stream *stream = &batch->streams[at];
    if (!stream->reading) {
        start_reading(batch, stream);
    }
    if (stream->is_new || stream->fault.data != NULL) {
        stream->loaded = true;
        return;
    }
    batch->query_streams[batch->query_count] = at;
    batch->queries[batch->query_count++] = query_for(stream);
}

void handler_batch_list_queries(struct handler_batch *batch)
{
    batch->query_count = 0;
    for (size_t at = 0; at < batch->stream_count; at++) {
        const struct batch_stream *stream = &batch->streams[at];
        const struct batch_group *group = &batch->groups[stream->group];
        if (!stream->loaded && group->pending > 0 && !handler_batch_rests(batch, group)) {
            list_query(batch, (int32_t)at);
        }
    }
}

// False: the snapshot cannot be used; the stream is read from its start.
static bool take_snapshot(struct handler_batch *batch, struct batch_stream *stream,
                          const struct stream_rows *rows)
{
    struct batch_view *view = &stream->views[0];
    bool foreign = stream->view_count == 1 && view->foreign;
    const struct stream_snapshot *given = foreign ? &rows->document : &rows->state;
    if (given->version <= stream->version) {
        return true;
    }
    void *state = NULL;
    if (stream->view_count != 1 || !is_ours(batch, stream, given->tenant, given->category) ||
        view->fold->decode(given->bytes, batch->arena, &state) != STATUS_OK) {
        stream->no_shortcut = true;
        stream->reading = false;
        return false;
    }
    view->state = state;
    stream->version = given->version;
    return true;
}

static void take_row(struct handler_batch *batch, struct batch_stream *stream,
                     const struct recorded_event *row)
{
    struct event_view event = {.stream = row->stream,
                               .version = row->version,
                               .id = row->id,
                               .type = row->type,
                               .schema_version = row->schema_version,
                               .data = row->data,
                               .recorded_at = row->recorded_at};
    if (row->version <= stream->version) {
        return;
    }
    stream->version = row->version;
    for (size_t at = 0; at < stream->view_count && stream->fault.data == NULL; at++) {
        const struct batch_view *view = &stream->views[at];
        if (view->fold->evolve(view->state, &event, batch->arena) != STATUS_OK) {
            stream->fault =
                arena_printf(batch->arena, "version %d of a %.*s stream, %.*s, cannot be read",
                             row->version, STR_FMT(stream->category), STR_FMT(row->type));
            stream->fault = stream->fault.data == NULL ? STR("no memory") : stream->fault;
        }
    }
}

// Once a race was lost another may be: the next reading begins here.
static void keep_as_read(struct handler_batch *batch, struct batch_stream *stream)
{
    struct str state;
    bool contended = batch->groups[stream->group].losses > 0 && stream->appends;
    if (contended && stream->version > stream->kept_version && stream->fault.data == NULL &&
        handler_batch_encode_state(batch, stream, &state)) {
        stream->kept = state;
        stream->kept_version = stream->version;
    }
}

static void take_rows(struct handler_batch *batch, struct batch_stream *stream,
                      const struct stream_rows *rows)
{
    if (!take_snapshot(batch, stream, rows)) {
        return;
    }
    for (size_t at = 0; at < rows->count && !stream->not_ours; at++) {
        const struct recorded_event *row = &rows->rows[at];
        stream->not_ours = !is_ours(batch, stream, row->tenant, row->category);
        if (!stream->not_ours) {
            take_row(batch, stream, row);
        }
    }
    stream->committed = stream->version;
    stream->loaded = !rows->more || stream->fault.data != NULL || stream->not_ours;
    if (stream->loaded && !stream->not_ours) {
        keep_as_read(batch, stream);
    }
}

void handler_batch_take_streams(struct handler_batch *batch, const struct stream_rows *streams)
{
    for (size_t at = 0; at < batch->query_count; at++) {
        take_rows(batch, &batch->streams[batch->query_streams[at]], &streams[at]);
    }
    batch->query_count = 0;
}

const struct stream_query *handler_batch_queries(struct handler_batch *batch, size_t *count)
{
    *count = batch->query_count;
    return batch->queries;
}

// --- effects

const struct effect_request *handler_batch_effects(struct handler_batch *batch, size_t *count)
{
    *count = batch->effect_count;
    return batch->effects;
}

static void fail_effect(struct handler_batch *batch, struct batch_message *message, bool unknown)
{
    const char *why = unknown ? "this daemon has no provider for it" : "no answer";
    struct str cause =
        arena_printf(batch->arena, "%.*s: %s", STR_FMT(message->asked.operation), why);
    handler_batch_finish(batch, message, unknown ? MESSAGE_POISON : MESSAGE_TRANSIENT,
                         cause.data == NULL ? str_from(why) : cause);
}

void handler_batch_take_effects(struct handler_batch *batch, const struct effect_result *results)
{
    for (size_t at = 0; at < batch->effect_count; at++) {
        struct batch_message *message = &batch->messages[batch->effect_messages[at]];
        if (results[at].answered) {
            message->answered = true;
            message->answer = results[at].answer;
        } else {
            fail_effect(batch, message, results[at].unknown);
        }
    }
    batch->effect_count = 0;
}

// --- the rounds

const struct append_item *handler_batch_items(struct handler_batch *batch, size_t *count)
{
    *count = batch->item_count;
    return batch->items;
}

void handler_batch_fail(struct handler_batch *batch, enum status status)
{
    batch->status = status;
    for (size_t at = 0; at < batch->count; at++) {
        if (batch->messages[at].phase != MESSAGE_DONE) {
            handler_batch_finish(batch, &batch->messages[at], MESSAGE_TRANSIENT,
                                 str_from(status_text(status)));
        }
    }
}

// A twin shares the outcome of the message that came first under its id.
static void finish_twins(struct handler_batch *batch)
{
    for (size_t at = 0; at < batch->count; at++) {
        int32_t twin = batch->messages[at].twin;
        if (twin != NO_INDEX) {
            batch->results[at] = batch->results[twin];
            batch->results[at].label = STR("repeated");
        }
    }
}

enum handler_want handler_batch_next(struct handler_batch *batch, int64_t now_ms)
{
    batch->now_ms = now_ms;
    handler_batch_rest_losers(batch);
    handler_batch_list_queries(batch);
    if (batch->query_count > 0) {
        return HANDLER_WANT_STREAMS;
    }
    handler_batch_decide(batch);
    if (batch->effect_count > 0) {
        return HANDLER_WANT_EFFECTS;
    }
    enum status status = handler_batch_build_items(batch);
    if (status != STATUS_OK) {
        handler_batch_fail(batch, status);
    }
    if (status == STATUS_OK && batch->item_count > 0) {
        return HANDLER_WANT_APPEND;
    }
    if (handler_batch_pause_ms(batch) > 0) {
        return HANDLER_WANT_PAUSE;
    }
    finish_twins(batch);
    return HANDLER_WANT_NOTHING;
}

const struct snapshot *handler_batch_snapshots(struct handler_batch *batch, size_t *count)
{
    *count = batch->snapshot_count;
    return batch->snapshots;
}

enum status handler_batch_status(const struct handler_batch *batch)
{
    return batch->status;
}

const struct message_result *handler_batch_results(const struct handler_batch *batch)
{
    return batch->results;
}
