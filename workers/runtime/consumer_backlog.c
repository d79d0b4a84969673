// SPDX-License-Identifier: Apache-2.0
// Tells how far the consumer's queue is behind: by what it takes up, at most once a second, and
// nothing as long as it keeps up.
#include "runtime/consumer_parts.h"

enum { TELL_EVERY_MS = 1000, BEHIND_US = 1000000 };

void consumer_backlog_attend(struct consumer_loop *loop)
{
    if (loop->consumer->backlog != NULL) {
        enum status status = backlog_attend(loop->consumer->backlog, loop->serves);
        (void)status; // asked again with the next look at the servers
    }
}

static void tell(struct consumer_loop *loop, struct backlog_mark mark)
{
    struct consumer_backlog *backlog = &loop->backlog;
    if (backlog_tell(loop->consumer->backlog, loop->serves, mark) == STATUS_OK) {
        backlog->told = mark.recorded_at != 0;
    }
    backlog->tell_at_ms = runtime_monotonic_ms() + TELL_EVERY_MS;
}

static void note(struct consumer_loop *loop, struct backlog_mark mark, instant_us age)
{
    static const struct backlog_mark keeps_up;
    bool behind = age >= BEHIND_US;
    consumer_metrics_age(&loop->metrics, age > 0 ? age : 0);
    if (loop->consumer->backlog == NULL) {
        return;
    }
    if (!behind && loop->backlog.told) {
        tell(loop, keeps_up);
    } else if (behind && runtime_monotonic_ms() >= loop->backlog.tell_at_ms) {
        tell(loop, mark);
    }
}

static bool comes_after(struct log_cursor one, struct log_cursor other)
{
    if (one.epoch != other.epoch) {
        return one.epoch > other.epoch;
    }
    return one.tx != other.tx ? one.tx > other.tx : one.position > other.position;
}

// A queue is in the log's order: what stands before what was taken up already comes again.
void consumer_backlog_took(struct consumer_loop *loop, const struct consumer_batch *batch)
{
    struct backlog_mark newest = {.at = loop->backlog.taken_up_to};
    for (size_t at = 0; at < batch->count; at++) {
        const struct incoming *incoming = &batch->incoming[at];
        bool first = batch->messages[at].attempts.count == 0 && !batch->messages[at].redelivered;
        if (first && !batch->settled[at] && comes_after(incoming->at, newest.at)) {
            newest = (struct backlog_mark){incoming->recorded_at, incoming->at};
        }
    }
    if (newest.recorded_at > 0) {
        loop->backlog.taken_up_to = newest.at;
        note(loop, newest, runtime_now() - newest.recorded_at);
    }
}

void consumer_backlog_empty(struct consumer_loop *loop)
{
    note(loop, (struct backlog_mark){.recorded_at = 0}, 0);
}
