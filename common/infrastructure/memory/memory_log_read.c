// SPDX-License-Identifier: Apache-2.0
// The reading half of the event store in memory, with its snapshots and timers.
#include <string.h>

#include "infrastructure/memory/memory_log.h"

enum { DOCUMENT_STEP = 1000, OTHER_CODEC_BEHIND_MAX = 10000 };

static enum status copy_event(const struct recorded_event *event, struct arena *arena,
                              struct recorded_event *copy)
{
    *copy = *event;
    copy->tenant = arena_str(arena, event->tenant);
    copy->category = arena_str(arena, event->category);
    copy->type = arena_str(arena, event->type);
    copy->data = arena_str(arena, event->data);
    copy->meta = arena_str(arena, event->meta);
    bool kept = copy->tenant.data != NULL && copy->category.data != NULL &&
                copy->type.data != NULL && copy->data.data != NULL && copy->meta.data != NULL;
    return kept ? STATUS_OK : STATUS_NO_MEMORY;
}

static int32_t until_of(const struct stream_query *query, const struct kept_stream *stream)
{
    int32_t last = stream == NULL ? 0 : stream->version;
    return query->until_version > 0 && query->until_version < last ? query->until_version : last;
}

static enum status read_rows(const struct kept_stream *stream, int32_t after, int32_t until,
                             size_t limit, struct arena *arena, struct stream_rows *rows)
{
    size_t ahead = until <= after ? 0 : (size_t)(until - after);
    rows->more = ahead > limit;
    ahead = rows->more ? limit : ahead;
    rows->rows = arena_array(arena, ahead + 1, sizeof(*rows->rows));
    if (rows->rows == NULL) {
        return STATUS_NO_MEMORY;
    }
    const struct kept_row *at = stream == NULL ? NULL : stream->first;
    for (; at != NULL && rows->count < ahead; at = at->next_in_stream) {
        if (at->event.version <= after) {
            continue;
        }
        enum status status = copy_event(&at->event, arena, &rows->rows[rows->count++]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

// The row that a snapshot stands on; NULL: the log does not have it.
static const struct kept_row *row_under(const struct kept_stream *stream,
                                        const struct snapshot *snapshot)
{
    const struct kept_row *at = stream->first;
    while (at != NULL && at->event.version < snapshot->version) {
        at = at->next_in_stream;
    }
    bool stands = at != NULL && at->event.version == snapshot->version &&
                  uuid_eq(at->event.id, snapshot->event);
    return stands ? at : NULL;
}

static const struct snapshot *find_snapshot(const struct kept_stream *stream,
                                            const struct stream_query *query,
                                            enum snapshot_kind kind, int16_t codec)
{
    const struct snapshot *found = NULL;
    const struct kept_snapshot *at = stream == NULL || codec == 0 ? NULL : stream->snapshots;
    for (; at != NULL; at = at->next) {
        const struct snapshot *snapshot = &at->snapshot;
        if (snapshot->kind == kind && snapshot->codec == codec &&
            snapshot->version > query->after_version &&
            snapshot->version <= until_of(query, stream) &&
            (found == NULL || snapshot->version > found->version)) {
            found = snapshot;
        }
    }
    return found;
}

static enum status copy_snapshot(const struct kept_stream *stream, const struct snapshot *snapshot,
                                 struct arena *arena, struct stream_snapshot *copy)
{
    if (snapshot == NULL) {
        return STATUS_OK;
    }
    const struct recorded_event *row = &row_under(stream, snapshot)->event;
    *copy = (struct stream_snapshot){.version = snapshot->version,
                                     .bytes = arena_str(arena, snapshot->bytes),
                                     .at = row->at,
                                     .tenant = arena_str(arena, row->tenant),
                                     .category = arena_str(arena, row->category)};
    bool kept =
        copy->bytes.data != NULL && copy->tenant.data != NULL && copy->category.data != NULL;
    return kept ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status read_stream(const struct memory_store *store, const struct stream_query *query,
                               size_t limit, struct arena *arena, struct stream_rows *rows)
{
    const struct kept_stream *stream = memory_log_stream(store, query->stream);
    const struct snapshot *state = find_snapshot(stream, query, SNAPSHOT_STATE, query->state_codec);
    const struct snapshot *document =
        find_snapshot(stream, query, SNAPSHOT_DOCUMENT, query->document_codec);
    int32_t after = query->after_version;
    *rows = (struct stream_rows){.count = 0};
    if ((state != NULL || query->state_codec == 0) &&
        (document != NULL || query->document_codec == 0) && (state != NULL || document != NULL)) {
        int32_t older = state == NULL ? document->version : state->version;
        after = document != NULL && document->version < older ? document->version : older;
        enum status status = copy_snapshot(stream, state, arena, &rows->state);
        if (status == STATUS_OK) {
            status = copy_snapshot(stream, document, arena, &rows->document);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return read_rows(stream, after, until_of(query, stream), limit, arena, rows);
}

enum status memory_log_read(struct event_store *base, const struct stream_query *queries,
                            size_t count, size_t limit, struct arena *arena,
                            struct stream_rows *streams)
{
    struct stream_rows *read = arena_array(arena, count + 1, sizeof(*read));
    if (count == 0 || limit == 0 || read == NULL) {
        return read == NULL ? STATUS_NO_MEMORY : STATUS_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        enum status status =
            read_stream(memory_store_of(base), &queries[i], limit, arena, &read[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    memcpy(streams, read, count * sizeof(*read));
    return STATUS_OK;
}

static bool is_after(struct log_cursor at, struct log_cursor after)
{
    if (at.epoch != after.epoch) {
        return at.epoch > after.epoch;
    }
    return at.tx != after.tx ? at.tx > after.tx : at.position > after.position;
}

enum status memory_log_read_tail(struct event_store *base, struct log_cursor after, size_t limit,
                                 struct arena *arena, struct recorded_event **rows, size_t *count,
                                 struct log_cursor *next)
{
    const struct kept_row *at = memory_store_of(base)->first;
    while (at != NULL && !is_after(at->event.at, after)) {
        at = at->next_in_log;
    }
    size_t found = 0;
    for (const struct kept_row *row = at; row != NULL && found < limit; row = row->next_in_log) {
        found++;
    }
    struct recorded_event *read = arena_array(arena, found + 1, sizeof(*read));
    if (limit == 0 || read == NULL) {
        return limit == 0 ? STATUS_INVALID : STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < found; i++, at = at->next_in_log) {
        enum status status = copy_event(&at->event, arena, &read[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    *rows = read;
    *count = found;
    *next = found == 0 ? after : read[found - 1].at;
    return STATUS_OK;
}

// What an older one is kept for: see event_store_save_snapshots.
static bool outlives(const struct snapshot *older, const struct snapshot *newer)
{
    if (older->kind != newer->kind || older->version >= newer->version) {
        return true;
    }
    if (older->codec != newer->codec) {
        return older->version >= newer->version - OTHER_CODEC_BEHIND_MAX;
    }
    return older->kind == SNAPSHOT_DOCUMENT &&
           older->version / DOCUMENT_STEP != newer->version / DOCUMENT_STEP;
}

static bool is_outdone(const struct kept_stream *stream, const struct snapshot *snapshot)
{
    for (const struct kept_snapshot *at = stream->snapshots; at != NULL; at = at->next) {
        bool same = at->snapshot.kind == snapshot->kind && at->snapshot.codec == snapshot->codec;
        if (same &&
            (at->snapshot.version == snapshot->version ||
             (at->snapshot.version > snapshot->version && snapshot->kind == SNAPSHOT_STATE))) {
            return true;
        }
    }
    return false;
}

static enum status keep_snapshot(struct memory_store *store, const struct snapshot *snapshot)
{
    struct kept_stream *stream = memory_log_stream(store, snapshot->stream);
    if (stream == NULL || row_under(stream, snapshot) == NULL || is_outdone(stream, snapshot)) {
        return STATUS_OK;
    }
    struct str bytes = arena_str(&store->arena, snapshot->bytes);
    struct kept_snapshot *fresh = arena_alloc(&store->arena, sizeof(*fresh));
    if (bytes.data == NULL || fresh == NULL) {
        return STATUS_FULL;
    }
    fresh->snapshot = *snapshot;
    fresh->snapshot.bytes = bytes;
    struct kept_snapshot **at = &stream->snapshots;
    while (*at != NULL) {
        if (outlives(&(*at)->snapshot, snapshot)) {
            at = &(*at)->next;
        } else {
            *at = (*at)->next;
        }
    }
    fresh->next = stream->snapshots;
    stream->snapshots = fresh;
    return STATUS_OK;
}

enum status memory_log_save_snapshots(struct event_store *base, const struct snapshot *snapshots,
                                      size_t count)
{
    enum status status = count == 0 || count > SNAPSHOTS_MAX ? STATUS_INVALID : STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = keep_snapshot(memory_store_of(base), &snapshots[i]);
    }
    return status;
}

static int by_due(const struct kept_timer *left, const struct kept_timer *right)
{
    return left->timer.due < right->timer.due ? -1 : left->timer.due > right->timer.due;
}

enum status memory_log_claim_timers(struct event_store *base, size_t limit, int claim_s,
                                    struct arena *arena, struct timer **timers, size_t *count)
{
    struct memory_store *store = memory_store_of(base);
    struct timer *claimed = arena_array(arena, limit + 1, sizeof(*claimed));
    if (limit == 0 || claim_s <= 0 || claimed == NULL) {
        return limit > 0 && claim_s > 0 ? STATUS_NO_MEMORY : STATUS_INVALID;
    }
    instant_us now = memory_log_now();
    size_t found = 0;
    HASH_SORT(store->timers, by_due);
    for (struct kept_timer *at = store->timers; at != NULL && found < limit; at = at->hh.next) {
        if (at->timer.due > now) {
            break;
        }
        claimed[found] = at->timer;
        claimed[found].tenant = arena_str(arena, at->timer.tenant);
        claimed[found].data = arena_str(arena, at->timer.data);
        if (claimed[found].tenant.data == NULL || claimed[found].data.data == NULL) {
            return STATUS_NO_MEMORY;
        }
        found++;
        at->timer.due = now + (instant_us)claim_s * 1000000;
    }
    *timers = claimed;
    *count = found;
    return STATUS_OK;
}

enum status memory_log_timers_rest(struct event_store *base, int longest_ms, int *rest_ms)
{
    const struct memory_store *store = memory_store_of(base);
    instant_us now = memory_log_now();
    int64_t rest = longest_ms;
    for (const struct kept_timer *at = store->timers; at != NULL; at = at->hh.next) {
        int64_t left = at->timer.due <= now ? 0 : (at->timer.due - now + 999) / 1000;
        rest = left < rest ? left : rest;
    }
    *rest_ms = (int)rest;
    return STATUS_OK;
}
