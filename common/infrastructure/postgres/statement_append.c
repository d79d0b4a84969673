// SPDX-License-Identifier: Apache-2.0
// What is said to PostgreSQL to append a batch: its arrays, sorted as the locks need it.
#include <stdlib.h>
#include <string.h>

#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/statement.h"

enum { TEXT_GUESS = 16 };

struct inbox_ref {
    int32_t item;
    int32_t index;
    struct str consumer;
    struct uuid id;
};

struct key_ref {
    int32_t item;
    const struct append_key *key;
};

struct stream_ref_of_item {
    int32_t item;
    int32_t index;
    bool several; // the item has more than one
    const struct append_stream *stream;
};

struct event_ref {
    int32_t item;
    bool head; // first of its stream in this call
    int32_t version;
    struct uuid stream;
    struct str tenant;
    struct str category;
    const struct append_row *row;
};

struct timer_ref {
    int32_t item;
    struct str tenant;
    const struct timer *timer;
};

struct done_ref {
    int32_t item;
    struct uuid id;
};

// The whole batch, flat.
struct batch {
    struct inbox_ref *inbox;
    size_t inbox_count;
    struct key_ref *keys;
    size_t key_count;
    struct stream_ref_of_item *streams;
    size_t stream_count;
    struct event_ref *events;
    size_t event_count;
    size_t head_count;
    struct timer_ref *timers;
    size_t timer_count;
    struct done_ref *done;
    size_t done_count;
};

static const char *const kind_names[] = {
    [RECORD_EVENT] = "event", [RECORD_COMMAND] = "command", [RECORD_REPLY] = "reply"};

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

static enum status count_parts(const struct append_item *items, size_t count, struct batch *batch)
{
    if (count == 0 || count > APPEND_ITEMS_MAX) {
        return STATUS_INVALID;
    }
    *batch = (struct batch){0};
    for (size_t i = 0; i < count; i++) {
        if (!is_sound(&items[i])) {
            return STATUS_INVALID;
        }
        batch->inbox_count += items[i].inbox_count;
        batch->key_count += items[i].key != NULL;
        batch->stream_count += items[i].row_count > 0 ? items[i].stream_count : 0;
        batch->event_count += items[i].row_count;
        batch->timer_count += items[i].timer_count;
        batch->done_count += items[i].timer_done_count;
    }
    bool fits = batch->event_count <= APPEND_ROWS_MAX && batch->inbox_count <= APPEND_ROWS_MAX &&
                batch->stream_count <= APPEND_ROWS_MAX && batch->timer_count <= APPEND_ROWS_MAX &&
                batch->done_count <= APPEND_ROWS_MAX;
    return fits ? STATUS_OK : STATUS_INVALID;
}

static enum status make_room(struct batch *batch, struct arena *arena)
{
    batch->inbox = arena_array(arena, batch->inbox_count + 1, sizeof(*batch->inbox));
    batch->keys = arena_array(arena, batch->key_count + 1, sizeof(*batch->keys));
    batch->streams = arena_array(arena, batch->stream_count + 1, sizeof(*batch->streams));
    batch->events = arena_array(arena, batch->event_count + 1, sizeof(*batch->events));
    batch->timers = arena_array(arena, batch->timer_count + 1, sizeof(*batch->timers));
    batch->done = arena_array(arena, batch->done_count + 1, sizeof(*batch->done));
    bool made = batch->inbox != NULL && batch->keys != NULL && batch->streams != NULL &&
                batch->events != NULL && batch->timers != NULL && batch->done != NULL;
    return made ? STATUS_OK : STATUS_NO_MEMORY;
}

// Rows of one stream are in version order, so its n-th row here gets expected version + n. before:
// a zeroed counter a stream of the item.
static void flatten_events(struct batch *batch, const struct append_item *item, int32_t index,
                           int32_t *before)
{
    struct event_ref *first = &batch->events[batch->event_count];
    for (size_t i = 0; i < item->row_count; i++) {
        const struct append_stream *stream = &item->streams[item->rows[i].stream];
        int32_t earlier = before[item->rows[i].stream]++;
        first[i] = (struct event_ref){
            .item = index,
            .head = earlier == 0,
            .version = stream->expected_version + earlier + 1,
            .stream = stream->id,
            .tenant = item->tenant,
            .category = stream->category,
            .row = &item->rows[i],
        };
        batch->head_count += earlier == 0;
    }
    batch->event_count += item->row_count;
}

