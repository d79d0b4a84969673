// SPDX-License-Identifier: Apache-2.0
// How the consumer's loop waits for its servers, and tells what it knows of the broker.
#include "runtime/consumer_parts.h"

enum { CHECK_EVERY_MS = 5000 };

bool consumer_rest(struct consumer_loop *loop)
{
    int wait = backoff_next_ms(&loop->backoff, runtime_random());
    int64_t until = runtime_monotonic_ms() + wait;
    bool going = true;
    while (going && runtime_monotonic_ms() < until) {
        int64_t left = until - runtime_monotonic_ms();
        going = runtime_sleep(loop->runtime, left > 1000 ? 1000 : (int)left);
        enum status breath = message_bus_tick(loop->consumer->bus);
        (void)breath; // receive will tell
    }
    return going;
}

bool consumer_is_ready(struct consumer_loop *loop)
{
    const struct consumer *consumer = loop->consumer;
    loop->check_at_ms = runtime_monotonic_ms() + CHECK_EVERY_MS;
    bool ready = consumer->ready == NULL || consumer->ready(loop->runtime, consumer->dependencies);
    if (ready) {
        consumer_backlog_attend(loop);
    }
    return ready;
}

bool consumer_wait_until_ready(struct consumer_loop *loop)
{
    while (!runtime_stopping(loop->runtime)) {
        if (consumer_is_ready(loop)) {
            return true;
        }
        (void)consumer_rest(loop);
    }
    return false;
}

void consumer_note_bus(struct consumer_loop *loop, enum status status)
{
    const struct consumer *consumer = loop->consumer;
    const char *cause =
        consumer->bus_cause == NULL ? "" : consumer->bus_cause(consumer->bus_context);
    bool there = status == STATUS_OK;
    const char *detail = there ? "connected" : cause[0] != '\0' ? cause : status_text(status);
    readiness_set(loop->runtime, "rabbitmq", there, detail);
}
