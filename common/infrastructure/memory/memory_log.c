// SPDX-License-Identifier: Apache-2.0
// What the event store in memory keeps: rows by stream and by log, keys, inbox, timers, snapshots.
#include "infrastructure/memory/memory_log.h"

#include <string.h>
#include <time.h>

enum { PART_OVERHEAD = 512 };

instant_us memory_log_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (instant_us)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct kept_stream *memory_log_stream(const struct memory_store *store, struct uuid id)
{
    struct kept_stream *stream = NULL;
    HASH_FIND(hh, store->streams, &id, sizeof(id), stream);
    return stream;
}

struct kept_key *memory_log_key(const struct memory_store *store, struct uuid id)
{
    struct kept_key *key = NULL;
    HASH_FIND(hh, store->keys, &id, sizeof(id), key);
    return key;
}

enum { INBOX_NAME_MAX = 256 };

static size_t inbox_name(struct str consumer, struct uuid id, char name[INBOX_NAME_MAX])
{
    size_t len = consumer.len < INBOX_NAME_MAX - 16 ? consumer.len : INBOX_NAME_MAX - 16;
    memcpy(name, id.bytes, 16);
    memcpy(name + 16, consumer.data, len);
    return 16 + len;
}

bool memory_log_is_handled(const struct memory_store *store, struct str consumer, struct uuid id)
{
    char name[INBOX_NAME_MAX];
    size_t len = inbox_name(consumer, id, name);
    struct kept_inbox *found = NULL;
    HASH_FIND(hh, store->inbox, name, len, found);
    return found != NULL;
}

static struct kept_stream *open_stream(struct memory_store *store, struct uuid id)
{
    struct kept_stream *stream = memory_log_stream(store, id);
    if (stream == NULL) {
        stream = arena_alloc(&store->arena, sizeof(*stream));
        if (stream != NULL) {
            stream->id = id;
            HASH_ADD(hh, store->streams, id, sizeof(stream->id), stream);
        }
    }
    return stream;
}

static struct recorded_event make_event(struct memory_store *store, const struct append_item *item,
                                        const struct append_row *row, int32_t version)
{
    const struct append_stream *stream = &item->streams[row->stream];
    return (struct recorded_event){
        .at = {.epoch = 1, .tx = store->tx, .position = ++store->position},
        .tenant = arena_str(&store->arena, item->tenant),
        .category = arena_str(&store->arena, stream->category),
        .stream = stream->id,
        .version = version,
        .id = row->id,
        .kind = row->kind,
        .type = arena_str(&store->arena, row->type),
        .schema_version = row->schema_version,
        .data = arena_str(&store->arena, row->data),
        .meta = arena_str(&store->arena, row->meta),
        .recorded_at = memory_log_now(),
    };
}

static void keep_row(struct memory_store *store, const struct append_item *item,
                     const struct append_row *row)
{
    struct kept_stream *stream = open_stream(store, item->streams[row->stream].id);
    struct kept_row *kept = arena_alloc(&store->arena, sizeof(*kept));
    if (stream == NULL || kept == NULL) {
        return; // has_room has made sure of it
    }
    kept->event = make_event(store, item, row, ++stream->version);
    *(stream->last == NULL ? &stream->first : &stream->last->next_in_stream) = kept;
    stream->last = kept;
    *(store->last == NULL ? &store->first : &store->last->next_in_log) = kept;
    store->last = kept;
}

static void keep_key(struct memory_store *store, const struct append_key *key)
{
    struct kept_key *kept = arena_alloc(&store->arena, sizeof(*kept));
    if (kept != NULL) {
        kept->key = *key;
        HASH_ADD(hh, store->keys, key.id, sizeof(kept->key.id), kept);
    }
}

static void keep_inbox(struct memory_store *store, struct str consumer, struct uuid id)
{
    char name[INBOX_NAME_MAX];
    size_t len = inbox_name(consumer, id, name);
    struct kept_inbox *kept = memory_log_is_handled(store, consumer, id)
                                  ? NULL
                                  : arena_alloc(&store->arena, sizeof(*kept) + len);
    if (kept != NULL) {
        memcpy(kept->name, name, len);
        HASH_ADD_KEYPTR(hh, store->inbox, kept->name, len, kept);
    }
}

static struct kept_timer *find_timer(const struct memory_store *store, struct uuid id)
{
    struct kept_timer *timer = NULL;
    HASH_FIND(hh, store->timers, &id, sizeof(id), timer);
    return timer;
}

static void keep_timer(struct memory_store *store, struct str tenant, const struct timer *timer)
{
    struct kept_timer *kept =
        find_timer(store, timer->id) != NULL ? NULL : arena_alloc(&store->arena, sizeof(*kept));
    if (kept != NULL) {
        kept->timer = *timer;
        kept->timer.tenant = arena_str(&store->arena, tenant);
        kept->timer.data = arena_str(&store->arena, timer->data);
        HASH_ADD(hh, store->timers, timer.id, sizeof(kept->timer.id), kept);
    }
}

static void drop_timer(struct memory_store *store, struct uuid id)
{
    struct kept_timer *timer = find_timer(store, id);
    if (timer != NULL) {
        HASH_DEL(store->timers, timer);
    }
}

void memory_log_keep(struct memory_store *store, const struct append_item *item,
                     struct append_verdict *verdict)
{
    for (size_t i = 0; i < item->row_count; i++) {
        keep_row(store, item, &item->rows[i]);
    }
    for (size_t i = 0; i < item->inbox_count; i++) {
        keep_inbox(store, item->consumer, item->inbox[i]);
    }
    if (item->key != NULL) {
        keep_key(store, item->key);
    }
    for (size_t i = 0; i < item->timer_count; i++) {
        keep_timer(store, item->tenant, &item->timers[i]);
    }
    for (size_t i = 0; i < item->timer_done_count; i++) {
        drop_timer(store, item->timers_done[i]);
    }
    verdict->outcome = APPENDED;
    if (item->row_count > 0) {
        verdict->at = store->last->event.at;
    }
}

size_t memory_log_item_bytes(const struct append_item *item)
{
    size_t parts = item->row_count + item->inbox_count + item->timer_count + 2;
    size_t bytes = parts * (PART_OVERHEAD + item->tenant.len + item->consumer.len);
    for (size_t i = 0; i < item->row_count; i++) {
        bytes += item->rows[i].data.len + item->rows[i].meta.len + item->rows[i].type.len +
                 item->streams[item->rows[i].stream].category.len;
    }
    for (size_t i = 0; i < item->timer_count; i++) {
        bytes += item->timers[i].data.len;
    }
    return bytes;
}