static enum status flatten_item(struct batch *batch, const struct append_item *item, int32_t index,
                                struct arena *arena)
{
    int32_t *before = arena_array(arena, item->stream_count + 1, sizeof(*before));
    if (before == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < item->inbox_count; i++) {
        batch->inbox[batch->inbox_count++] =
            (struct inbox_ref){index, (int32_t)i, item->consumer, item->inbox[i]};
    }
    if (item->key != NULL) {
        batch->keys[batch->key_count++] = (struct key_ref){index, item->key};
    }
    for (size_t i = 0; item->row_count > 0 && i < item->stream_count; i++) {
        batch->streams[batch->stream_count++] = (struct stream_ref_of_item){
            index, (int32_t)i, item->stream_count > 1, &item->streams[i]};
    }
    flatten_events(batch, item, index, before);
    for (size_t i = 0; i < item->timer_count; i++) {
        batch->timers[batch->timer_count++] =
            (struct timer_ref){index, item->tenant, &item->timers[i]};
    }
    for (size_t i = 0; i < item->timer_done_count; i++) {
        batch->done[batch->done_count++] = (struct done_ref){index, item->timers_done[i]};
    }
    return STATUS_OK;
}

static int compare_inbox(const void *left, const void *right)
{
    const struct inbox_ref *a = left;
    const struct inbox_ref *b = right;
    int order = str_compare(a->consumer, b->consumer);
    order = order != 0 ? order : uuid_compare(a->id, b->id);
    return order != 0 ? order : a->item - b->item;
}

static int compare_keys(const void *left, const void *right)
{
    const struct key_ref *a = left;
    const struct key_ref *b = right;
    int order = uuid_compare(a->key->id, b->key->id);
    return order != 0 ? order : a->item - b->item;
}

static int compare_streams(const void *left, const void *right)
{
    const struct stream_ref_of_item *a = left;
    const struct stream_ref_of_item *b = right;
    return uuid_compare(a->stream->id, b->stream->id);
}

static int compare_events(const void *left, const void *right)
{
    const struct event_ref *a = left;
    const struct event_ref *b = right;
    if (a->head != b->head) {
        return a->head ? -1 : 1;
    }
    int order = uuid_compare(a->stream, b->stream);
    return order != 0 ? order : a->version - b->version;
}

static int compare_timers(const void *left, const void *right)
{
    const struct timer_ref *a = left;
    const struct timer_ref *b = right;
    return uuid_compare(a->timer->id, b->timer->id);
}

static int compare_done(const void *left, const void *right)
{
    const struct done_ref *a = left;
    const struct done_ref *b = right;
    return uuid_compare(a->id, b->id);
}

// False: a stream stands twice.
static bool sort_batch(struct batch *batch)
{
    qsort(batch->inbox, batch->inbox_count, sizeof(*batch->inbox), compare_inbox);
    qsort(batch->keys, batch->key_count, sizeof(*batch->keys), compare_keys);
    qsort(batch->streams, batch->stream_count, sizeof(*batch->streams), compare_streams);
    qsort(batch->events, batch->event_count, sizeof(*batch->events), compare_events);
    qsort(batch->timers, batch->timer_count, sizeof(*batch->timers), compare_timers);
    qsort(batch->done, batch->done_count, sizeof(*batch->done), compare_done);
    for (size_t i = 1; i < batch->stream_count; i++) {
        if (compare_streams(&batch->streams[i - 1], &batch->streams[i]) == 0) {
            return false;
        }
    }
    return true;
}

// One array parameter over `refs`: VALUE is made of each element, which is called `at`.
#define COLUMN(params, TYPE, ADD, refs, count, bytes, VALUE)             \
    do {                                                                 \
        struct binary_array array;                                       \
        binary_array_begin(&array, (params)->arena, TYPE, count, bytes); \
        for (size_t i = 0; i < (count); i++) {                           \
            const __typeof__((refs)[0]) *at = &(refs)[i];                \
            ADD(&array, VALUE);                                          \
        }                                                                \
        binary_param_array(params, &array);                              \
    } while (0)

