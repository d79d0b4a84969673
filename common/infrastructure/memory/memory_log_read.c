// SPDX-License-Identifier: Apache-2.0
// The reading half of the event store in memory, with its snapshots and timers.
#include <string.h>

#include "infrastructure/memory/memory_log.h"

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

static enum status read_rows(const struct kept_stream *stream, int32_t after, size_t limit,
                             struct arena *arena, struct stream_rows *rows)
{
    size_t ahead =
        stream == NULL || stream->version <= after ? 0 : (size_t)(stream->version - after);
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

static enum status read_stream(const struct memory_store *store, const struct stream_query *query,
                               size_t limit, struct arena *arena, struct stream_rows *rows)
{
    *rows = (struct stream_rows){.snapshot = STR("")};
    const struct kept_snapshot *kept = NULL;
    HASH_FIND(hh, store->snapshots, &query->stream, sizeof(query->stream), kept);
    int32_t after = query->after_version;
    if (kept != NULL && query->snapshot_version > 0 && kept->snapshot.version > after &&
        kept->snapshot.state_version == query->snapshot_version) {
        after = kept->snapshot.version;
        rows->snapshot_at = after;
        rows->snapshot = arena_str(arena, kept->snapshot.state);
        if (rows->snapshot.data == NULL) {
            return STATUS_NO_MEMORY;
        }
    }
    return read_rows(memory_log_stream(store, query->stream), after, limit, arena, rows);
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

static bool replaces(const struct snapshot *newer, const struct snapshot *older)
{
    return newer->version > older->version ||
           (newer->version == older->version && newer->state_version != older->state_version);
}

static enum status keep_snapshot(struct memory_store *store, const struct snapshot *snapshot)
{
    struct kept_snapshot *kept = NULL;
    HASH_FIND(hh, store->snapshots, &snapshot->stream, sizeof(snapshot->stream), kept);
    if (kept != NULL && !replaces(snapshot, &kept->snapshot)) {
        return STATUS_OK;
    }
    struct str state = arena_str(&store->arena, snapshot->state);
    struct kept_snapshot *fresh = kept == NULL ? arena_alloc(&store->arena, sizeof(*fresh)) : kept;
    if (state.data == NULL || fresh == NULL) {
        return STATUS_FULL;
    }
    fresh->snapshot = *snapshot;
    fresh->snapshot.state = state;
    if (kept == NULL) {
        HASH_ADD(hh, store->snapshots, snapshot.stream, sizeof(fresh->snapshot.stream), fresh);
    }
    return STATUS_OK;
}

enum status memory_log_save_snapshots(struct event_store *base, const struct snapshot *snapshots,
                                      size_t count)
{
    enum status status = count == 0 ? STATUS_INVALID : STATUS_OK;
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
