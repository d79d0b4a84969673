// SPDX-License-Identifier: Apache-2.0
// Handles a batch of messages without I/O: which messages belong together, and on what they work.
#include <string.h>

#include "application/handler/handler_batch_parts.h"

// Ids of a batch → index; open addressing, never full.
struct id_table {
    struct id_slot {
        struct uuid id;
        int32_t group;
        int32_t index; // NO_INDEX: free
    } * slots;
    size_t mask;
};

static enum status table_init(struct id_table *table, struct arena *arena, size_t entries)
{
    size_t size = 16;
    while (size < entries * 2) {
        size *= 2;
    }
    table->slots = arena_array(arena, size, sizeof(*table->slots));
    if (table->slots == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < size; at++) {
        table->slots[at].index = NO_INDEX;
    }
    table->mask = size - 1;
    return STATUS_OK;
}

// The slot of (id, group), taken by `index` when it was free.
static int32_t table_put(struct id_table *table, struct uuid id, int32_t group, int32_t index)
{
    uint64_t hash = str_hash((struct str){(const char *)id.bytes, sizeof(id.bytes)});
    size_t at = (size_t)(hash + (uint64_t)(uint32_t)group * 0x9e3779b97f4a7c15u) & table->mask;
    while (table->slots[at].index != NO_INDEX) {
        if (table->slots[at].group == group && uuid_eq(table->slots[at].id, id)) {
            return table->slots[at].index;
        }
        at = (at + 1) & table->mask;
    }
    table->slots[at] = (struct id_slot){id, group, index};
    return index;
}

static bool is_pending(const struct batch_message *message)
{
    return message->phase == MESSAGE_PENDING;
}

static enum status find_twins(struct handler_batch *batch)
{
    struct id_table ids;
    enum status status = table_init(&ids, batch->arena, batch->count);
    for (size_t at = 0; at < batch->count && status == STATUS_OK; at++) {
        struct batch_message *message = &batch->messages[at];
        int32_t first =
            table_put(&ids, message->incoming.id, message->incoming.is_timer ? 1 : 0, (int32_t)at);
        message->twin = first == (int32_t)at ? NO_INDEX : first;
        message->phase = message->twin == NO_INDEX ? MESSAGE_PENDING : MESSAGE_DONE;
    }
    return status;
}

static struct str cause_of(enum status status, struct str cause)
{
    return cause.len > 0 ? cause : str_from(status_text(status));
}

static enum status keep_declared(struct handler_batch *batch, struct batch_message *message,
                                 const struct handler_streams *asked)
{
    message->declared = arena_array(batch->arena, asked->count, sizeof(*message->declared));
    if (message->declared == NULL) {
        return STATUS_NO_MEMORY;
    }
    memcpy(message->declared, asked->items, asked->count * sizeof(*message->declared));
    message->declared_count = asked->count;
    message->incoming.plan = asked->plan;
    return STATUS_OK;
}

// Asks the handler what the message works on. What cannot be read is poison and leaves the batch.
static void declare(struct handler_batch *batch, struct batch_message *message)
{
    struct str cause = STR("");
    struct handler_streams *asked = batch->asked_streams;
    asked->count = 0;
    asked->plan = NULL;
    enum status status = batch->handler->ops->streams(batch->handler, &message->incoming,
                                                      batch->arena, asked, &cause);
    if (status == STATUS_OK && asked->count > REACTION_STREAMS_MAX) {
        status = STATUS_INVALID;
    }
    if (status == STATUS_OK) {
        status = keep_declared(batch, message, asked);
    }
    if (status != STATUS_OK) {
        bool transient = status == STATUS_NO_MEMORY;
        handler_batch_finish(batch, message, transient ? MESSAGE_TRANSIENT : MESSAGE_POISON,
                             cause_of(status, cause));
        return;
    }
}

static size_t count_uses(const struct handler_batch *batch)
{
    size_t uses = 0;
    for (size_t at = 0; at < batch->count; at++) {
        const struct batch_message *message = &batch->messages[at];
        uses += is_pending(message) ? message->declared_count : 0;
    }
    return uses;
}

// --- union of messages that append to a common stream

static int32_t root_of(int32_t *parents, int32_t at)
{
    while (parents[at] != at) {
        parents[at] = parents[parents[at]];
        at = parents[at];
    }
    return at;
}

static void unite_by_streams(struct handler_batch *batch, struct id_table *owners, int32_t *parents)
{
    for (size_t at = 0; at < batch->count; at++) {
        const struct batch_message *message = &batch->messages[at];
        for (size_t use = 0; is_pending(message) && use < message->declared_count; use++) {
            const struct handler_stream *stream = &message->declared[use];
            if (stream->use == STREAM_APPEND) {
                int32_t owner = table_put(owners, stream->id, 0, (int32_t)at);
                // The older root wins, so that groups stand in the order of their first message.
                int32_t left = root_of(parents, owner);
                int32_t right = root_of(parents, (int32_t)at);
                parents[left > right ? left : right] = left > right ? right : left;
            }
        }
    }
}

static void number_groups(struct handler_batch *batch, int32_t *parents)
{
    for (size_t at = 0; at < batch->count; at++) {
        struct batch_message *message = &batch->messages[at];
        if (!is_pending(message)) {
            continue;
        }
        int32_t root = root_of(parents, (int32_t)at);
        message->group =
            root == (int32_t)at ? (int32_t)batch->group_count++ : batch->messages[root].group;
        batch->groups[message->group].count++;
    }
}

