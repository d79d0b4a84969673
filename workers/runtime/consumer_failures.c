// SPDX-License-Identifier: Apache-2.0
// What a batch's failed messages become: copies in the delay queues or among the dead letters.
#include "application/handler/failure_ladder.h"
#include "infrastructure/telemetry/log.h"
#include "runtime/consumer_parts.h"

enum { PUBLISH_TIMEOUT_MS = 10000 };

static void log_failure(const struct consumer_loop *loop, const struct consumer_batch *batch,
                        size_t at, const struct message *copy, bool dead)
{
    char id[UUID_TEXT_LEN];
    uuid_format(batch->messages[at].id, id);
    log_line(dead ? LOG_ERROR : LOG_WARNING,
             dead ? "a message goes to the dead letters" : "a message will be tried again",
             log_text("queue", loop->consumer->queue),
             log_str("message_id", (struct str){id, sizeof(id)}),
             log_str("correlation_id", batch->incoming[at].correlation_id),
             log_str("type", batch->incoming[at].type), log_int("attempts", copy->attempts.count),
             log_str("cause", copy->attempts.cause));
}

static bool list_copies(struct consumer_loop *loop, const struct consumer_batch *batch,
                        struct consumer_copies *copies)
{
    for (size_t at = 0; at < batch->count; at++) {
        const struct message_result *result = &batch->results[at];
        struct message *copy = &copies->messages[copies->count];
        bool dead = false;
        if (!batch->settled[at] || result->outcome == MESSAGE_HANDLED) {
            continue;
        }
        if (failure_ladder_copy(loop->queue, &batch->messages[at], result->outcome, result->cause,
                                runtime_now(), &loop->received, copy, &dead) != STATUS_OK) {
            return false;
        }
        log_failure(loop, batch, at, copy, dead);
        consumer_metrics_failed(&loop->metrics, dead);
        copies->at[copies->count++] = at;
    }
    return true;
}

bool consumer_copies_make(struct consumer_loop *loop, const struct consumer_batch *batch,
                          struct consumer_copies *copies)
{
    struct arena *arena = &loop->received;
    *copies = (struct consumer_copies){
        .messages = arena_array(arena, batch->count, sizeof(*copies->messages)),
        .at = arena_array(arena, batch->count, sizeof(*copies->at)),
        .outcomes = arena_array(arena, batch->count, sizeof(*copies->outcomes))};
    bool made = copies->messages != NULL && copies->at != NULL && copies->outcomes != NULL &&
                list_copies(loop, batch, copies);
    copies->count = made ? copies->count : 0;
    return made;
}

// Each for itself: one that is refused for an hour would else have the others copied each time.
static void keep_unsettled(struct consumer_batch *batch, struct consumer_copies *copies)
{
    size_t kept = 0;
    for (size_t each = 0; each < copies->count; each++) {
        if (copies->outcomes[each] == PUBLISHED) {
            batch->climbed[copies->at[each]] = true;
        } else {
            copies->messages[kept] = copies->messages[each];
            copies->at[kept++] = copies->at[each];
        }
    }
    copies->count = kept;
}

void consumer_copies_publish(struct consumer_loop *loop, struct consumer_batch *batch,
                             struct consumer_copies *copies)
{
    enum status status = message_bus_publish(loop->consumer->bus, copies->messages, copies->count,
                                             PUBLISH_TIMEOUT_MS, copies->outcomes);
    keep_unsettled(batch, copies);
    if (copies->count > 0) {
        consumer_note_bus(loop, status == STATUS_OK ? STATUS_REFUSED : status);
        log_line(LOG_WARNING, "the failure ladder does not take messages now",
                 log_text("queue", loop->consumer->queue),
                 log_int("messages", (int64_t)copies->count),
                 log_text("cause", status == STATUS_OK
                                       ? "returned or refused: a queue of it is full or missing"
                                       : status_text(status)));
    }
}
