// SPDX-License-Identifier: Apache-2.0
// Handles a batch of messages without I/O: the messages of a group one after another on its states.
#include <string.h>

#include "application/handler/handler_batch_parts.h"

// What the handler gets to see of a message's streams.
struct seen {
    void *states[REACTION_STREAMS_MAX];
    int32_t versions[REACTION_STREAMS_MAX];
    struct str fault; // of a stream that cannot be read
    bool not_ours;    // one that it would append to is another's
};

static void look(const struct handler_batch *batch, const struct batch_message *message,
                 struct seen *seen)
{
    seen->fault = (struct str){NULL, 0};
    seen->not_ours = false;
    for (size_t at = 0; at < message->declared_count; at++) {
        struct stream_use_of use = message->uses[at];
        const struct batch_stream *stream = &batch->streams[use.stream];
        seen->states[at] = use.view == NO_INDEX ? NULL : stream->views[use.view].state;
        seen->versions[at] = stream->version;
        seen->fault = stream->fault.data != NULL ? stream->fault : seen->fault;
        seen->not_ours |= stream->not_ours && stream->appends;
    }
}

static bool same_request(const struct effect_request *left, const struct effect_request *right)
{
    return str_eq(left->operation, right->operation) && str_eq(left->key, right->key) &&
           str_eq(left->body, right->body);
}

// True: the message has to wait for an answer from outside. An answer is good for every round that
// asks the same.
static bool has_to_ask(struct handler_batch *batch, struct batch_message *message,
                       const struct seen *seen, struct effect_answer *answer)
{
    struct effect_request request = {.operation = STR("")};
    *answer = (struct effect_answer){.outcome = EFFECT_NOT_ASKED};
    if (batch->handler->ops->effect == NULL ||
        !batch->handler->ops->effect(batch->handler, &message->incoming, seen->states,
                                     seen->versions, batch->arena, &request)) {
        return false;
    }
    if (message->answered && same_request(&message->asked, &request)) {
        *answer = message->answer;
        return false;
    }
    message->answered = false;
    message->asked = request;
    batch->effect_messages[batch->effect_count] = (int32_t)(message - batch->messages);
    batch->effects[batch->effect_count++] = request;
    return true;
}

