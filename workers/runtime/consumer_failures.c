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

// False: no memory; nothing may be acknowledged then but what was handled.
static bool list_copies(struct consumer_loop *loop, const struct consumer_batch *batch,
                        struct message *copies, size_t *count)
{
    for (size_t at = 0; at < batch->count; at++) {
        const struct message_result *result = &batch->results[at];
        bool dead = false;
        if (!batch->settled[at] || result->outcome == MESSAGE_HANDLED) {
            continue;
        }
        if (failure_ladder_copy(loop->queue, &batch->messages[at], result->outcome, result->cause,
                                runtime_now(), &loop->received, &copies[*count],
                                &dead) != STATUS_OK) {
            return false;
        }
        log_failure(loop, batch, at, &copies[*count], dead);
        consumer_metrics_failed(&loop->metrics, dead);
        *count += 1;
    }
    return true;
}

static bool all_published(const enum publish_outcome *outcomes, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        if (outcomes[at] != PUBLISHED) {
            return false;
        }
    }
    return true;
}

// Copies first, confirmed, then the originals are acknowledged: a message may be there twice for a
// moment, never nowhere. False: the process was asked to end before the broker took them.
static bool publish_copies(struct consumer_loop *loop, const struct message *copies, size_t count)
{
    enum publish_outcome *outcomes = arena_array(&loop->received, count, sizeof(*outcomes));
    while (outcomes != NULL && count > 0) {
        enum status status =
            message_bus_publish(loop->consumer->bus, copies, count, PUBLISH_TIMEOUT_MS, outcomes);
        if (status == STATUS_OK && all_published(outcomes, count)) {
            break;
        }
        consumer_note_bus(loop, status == STATUS_OK ? STATUS_REFUSED : status);
        log_line(LOG_WARNING, "the failure ladder does not take messages now",
                 log_text("queue", loop->consumer->queue),
                 log_text("cause", status == STATUS_OK ? "returned or refused: declare the topology"
                                                       : status_text(status)));
        if (!consumer_rest(loop)) {
            return false;
        }
    }
    return outcomes != NULL;
}

bool consumer_batch_climb(struct consumer_loop *loop, const struct consumer_batch *batch)
{
    struct message *copies = arena_array(&loop->received, batch->count, sizeof(*copies));
    size_t count = 0;
    return copies != NULL && list_copies(loop, batch, copies, &count) &&
           publish_copies(loop, copies, count);
}