static void add_inbox(struct binary_params *params, const struct inbox_ref *inbox, size_t count)
{
    COLUMN(params, OID_INT4, binary_array_int4, inbox, count, count * 4, at->item);
    COLUMN(params, OID_INT4, binary_array_int4, inbox, count, count * 4, at->index);
    COLUMN(params, OID_TEXT, binary_array_bytes, inbox, count, count * TEXT_GUESS, at->consumer);
    COLUMN(params, OID_UUID, binary_array_uuid, inbox, count, count * 16, at->id);
}

static struct uuid fingerprint(const struct append_key *key)
{
    struct uuid bytes;
    memcpy(bytes.bytes, key->fingerprint, sizeof(bytes.bytes));
    return bytes;
}

static void add_keys(struct binary_params *params, const struct key_ref *keys, size_t count)
{
    COLUMN(params, OID_INT4, binary_array_int4, keys, count, count * 4, at->item);
    COLUMN(params, OID_UUID, binary_array_uuid, keys, count, count * 16, at->key->id);
    COLUMN(params, OID_UUID, binary_array_uuid, keys, count, count * 16, fingerprint(at->key));
    COLUMN(params, OID_UUID, binary_array_uuid, keys, count, count * 16, at->key->stream);
    COLUMN(params, OID_INT4, binary_array_int4, keys, count, count * 4, at->key->version);
    COLUMN(params, OID_INT2, binary_array_int2, keys, count, count * 2, at->key->status);
}

static void add_streams(struct binary_params *params, const struct stream_ref_of_item *streams,
                        size_t count)
{
    COLUMN(params, OID_INT4, binary_array_int4, streams, count, count * 4, at->item);
    COLUMN(params, OID_INT4, binary_array_int4, streams, count, count * 4, at->index);
    COLUMN(params, OID_UUID, binary_array_uuid, streams, count, count * 16, at->stream->id);
    COLUMN(params, OID_INT4, binary_array_int4, streams, count, count * 4,
           at->stream->expected_version);
    COLUMN(params, OID_BOOL, binary_array_bool, streams, count, count, at->several);
}

static size_t data_bytes(const struct event_ref *events, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += events[i].row->data.len;
    }
    return bytes;
}

static size_t meta_bytes(const struct event_ref *events, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += events[i].row->meta.len;
    }
    return bytes;
}

static void add_events(struct binary_params *params, const struct event_ref *events, size_t count)
{
    size_t text = count * TEXT_GUESS;
    COLUMN(params, OID_INT4, binary_array_int4, events, count, count * 4, at->item);
    COLUMN(params, OID_BOOL, binary_array_bool, events, count, count, at->head);
    COLUMN(params, OID_UUID, binary_array_uuid, events, count, count * 16, at->stream);
    COLUMN(params, OID_INT4, binary_array_int4, events, count, count * 4, at->version);
    COLUMN(params, OID_UUID, binary_array_uuid, events, count, count * 16, at->row->id);
    COLUMN(params, OID_INT2, binary_array_int2, events, count, count * 2, at->row->schema_version);
    COLUMN(params, OID_TEXT, binary_array_bytes, events, count, text, at->tenant);
    COLUMN(params, OID_TEXT, binary_array_bytes, events, count, text, at->category);
    COLUMN(params, OID_TEXT, binary_array_bytes, events, count, text,
           str_from(kind_names[at->row->kind]));
    COLUMN(params, OID_TEXT, binary_array_bytes, events, count, text, at->row->type);
    COLUMN(params, OID_JSON, binary_array_bytes, events, count, data_bytes(events, count),
           at->row->data);
    COLUMN(params, OID_JSON, binary_array_bytes, events, count, meta_bytes(events, count),
           at->row->meta);
}

// Where each item's last event stands among the sorted ones, from 1; 0: it has none.
static void add_lasts(struct binary_params *params, const struct batch *batch, size_t count)
{
    int32_t *lasts = arena_array(params->arena, count, sizeof(*lasts));
    if (lasts == NULL) {
        params->status = STATUS_NO_MEMORY;
        return;
    }
    for (size_t i = 0; i < batch->event_count; i++) {
        lasts[batch->events[i].item] = (int32_t)i + 1;
    }
    COLUMN(params, OID_INT4, binary_array_int4, lasts, count, count * 4, *at);
}

