// SPDX-License-Identifier: Apache-2.0
// Handles a batch of messages without I/O: what commits together, and what became of it.
#include <assert.h>
#include <string.h>

#include "application/handler/handler_batch_parts.h"
#include "application/handler/state_cache.h"

enum { STATE_BYTES_MAX = 256 * 1024 };

_Static_assert((int)HANDLER_BATCH_MAX <= (int)APPEND_ITEMS_MAX, "each message may be an item");

// The streams that the decided messages of a group append to, each once.
static size_t list_item_streams(struct handler_batch *batch, const struct batch_group *group,
                                struct append_stream *streams)
{
    size_t count = 0;
    for (size_t at = 0; at < group->count; at++) {
        const struct batch_message *message = &batch->messages[group->messages[at]];
        for (size_t use = 0; message->phase == MESSAGE_DECIDED && use < message->declared_count;
             use++) {
            struct batch_stream *stream = &batch->streams[message->uses[use].stream];
            if (stream->appends && stream->item_at == NO_INDEX) {
                stream->item_at = (int32_t)count;
                streams[count++] = (struct append_stream){.id = stream->id,
                                                          .category = stream->category,
                                                          .expected_version = stream->committed};
            }
        }
    }
    return count;
}

static size_t count_item_uses(const struct handler_batch *batch, const struct batch_group *group)
{
    size_t count = 0;
    size_t decided = 0;
    for (size_t at = 0; at < group->count; at++) {
        const struct batch_message *message = &batch->messages[group->messages[at]];
        count += message->phase == MESSAGE_DECIDED ? message->declared_count : 0;
        decided += message->phase == MESSAGE_DECIDED;
    }
    assert(decided == group->decided_count);
    return count;
}

static void forget_item_streams(struct handler_batch *batch)
{
    for (size_t at = 0; at < batch->stream_count; at++) {
        batch->streams[at].item_at = NO_INDEX;
    }
}

// Inbox ids stand in the order of the group's decided messages.
static size_t list_inbox(const struct handler_batch *batch, const struct batch_group *group,
                         struct uuid *inbox)
{
    size_t count = 0;
    for (size_t at = 0; at < group->count; at++) {
        const struct batch_message *message = &batch->messages[group->messages[at]];
        if (message->phase == MESSAGE_DECIDED && !message->incoming.is_timer) {
            inbox[count++] = message->incoming.id;
        }
    }
    return count;
}