// Room for more elements of an array in the arena; the old one stays until the batch ends.
static enum status make_room(struct arena *arena, void **array, size_t count, size_t *room,
                             size_t more, size_t size)
{
    if (count + more <= *room) {
        return STATUS_OK;
    }
    size_t wanted = (count + more) * 2;
    void *grown = arena_array(arena, wanted, size);
    if (grown == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (count > 0) {
        memcpy(grown, *array, count * size);
    }
    *array = grown;
    *room = wanted;
    return STATUS_OK;
}

static enum status make_group_room(struct handler_batch *batch, struct batch_group *group,
                                   const struct reaction *reaction)
{
    void *rows = group->rows;
    void *timers = group->timers;
    void *done = group->timers_done;
    enum status status = make_room(batch->arena, &rows, group->row_count, &group->row_room,
                                   reaction->row_count, sizeof(*group->rows));
    if (status == STATUS_OK) {
        status = make_room(batch->arena, &timers, group->timer_count, &group->timer_room,
                           reaction->timer_count, sizeof(*group->timers));
    }
    if (status == STATUS_OK) {
        status = make_room(batch->arena, &done, group->timer_done_count, &group->timer_done_room,
                           reaction->timer_done_count + 1, sizeof(*group->timers_done));
    }
    group->rows = rows;
    group->timers = timers;
    group->timers_done = done;
    return status;
}

static bool is_within(const struct batch_message *message, const struct reaction *reaction)
{
    if (reaction->row_count > REACTION_ROWS_MAX) {
        return false;
    }
    for (size_t at = 0; at < reaction->row_count; at++) {
        size_t stream = reaction->rows[at].stream;
        if (stream >= message->declared_count || message->declared[stream].use != STREAM_APPEND) {
            return false;
        }
    }
    return true;
}

// A row on top of the group's states, so that the next message sees it.
static void apply_row(struct handler_batch *batch, struct batch_stream *stream,
                      const struct reaction_row *row, instant_us now)
{
    stream->version++;
    stream->last = row->id;
    struct event_view event = {.stream = stream->id,
                               .version = stream->version,
                               .id = row->id,
                               .type = row->type,
                               .schema_version = row->schema_version,
                               .data = row->data,
                               .recorded_at = now};
    for (size_t at = 0; at < stream->view_count; at++) {
        const struct batch_view *view = &stream->views[at];
        if (view->fold->evolve(view->state, &event, batch->arena) != STATUS_OK) {
            stream->fault = STR("an event decided in this batch could not be applied");
        }
    }
}

static void add_timers(struct batch_group *group, const struct batch_message *message,
                       const struct reaction *reaction)
{
    for (size_t at = 0; at < reaction->timer_count; at++) {
        group->timers[group->timer_count++] = reaction->timers[at];
    }
    bool named = false;
    for (size_t at = 0; at < reaction->timer_done_count; at++) {
        named = named || uuid_eq(reaction->timers_done[at], message->incoming.id);
        group->timers_done[group->timer_done_count++] = reaction->timers_done[at];
    }
    if (message->incoming.is_timer && !named) {
        group->timers_done[group->timer_done_count++] = message->incoming.id;
    }
}

static void apply(struct handler_batch *batch, struct batch_group *group,
                  struct batch_message *message, const struct reaction *reaction)
{
    for (size_t at = 0; at < reaction->row_count; at++) {
        const struct reaction_row *row = &reaction->rows[at];
        int32_t stream = message->uses[row->stream].stream;
        group->rows[group->row_count++] =
            (struct append_row){.stream = (size_t)stream, // the item's own index comes later
                                .id = row->id,
                                .kind = row->kind,
                                .type = row->type,
                                .schema_version = row->schema_version,
                                .data = row->data,
                                .meta = row->meta};
        apply_row(batch, &batch->streams[stream], row, message->incoming.now);
    }
    add_timers(group, message, reaction);
    message->phase = MESSAGE_DECIDED;
    message->label = reaction->label;
    group->decided_count++;
    batch->rows_decided += reaction->row_count;
}

static struct str cause_or(struct str cause, struct str otherwise)
{
    return cause.len > 0 ? cause : otherwise;
}

static void react(struct handler_batch *batch, struct batch_group *group,
                  struct batch_message *message, const struct seen *seen,
                  const struct effect_answer *answer)
{
    struct str cause = STR("");
    struct reaction *reaction = arena_alloc(batch->arena, sizeof(*reaction));
    enum status status =
        reaction == NULL
            ? STATUS_NO_MEMORY
            : batch->handler->ops->react(batch->handler, &message->incoming, seen->states,
                                         seen->versions, answer, batch->arena, reaction, &cause);
    if (status == STATUS_OK && !is_within(message, reaction)) {
        status = STATUS_INVALID;
        cause = STR("the handler wants to write where it only reads");
    }
    if (status == STATUS_OK) {
        status = make_group_room(batch, group, reaction);
    }
    if (status != STATUS_OK) {
        bool transient = status != STATUS_MALFORMED && status != STATUS_INVALID;
        handler_batch_finish(batch, message, transient ? MESSAGE_TRANSIENT : MESSAGE_POISON,
                             cause_or(cause, str_from(status_text(status))));
        return;
    }
    apply(batch, group, message, reaction);
}

static bool may_decide_more(const struct handler_batch *batch, const struct batch_group *group)
{
    bool first = batch->rows_decided == 0; // one alone always fits
    return group->next < group->count && group->decided_count < group->take_max &&
           (first || batch->rows_decided + REACTION_ROWS_MAX <= batch->limits.append_rows_max);
}

static void decide_group(struct handler_batch *batch, struct batch_group *group)
{
    struct seen seen;
    struct effect_answer answer;
    group->waiting = false;
    while (may_decide_more(batch, group)) {
        struct batch_message *message = &batch->messages[group->messages[group->next]];
        if (message->phase == MESSAGE_PENDING) {
            look(batch, message, &seen);
            if (seen.not_ours) {
                handler_batch_finish(batch, message, MESSAGE_POISON,
                                     STR("a stream that it names is another tenant's, or another"
                                         " kind of thing's"));
            } else if (seen.fault.data != NULL) {
                handler_batch_finish(batch, message, MESSAGE_TRANSIENT, seen.fault);
            } else if (has_to_ask(batch, message, &seen, &answer)) {
                group->waiting = true;
                return;
            } else {
                react(batch, group, message, &seen, &answer);
            }
        }
        group->next++;
    }
}

void handler_batch_decide(struct handler_batch *batch)
{
    batch->effect_count = 0;
    for (size_t at = 0; at < batch->group_count; at++) {
        struct batch_group *group = &batch->groups[at];
        if (group->pending > 0 && !handler_batch_rests(batch, group)) {
            decide_group(batch, group);
        }
    }
}
