// SPDX-License-Identifier: Apache-2.0
// A loop that takes a queue's messages in batches through a message handler: one transaction a
// batch, one multiple ack after it, the failure ladder for what fails.
#include "runtime/consumer.h"

#include <stdlib.h>

#include "application/handler/state_cache.h"
#include "infrastructure/telemetry/log.h"
#include "runtime/consumer_parts.h"

enum {
    RECEIVE_WAIT_MS = 500, // how late a request to end is seen
    BACKOFF_FIRST_MS = 100,
    BACKOFF_LIMIT_MS = 5000,
    RECEIVED_BYTES_MAX = 512 * 1024 * 1024, // HANDLER_BATCH_MAX bodies of the largest size, twice
    WORK_BYTES_MAX = 512 * 1024 * 1024,
    ARENA_BLOCK = 1024 * 1024,
    APPEND_ROWS = APPEND_ROWS_MAX / 4
};

_Static_assert((int)REACTION_ROWS_MAX <= (int)APPEND_ROWS, "one message always fits");

// --- waiting for servers

// With nothing in hand, so that others get the messages: they may be able to do what we cannot.
static bool wait_empty_handed(struct consumer_loop *loop)
{
    message_bus_pause(loop->consumer->bus);
    return consumer_wait_until_ready(loop);
}

// --- acknowledging

// Copies first, confirmed, then the originals are acknowledged: a message may be there twice for a
// moment, never nowhere.
static bool is_done(const struct consumer_batch *batch, size_t at)
{
    return batch->settled[at] &&
           (batch->climbed[at] || batch->results[at].outcome == MESSAGE_HANDLED);
}

static void count_handled(struct consumer_loop *loop, const struct consumer_batch *batch)
{
    for (size_t at = 0; at < batch->count; at++) {
        if (batch->settled[at] && batch->results[at].outcome == MESSAGE_HANDLED) {
            consumer_metrics_handled(&loop->metrics, batch->results[at].label);
        }
    }
}

// Done, and none acknowledged yet.
static bool all_done(const struct consumer_batch *batch)
{
    for (size_t at = 0; at < batch->count; at++) {
        if (!is_done(batch, at) || batch->given[at]) {
            return false;
        }
    }
    return true;
}

static enum status acknowledge_done(struct message_bus *bus, const struct consumer_batch *batch)
{
    enum status status = STATUS_OK;
    if (all_done(batch)) {
        return message_bus_ack(bus, batch->messages[batch->count - 1].delivery_tag, true);
    }
    for (size_t at = 0; at < batch->count && status == STATUS_OK; at++) {
        if (is_done(batch, at) && !batch->given[at]) {
            status = message_bus_ack(bus, batch->messages[at].delivery_tag, false);
        }
    }
    return status;
}

// A failure to acknowledge is the bus's business: the messages come again, the inbox knows them.
static void acknowledge(struct consumer_loop *loop, const struct consumer_batch *batch)
{
    enum status status = acknowledge_done(loop->consumer->bus, batch);
    for (size_t at = 0; at < batch->count; at++) {
        batch->given[at] = batch->given[at] || is_done(batch, at);
    }
    if (status != STATUS_OK) {
        consumer_note_bus(loop, status);
    }
}

static void give_back_rest(struct consumer_loop *loop, const struct consumer_batch *batch)
{
    enum status status = STATUS_OK;
    for (size_t at = 0; at < batch->count && status == STATUS_OK; at++) {
        if (!batch->given[at]) {
            status =
                message_bus_requeue(loop->consumer->bus, batch->messages[at].delivery_tag, false);
        }
    }
    if (status != STATUS_OK) {
        consumer_note_bus(loop, status);
    }
}

// What fails climbs the ladder, as long as that takes: where its queue is full or away, the message
// stays in hand, and what is done is acknowledged meanwhile.
static void climb(struct consumer_loop *loop, struct consumer_batch *batch)
{
    struct consumer_copies copies;
    bool going = consumer_copies_make(loop, batch, &copies);
    while (going && copies.count > 0) {
        consumer_copies_publish(loop, batch, &copies);
        if (copies.count > 0) {
            acknowledge(loop, batch);
            going = consumer_rest(loop);
        }
    }
}

// --- the loop