static enum status build_item(struct handler_batch *batch, const struct batch_group *group,
                              struct append_item *item)
{
    size_t uses = count_item_uses(batch, group);
    struct append_stream *streams = arena_array(batch->arena, uses, sizeof(*streams));
    struct append_row *rows = arena_array(batch->arena, group->row_count, sizeof(*rows));
    struct uuid *inbox = arena_array(batch->arena, group->decided_count, sizeof(*inbox));
    if (streams == NULL || rows == NULL || inbox == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t stream_count = list_item_streams(batch, group, streams);
    for (size_t at = 0; at < group->row_count; at++) {
        rows[at] = group->rows[at];
        rows[at].stream = (size_t)batch->streams[group->rows[at].stream].item_at;
    }
    *item = (struct append_item){.tenant = batch->messages[group->messages[0]].incoming.tenant,
                                 .streams = streams,
                                 .stream_count = stream_count,
                                 .rows = rows,
                                 .row_count = group->row_count,
                                 .consumer = batch->handler->consumer,
                                 .inbox = inbox,
                                 .inbox_count = list_inbox(batch, group, inbox),
                                 .timers = group->timers,
                                 .timer_count = group->timer_count,
                                 .timers_done = group->timers_done,
                                 .timer_done_count = group->timer_done_count};
    return STATUS_OK;
}

enum status handler_batch_build_items(struct handler_batch *batch)
{
    batch->item_count = 0;
    forget_item_streams(batch);
    for (size_t at = 0; at < batch->group_count; at++) {
        // Nothing pending, yet decided: the batch has failed.
        if (batch->groups[at].decided_count == 0 || batch->groups[at].pending == 0) {
            continue;
        }
        enum status status =
            build_item(batch, &batch->groups[at], &batch->items[batch->item_count]);
        if (status != STATUS_OK) {
            return status;
        }
        batch->item_groups[batch->item_count++] = (int32_t)at;
    }
    return STATUS_OK;
}

// --- what became of an item

static void forget_item(struct batch_group *group)
{
    group->decided_count = 0;
    group->row_count = 0;
    group->timer_count = 0;
    group->timer_done_count = 0;
}

static void unload(struct batch_stream *stream)
{
    stream->loaded = false;
    stream->reading = false;
    stream->version = 0;
    stream->committed = 0;
    stream->fault = (struct str){NULL, 0};
    stream->not_ours = false;
}

void handler_batch_reset_group(struct handler_batch *batch, struct batch_group *group)
{
    for (size_t at = 0; at < group->count; at++) {
        struct batch_message *message = &batch->messages[group->messages[at]];
        if (message->phase == MESSAGE_DECIDED) {
            message->phase = MESSAGE_PENDING;
        }
        for (size_t use = 0; message->phase == MESSAGE_PENDING && use < message->declared_count;
             use++) {
            unload(&batch->streams[message->uses[use].stream]);
        }
    }
    forget_item(group);
    group->next = 0;
}

bool handler_batch_encode_state(struct handler_batch *batch, const struct batch_stream *stream,
                                struct str *state)
{
    struct buffer buffer;
    const struct batch_view *view = &stream->views[0];
    if (stream->view_count != 1 || view->foreign || view->fold->encode == NULL ||
        view->fold->decode == NULL) {
        return false;
    }
    buffer_init(&buffer, batch->arena, STATE_BYTES_MAX);
    if (view->fold->encode(view->state, &buffer) != STATUS_OK || buffer.status != STATUS_OK) {
        return false;
    }
    *state = buffer_view(&buffer);
    return true;
}

// True when another n events have been passed.
static bool is_snapshot_due(const struct handler_batch *batch, const struct batch_stream *stream)
{
    int32_t every = (int32_t)batch->limits.snapshot_every;
    return every > 0 && stream->version / every != stream->committed / every;
}

static void keep_state(struct handler_batch *batch, struct batch_stream *stream)
{
    struct str state;
    bool due = is_snapshot_due(batch, stream);
    bool known = batch->cache == NULL || stream->cached == stream->version;
    if (stream->fault.data != NULL || (!due && known) ||
        !handler_batch_encode_state(batch, stream, &state)) {
        return;
    }
    struct str owner = handler_batch_owner(batch, stream);
    struct str owned = arena_printf(batch->arena, "%.*s%.*s", STR_FMT(owner), STR_FMT(state));
    if (batch->cache != NULL && owner.data != NULL && owned.data != NULL) {
        state_cache_put(batch->cache, stream->id, stream->version, owned);
        stream->cached = stream->version;
    }
    if (due && batch->snapshot_count < batch->stream_count) {
        batch->snapshots[batch->snapshot_count++] =
            (struct snapshot){.stream = stream->id,
                              .kind = SNAPSHOT_STATE,
                              .codec = stream->views[0].fold->version,
                              .version = stream->version,
                              .event = stream->last,
                              .bytes = state};
    }
}

static void take_appended(struct handler_batch *batch, struct batch_group *group)
{
    for (size_t at = 0; at < batch->stream_count; at++) {
        struct batch_stream *stream = &batch->streams[at];
        if (&batch->groups[stream->group] == group && stream->item_at != NO_INDEX) {
            keep_state(batch, stream);
            stream->committed = stream->version;
        }
    }
    for (size_t at = 0; at < group->count; at++) {
        struct batch_message *message = &batch->messages[group->messages[at]];
        if (message->phase == MESSAGE_DECIDED) {
            handler_batch_finish(batch, message, MESSAGE_HANDLED, STR(""));
        }
    }
    forget_item(group);
    group->losses = 0;
}

// What a stream was taken for is wrong: what was hoped to be new may exist.
static void take_conflict(struct handler_batch *batch, struct batch_group *group)
{
    for (size_t at = 0; at < batch->stream_count; at++) {
        struct batch_stream *stream = &batch->streams[at];
        if (&batch->groups[stream->group] == group && stream->item_at != NO_INDEX) {
            stream->is_new = false;
            if (batch->cache != NULL) {
                state_cache_drop(batch->cache, stream->id);
            }
        }
    }
    handler_batch_lose(batch, group);
}

static void take_already_handled(struct handler_batch *batch, struct batch_group *group,
                                 const bool *handled)
{
    size_t inbox = 0;
    bool any = false;
    for (size_t at = 0; at < group->count; at++) {
        struct batch_message *message = &batch->messages[group->messages[at]];
        if (message->phase != MESSAGE_DECIDED || message->incoming.is_timer) {
            continue;
        }
        if (handled[inbox++]) {
            message->label = STR("repeated");
            handler_batch_finish(batch, message, MESSAGE_HANDLED, STR(""));
            any = true;
        }
    }
    if (any) {
        handler_batch_reset_group(batch, group);
    } else {
        handler_batch_lose(batch, group);
    }
}

// Halves what was appended until the bad message stands alone; then the others go on together.
static void take_refused(struct handler_batch *batch, struct batch_group *group, struct str cause)
{
    size_t decided = group->decided_count;
    if (decided > 1) {
        group->take_max = decided / 2;
        handler_batch_reset_group(batch, group);
        return;
    }
    for (size_t at = 0; at < group->count; at++) {
        struct batch_message *message = &batch->messages[group->messages[at]];
        if (message->phase == MESSAGE_DECIDED) {
            handler_batch_finish(batch, message, MESSAGE_TRANSIENT,
                                 cause.len > 0 ? cause : STR("the log refuses what it leads to"));
        }
    }
    group->take_max = SIZE_MAX;
    handler_batch_reset_group(batch, group);
}

static void take_verdict(struct handler_batch *batch, struct batch_group *group,
                         const struct append_verdict *verdict)
{
    switch (verdict->outcome) {
    case APPENDED:
        take_appended(batch, group);
        return;
    case VERSION_CONFLICT:
        take_conflict(batch, group);
        return;
    case ALREADY_HANDLED:
        take_already_handled(batch, group, verdict->inbox_handled);
        return;
    case ITEM_REFUSED:
        take_refused(batch, group, verdict->cause);
        return;
    case APPEND_AGAIN:
    case DUPLICATE: // items without a key cannot be either
    case KEY_REUSED:
        handler_batch_lose(batch, group);
        return;
    }
}

void handler_batch_take_verdicts(struct handler_batch *batch, const struct append_verdict *verdicts)
{
    for (size_t at = 0; at < batch->item_count; at++) {
        take_verdict(batch, &batch->groups[batch->item_groups[at]], &verdicts[at]);
    }
    batch->item_count = 0;
    batch->rows_decided = 0;
}