static enum status fill_groups(struct handler_batch *batch)
{
    for (size_t at = 0; at < batch->group_count; at++) {
        struct batch_group *group = &batch->groups[at];
        group->messages = arena_array(batch->arena, group->count, sizeof(*group->messages));
        if (group->messages == NULL) {
            return STATUS_NO_MEMORY;
        }
        group->take_max = SIZE_MAX;
        group->count = 0;
    }
    for (size_t at = 0; at < batch->count; at++) {
        if (is_pending(&batch->messages[at])) {
            struct batch_group *group = &batch->groups[batch->messages[at].group];
            group->messages[group->count++] = (int32_t)at;
            group->pending++;
        }
    }
    return STATUS_OK;
}

static enum status part_into_groups(struct handler_batch *batch, size_t uses)
{
    struct id_table owners;
    int32_t *parents = arena_array(batch->arena, batch->count, sizeof(*parents));
    batch->groups = arena_array(batch->arena, batch->count, sizeof(*batch->groups));
    enum status status = table_init(&owners, batch->arena, uses);
    if (parents == NULL || batch->groups == NULL || status != STATUS_OK) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < batch->count; at++) {
        parents[at] = (int32_t)at;
    }
    unite_by_streams(batch, &owners, parents);
    number_groups(batch, parents);
    return fill_groups(batch);
}

// --- the streams of each group

static int32_t view_of(struct batch_stream *stream, const struct handler_stream *declared)
{
    if (declared->fold == NULL) {
        return NO_INDEX;
    }
    for (size_t at = 0; at < stream->view_count; at++) {
        if (stream->views[at].fold == declared->fold) {
            return (int32_t)at;
        }
    }
    if (stream->view_count == STREAM_VIEWS_MAX) {
        return STREAM_VIEWS_MAX;
    }
    stream->views[stream->view_count] =
        (struct batch_view){.fold = declared->fold, .foreign = declared->foreign};
    return (int32_t)stream->view_count++;
}

static int32_t stream_of(struct handler_batch *batch, struct id_table *known, int32_t group,
                         const struct handler_stream *declared)
{
    int32_t next = (int32_t)batch->stream_count;
    int32_t at = table_put(known, declared->id, group, next);
    struct batch_stream *stream = &batch->streams[at];
    if (at == next) {
        batch->stream_count++;
        *stream = (struct batch_stream){
            .id = declared->id, .category = declared->category, .group = group, .is_new = true};
    }
    stream->appends = stream->appends || declared->use == STREAM_APPEND;
    stream->is_new = stream->is_new && declared->is_new;
    return at;
}

static void list_uses(struct handler_batch *batch, struct id_table *known,
                      struct batch_message *message)
{
    for (size_t at = 0; at < message->declared_count; at++) {
        const struct handler_stream *declared = &message->declared[at];
        int32_t stream = stream_of(batch, known, message->group, declared);
        int32_t view = view_of(&batch->streams[stream], declared);
        if (view == STREAM_VIEWS_MAX) {
            handler_batch_finish(batch, message, MESSAGE_POISON,
                                 STR("one stream is read in more than two ways"));
            return;
        }
        message->uses[at] = (struct stream_use_of){.stream = stream, .view = view};
    }
}

static enum status list_streams(struct handler_batch *batch, size_t uses)
{
    struct id_table known;
    enum status status = table_init(&known, batch->arena, uses);
    batch->streams = arena_array(batch->arena, uses, sizeof(*batch->streams));
    struct stream_use_of *room = arena_array(batch->arena, uses, sizeof(*room));
    if (batch->streams == NULL || room == NULL || status != STATUS_OK) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < batch->count; at++) {
        struct batch_message *message = &batch->messages[at];
        if (is_pending(message)) {
            message->uses = room;
            room += message->declared_count;
            list_uses(batch, &known, message);
        }
    }
    return STATUS_OK;
}

// An item has one tenant.
static void refuse_foreign_tenants(struct handler_batch *batch)
{
    for (size_t at = 0; at < batch->count; at++) {
        struct batch_message *message = &batch->messages[at];
        if (!is_pending(message)) {
            continue;
        }
        const struct batch_group *group = &batch->groups[message->group];
        const struct batch_message *first = &batch->messages[group->messages[0]];
        if (!str_eq(first->incoming.tenant, message->incoming.tenant)) {
            handler_batch_finish(batch, message, MESSAGE_POISON,
                                 STR("tenant: another one than that of the stream's messages"));
        }
    }
}

enum status handler_batch_group(struct handler_batch *batch)
{
    enum status status = find_twins(batch);
    for (size_t at = 0; at < batch->count && status == STATUS_OK; at++) {
        if (is_pending(&batch->messages[at])) {
            declare(batch, &batch->messages[at]);
        }
    }
    size_t uses = status == STATUS_OK ? count_uses(batch) : 0;
    status = status == STATUS_OK ? part_into_groups(batch, uses) : status;
    status = status == STATUS_OK ? list_streams(batch, uses) : status;
    if (status == STATUS_OK) {
        refuse_foreign_tenants(batch);
    }
    return status;
}