// The batch stays in hand meanwhile, so the connections have to breathe.
static bool pause_in_batch(void *context, int ms)
{
    const struct consumer_loop *loop = context;
    bool going = runtime_sleep(loop->runtime, ms);
    enum status breath = message_bus_tick(loop->consumer->bus);
    (void)breath; // receive will tell
    return going;
}

static void take_batch(struct consumer_loop *loop, struct consumer_batch *batch)
{
    if (!consumer_batch_make(loop, batch)) {
        // All given back: what stayed unsettled would be covered by a later batch's multiple ack.
        log_line(LOG_ERROR, "no memory for a batch", log_int("messages", (int64_t)batch->count));
        message_bus_pause(loop->consumer->bus);
        (void)consumer_rest(loop);
        return;
    }
    consumer_batch_handle(loop, batch); // what is not settled is given back
    count_handled(loop, batch);
    climb(loop, batch);
    acknowledge(loop, batch);
    give_back_rest(loop, batch);
}

static void turn(struct consumer_loop *loop)
{
    struct consumer_batch batch = {.count = 0};
    arena_reset(&loop->received);
    enum status status =
        message_bus_receive(loop->consumer->bus, loop->batch_max, RECEIVE_WAIT_MS, loop->linger_ms,
                            &loop->received, &batch.messages, &batch.count);
    consumer_note_bus(loop, status);
    if (status != STATUS_OK) {
        (void)consumer_rest(loop);
        return;
    }
    backoff_reset(&loop->backoff);
    if (batch.count > 0) {
        take_batch(loop, &batch);
    } else {
        consumer_backlog_empty(loop);
    }
    if (runtime_monotonic_ms() >= loop->check_at_ms && !consumer_is_ready(loop)) {
        (void)wait_empty_handed(loop);
    }
    consumer_lanes_look(loop);
}

static void start(struct consumer_loop *loop)
{
    const struct settings *settings = runtime_settings_of(loop->runtime);
    const struct consumer *consumer = loop->consumer;
    loop->queue = str_from(consumer->queue);
    loop->serves = consumer->serves == NULL ? loop->queue : str_from(consumer->serves);
    loop->name = consumer->handler != NULL ? consumer->handler->consumer : consumer->name;
    loop->backoff = (struct backoff){BACKOFF_FIRST_MS, BACKOFF_LIMIT_MS, 0};
    loop->batch_max = (size_t)settings_int(settings, "COMANDA_BATCH");
    loop->linger_ms = (int)settings_int(settings, "COMANDA_LINGER");
    loop->crashes_max = (int)settings_int(settings, "COMANDA_CRASHES");
    loop->run = (struct handler_run){
        .handler = consumer->handler,
        .store = consumer->store,
        .effects = consumer->effects,
        .cache = state_cache_new((size_t)settings_int(settings, "COMANDA_STATES"), 64 * 1024),
        .limits = {.contention_ms = (int)settings_int(settings, "COMANDA_CONTENTION"),
                   .snapshot_every = (int)settings_int(settings, "COMANDA_SNAPSHOT_EVERY"),
                   .append_rows_max = APPEND_ROWS},
        .effect_timeout_ms = (int)settings_int(settings, "COMANDA_EFFECT_TIMEOUT"),
        .pause = consumer->handle == NULL ? pause_in_batch : NULL,
        .pause_context = loop};
    consumer_metrics_make(&loop->metrics, consumer->queue);
    consumer_lanes_open(&loop->lanes, consumer);
    arena_init(&loop->received, ARENA_BLOCK, RECEIVED_BYTES_MAX);
    arena_init(&loop->work, ARENA_BLOCK, WORK_BYTES_MAX);
    readiness_need(loop->runtime, "rabbitmq");
}

int consumer_run(struct runtime *runtime, void *context)
{
    struct consumer_loop loop = {.runtime = runtime, .consumer = context};
    start(&loop);
    if (wait_empty_handed(&loop)) {
        log_line(LOG_INFO, "consumes", log_text("queue", loop.consumer->queue));
    }
    while (!runtime_stopping(runtime)) {
        turn(&loop);
    }
    consumer_lanes_close(&loop);
    state_cache_free(loop.run.cache);
    arena_free(&loop.received);
    arena_free(&loop.work);
    return EXIT_SUCCESS;
}
