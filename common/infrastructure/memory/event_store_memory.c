// SPDX-License-Identifier: Apache-2.0
// The event store in this process's memory: for tests and for programs without servers. Nothing
// ever commits late here, so the tail is always settled.
#include "infrastructure/memory/event_store_memory.h"

#include <stdlib.h>
#include <string.h>

#include "infrastructure/memory/memory_log.h"

enum { ARENA_BLOCK = 256 * 1024 };

// True when any id is known; fills the flags.
static bool judge_inbox(const struct memory_store *store, const struct append_item *item,
                        bool *handled)
{
    bool any = false;
    for (size_t i = 0; i < item->inbox_count; i++) {
        handled[i] = memory_log_is_handled(store, item->consumer, item->inbox[i]);
        any = any || handled[i];
    }
    return any;
}

static bool judge_key(const struct memory_store *store, const struct append_item *item,
                      struct append_verdict *verdict)
{
    const struct kept_key *known = item->key == NULL ? NULL : memory_log_key(store, item->key->id);
    if (known == NULL) {
        return false;
    }
    bool same = memcmp(known->key.fingerprint, item->key->fingerprint, KEY_FINGERPRINT_LEN) == 0;
    verdict->outcome = same ? DUPLICATE : KEY_REUSED;
    if (same) {
        verdict->key = known->key;
    }
    return true;
}

static bool share_inbox_id(const struct append_item *left, const struct append_item *right)
{
    for (size_t i = 0; i < left->inbox_count; i++) {
        for (size_t j = 0; j < right->inbox_count; j++) {
            if (str_eq(left->consumer, right->consumer) &&
                uuid_eq(left->inbox[i], right->inbox[j])) {
                return true;
            }
        }
    }
    return false;
}

// The first of twins counts: when it did not append, the others have to ask again.
static bool has_failed_twin(const struct append_item *items, const struct append_verdict *verdicts,
                            size_t index)
{
    const struct append_item *item = &items[index];
    for (size_t i = 0; i < index; i++) {
        bool same_key =
            item->key != NULL && items[i].key != NULL && uuid_eq(item->key->id, items[i].key->id);
        if (verdicts[i].outcome != APPENDED && (same_key || share_inbox_id(item, &items[i]))) {
            return true;
        }
    }
    return false;
}

static bool judge_versions(const struct memory_store *store, const struct append_item *item,
                           struct append_verdict *verdict)
{
    for (size_t i = 0; item->row_count > 0 && i < item->stream_count; i++) {
        const struct kept_stream *stream = memory_log_stream(store, item->streams[i].id);
        int32_t version = stream == NULL ? 0 : stream->version;
        if (version != item->streams[i].expected_version) {
            verdict->outcome = VERSION_CONFLICT;
            verdict->conflict_stream = i;
            verdict->conflict_version = version;
            return true;
        }
    }
    return false;
}

// More than the items can take: what is kept never fails halfway.
static bool has_room(const struct memory_store *store, const struct append_item *items,
                     size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += memory_log_item_bytes(&items[i]);
    }
    return store->arena.used <= store->arena.limit_max &&
           bytes <= store->arena.limit_max - store->arena.used;
}

static bool is_sound(const struct append_item *item)
{
    for (size_t i = 0; i < item->row_count; i++) {
        if (item->rows[i].stream >= item->stream_count) {
            return false;
        }
    }
    for (size_t i = 0; i < item->stream_count; i++) {
        if (item->streams[i].expected_version < 0) {
            return false;
        }
    }
    return (item->inbox_count == 0 || !str_is_empty(item->consumer)) &&
           (item->key == NULL || item->row_count > 0);
}

static bool have_common_stream(const struct append_item *left, const struct append_item *right)
{
    for (size_t i = 0; i < left->stream_count; i++) {
        for (size_t j = 0; j < right->stream_count; j++) {
            if (uuid_eq(left->streams[i].id, right->streams[j].id)) {
                return true;
            }
        }
    }
    return false;
}

static enum status check_items(const struct append_item *items, size_t count)
{
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        rows += items[i].row_count;
        if (!is_sound(&items[i])) {
            return STATUS_INVALID;
        }
        for (size_t j = 0; j < i; j++) {
            if (items[i].row_count > 0 && items[j].row_count > 0 &&
                have_common_stream(&items[i], &items[j])) {
                return STATUS_INVALID;
            }
        }
    }
    bool fits = count > 0 && count <= APPEND_ITEMS_MAX && rows <= APPEND_ROWS_MAX;
    return fits ? STATUS_OK : STATUS_INVALID;
}

static enum status append_item(struct memory_store *store, const struct append_item *items,
                               size_t index, struct arena *arena, struct append_verdict *verdicts)
{
    const struct append_item *item = &items[index];
    struct append_verdict *verdict = &verdicts[index];
    bool *handled = arena_array(arena, item->inbox_count + 1, sizeof(*handled));
    if (handled == NULL) {
        return STATUS_NO_MEMORY;
    }
    *verdict = (struct append_verdict){0};
    if (judge_inbox(store, item, handled)) {
        verdict->outcome = ALREADY_HANDLED;
        verdict->inbox_handled = handled;
    } else if (has_failed_twin(items, verdicts, index)) {
        verdict->outcome = APPEND_AGAIN;
        judge_key(store, item, verdict);
    } else if (!judge_key(store, item, verdict) && !judge_versions(store, item, verdict)) {
        memory_log_keep(store, item, verdict);
    }
    return STATUS_OK;
}

static enum status memory_append(struct event_store *base, const struct append_item *items,
                                 size_t count, struct arena *arena, struct append_verdict *verdicts)
{
    struct memory_store *store = memory_store_of(base);
    enum status status = check_items(items, count);
    if (status != STATUS_OK) {
        return status;
    }
    struct append_verdict *read = arena_array(arena, count, sizeof(*read));
    if (read == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (!has_room(store, items, count)) {
        return STATUS_FULL;
    }
    store->tx++;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = append_item(store, items, i, arena, read);
    }
    if (status == STATUS_OK) {
        memcpy(verdicts, read, count * sizeof(*read));
    }
    return status == STATUS_OK ? STATUS_OK : STATUS_UNKNOWN; // some items may be kept
}

static const struct event_store_ops memory_ops = {
    .append = memory_append,
    .read = memory_log_read,
    .read_tail = memory_log_read_tail,
    .save_snapshots = memory_log_save_snapshots,
    .claim_timers = memory_log_claim_timers,
    .timers_rest = memory_log_timers_rest,
};

struct event_store *event_store_memory_new(size_t bytes_max)
{
    struct memory_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return NULL;
    }
    store->base.ops = &memory_ops;
    arena_init(&store->arena, ARENA_BLOCK, bytes_max);
    return &store->base;
}

void event_store_memory_free(struct event_store *base)
{
    if (base == NULL) {
        return;
    }
    struct memory_store *store = memory_store_of(base);
    HASH_CLEAR(hh, store->streams);
    HASH_CLEAR(hh, store->keys);
    HASH_CLEAR(hh, store->inbox);
    HASH_CLEAR(hh, store->timers);
    arena_free(&store->arena);
    free(store);
}