static void add_timers(struct binary_params *params, const struct batch *batch)
{
    const struct timer_ref *timers = batch->timers;
    size_t count = batch->timer_count;
    COLUMN(params, OID_INT4, binary_array_int4, timers, count, count * 4, at->item);
    COLUMN(params, OID_UUID, binary_array_uuid, timers, count, count * 16, at->timer->id);
    COLUMN(params, OID_UUID, binary_array_uuid, timers, count, count * 16, at->timer->saga);
    COLUMN(params, OID_TIMESTAMPTZ, binary_array_instant, timers, count, count * 8, at->timer->due);
    COLUMN(params, OID_TEXT, binary_array_bytes, timers, count, count * TEXT_GUESS, at->tenant);
    COLUMN(params, OID_JSON, binary_array_bytes, timers, count, count * 64, at->timer->data);
    COLUMN(params, OID_INT4, binary_array_int4, batch->done, batch->done_count,
           batch->done_count * 4, at->item);
    COLUMN(params, OID_UUID, binary_array_uuid, batch->done, batch->done_count,
           batch->done_count * 16, at->id);
}

static void add_batch(struct binary_params *params, const struct batch *batch)
{
    binary_param_int4(params, (int32_t)batch->head_count);
    add_inbox(params, batch->inbox, batch->inbox_count);
    add_keys(params, batch->keys, batch->key_count);
    add_streams(params, batch->streams, batch->stream_count);
    add_events(params, batch->events, batch->event_count);
    add_timers(params, batch);
}

static const char append_sql[] =
    "select item, outcome, at_epoch, at_tx, at_position, conflict_stream, conflict_version,"
    " key_stream, key_version, key_status, handled"
    " from comanda.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,"
    " $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34,"
    " $35, $36, $37)";

static const Oid append_types[] = {
    OID_INT4_ARRAY, OID_INT4,       OID_INT4_ARRAY,        OID_INT4_ARRAY, OID_TEXT_ARRAY,
    OID_UUID_ARRAY, OID_INT4_ARRAY, OID_UUID_ARRAY,        OID_UUID_ARRAY, OID_UUID_ARRAY,
    OID_INT4_ARRAY, OID_INT2_ARRAY, OID_INT4_ARRAY,        OID_INT4_ARRAY, OID_UUID_ARRAY,
    OID_INT4_ARRAY, OID_BOOL_ARRAY, OID_INT4_ARRAY,        OID_BOOL_ARRAY, OID_UUID_ARRAY,
    OID_INT4_ARRAY, OID_UUID_ARRAY, OID_INT2_ARRAY,        OID_TEXT_ARRAY, OID_TEXT_ARRAY,
    OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_JSON_ARRAY,        OID_JSON_ARRAY, OID_INT4_ARRAY,
    OID_UUID_ARRAY, OID_UUID_ARRAY, OID_TIMESTAMPTZ_ARRAY, OID_TEXT_ARRAY, OID_JSON_ARRAY,
    OID_INT4_ARRAY, OID_UUID_ARRAY,
};

enum status statement_append(const struct append_item *items, size_t count, struct arena *arena,
                             struct statement *statement)
{
    struct batch batch;
    enum status status = count_parts(items, count, &batch);
    if (status == STATUS_OK) {
        status = make_room(&batch, arena);
    }
    if (status != STATUS_OK) {
        return status;
    }
    batch.inbox_count = batch.key_count = batch.stream_count = batch.event_count = 0;
    batch.timer_count = batch.done_count = 0;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = flatten_item(&batch, &items[i], (int32_t)i, arena);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!sort_batch(&batch)) {
        return STATUS_INVALID;
    }
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "append", append_sql, append_types);
    add_lasts(&params, &batch, count);
    add_batch(&params, &batch);
    return params.status;
}

enum status statement_append_warm_up(struct arena *arena, struct statement *statement)
{
    const struct batch none = {0};
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "append", append_sql, append_types);
    binary_param_null(&params); // says that it is one
    add_batch(&params, &none);
    return params.status;
}
