// SPDX-License-Identifier: Apache-2.0
// Handles a batch of messages without I/O: what a group does that was overtaken at its append.
//
// Who loses, rests: two that try again at once only lose to each other again. The pause is of the
// group alone, so that whoever shares the batch with it does not feel it.
#include "application/handler/handler_batch_parts.h"
#include "base/backoff.h"

bool handler_batch_rests(const struct handler_batch *batch, const struct batch_group *group)
{
    return group->resume_at_ms > batch->now_ms;
}

void handler_batch_lose(struct handler_batch *batch, struct batch_group *group)
{
    handler_batch_reset_group(batch, group);
    group->losses++;
    group->lost = true;
}

// Of what it has in hand, so that two that lose to each other rest for different times, and the
// same batch always for the same.
static uint32_t jitter_of(const struct handler_batch *batch, const struct batch_group *group)
{
    struct uuid id = batch->messages[group->messages[0]].incoming.id;
    uint64_t hash = str_hash((struct str){(const char *)id.bytes, sizeof(id.bytes)});
    hash = (hash ^ (uint64_t)(uint32_t)group->losses) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 32);
}

static void rest(const struct handler_batch *batch, struct batch_group *group)
{
    struct backoff backoff = {HANDLER_PAUSE_FIRST_MS, HANDLER_PAUSE_MAX_MS, group->losses - 1};
    int64_t end_ms = group->losing_since_ms + batch->limits.contention_ms;
    group->resume_at_ms = batch->now_ms + backoff_next_ms(&backoff, jitter_of(batch, group));
    group->resume_at_ms = group->resume_at_ms > end_ms ? end_ms : group->resume_at_ms;
}

static void give_up(struct handler_batch *batch, struct batch_group *group)
{
    for (size_t at = 0; at < group->count; at++) {
        struct batch_message *message = &batch->messages[group->messages[at]];
        if (message->phase == MESSAGE_PENDING) {
            handler_batch_finish(batch, message, MESSAGE_TRANSIENT,
                                 STR("others wrote to its streams each time it was decided"));
        }
    }
}

void handler_batch_rest_losers(struct handler_batch *batch)
{
    for (size_t at = 0; at < batch->group_count; at++) {
        struct batch_group *group = &batch->groups[at];
        if (!group->lost) {
            continue;
        }
        group->lost = false;
        group->losing_since_ms = group->losses == 1 ? batch->now_ms : group->losing_since_ms;
        if (batch->now_ms - group->losing_since_ms >= batch->limits.contention_ms) {
            give_up(batch, group);
        } else {
            rest(batch, group);
        }
    }
}

int handler_batch_pause_ms(const struct handler_batch *batch)
{
    int64_t pause_ms = 0;
    for (size_t at = 0; at < batch->group_count; at++) {
        const struct batch_group *group = &batch->groups[at];
        int64_t left_ms = group->resume_at_ms - batch->now_ms;
        if (group->pending > 0 && left_ms > 0 && (pause_ms == 0 || left_ms < pause_ms)) {
            pause_ms = left_ms;
        }
    }
    return (int)pause_ms;
}
