// SPDX-License-Identifier: Apache-2.0
// A loop that takes a queue's messages in batches through a message handler: one transaction a
// batch, one multiple ack after it, the failure ladder for what fails.
#include "runtime/consumer.h"

#include <stdlib.h>

#include "application/handler/failure_ladder.h"
#include "application/handler/handler_run.h"
#include "application/handler/state_cache.h"
#include "base/backoff.h"
#include "infrastructure/codec/cloud_event.h"
#include "infrastructure/telemetry/log.h"
#include "runtime/consumer_metrics.h"

enum {
    RECEIVE_WAIT_MS = 500, // how late a request to end is seen
    CHECK_EVERY_MS = 5000,
    PUBLISH_TIMEOUT_MS = 10000,
    BACKOFF_FIRST_MS = 100,
    BACKOFF_LIMIT_MS = 5000,
    RECEIVED_BYTES_MAX = 512 * 1024 * 1024, // HANDLER_BATCH_MAX bodies of the largest size, twice
    WORK_BYTES_MAX = 512 * 1024 * 1024,
    ARENA_BLOCK = 1024 * 1024
};

struct loop {
    struct runtime *runtime;
    const struct consumer *consumer;
    struct str queue;
    struct str name;
    struct handler_run run;
    struct consumer_metrics metrics;
    struct backoff backoff;
    struct arena received; // a batch's messages, until they are acknowledged
    struct arena work;     // one try at handling them
    size_t batch_max;
    int linger_ms;
    int crashes_max;
    int64_t check_at_ms;
};

// What came, and what became of it.
struct batch {
    struct message *messages;
    struct incoming *incoming;
    struct message_result *results;
    bool *settled; // has its result
    size_t count;
};

// --- waiting for servers

static bool rest(struct loop *loop)
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

static bool is_ready(struct loop *loop)
{
    const struct consumer *consumer = loop->consumer;
    loop->check_at_ms = runtime_monotonic_ms() + CHECK_EVERY_MS;
    return consumer->ready == NULL || consumer->ready(loop->runtime, consumer->dependencies);
}

// False: the process was asked to end while it waited.
static bool wait_until_ready(struct loop *loop)
{
    while (!runtime_stopping(loop->runtime)) {
        if (is_ready(loop)) {
            return true;
        }
        (void)rest(loop);
    }
    return false;
}

// With nothing in hand, so that others get the messages: they may be able to do what we cannot.
static bool wait_empty_handed(struct loop *loop)
{
    message_bus_pause(loop->consumer->bus);
    return wait_until_ready(loop);
}

static void note_bus(struct loop *loop, enum status status)
{
    const struct consumer *consumer = loop->consumer;
    const char *cause =
        consumer->bus_cause == NULL ? "" : consumer->bus_cause(consumer->bus_context);
    bool there = status == STATUS_OK;
    const char *detail = there ? "connected" : cause[0] != '\0' ? cause : status_text(status);
    readiness_set(loop->runtime, "rabbitmq", there, detail);
}

// --- reading what came

static bool is_too_large(const struct message *message)
{
    return message->body.len > MESSAGE_BODY_MAX;
}

static void decode(struct loop *loop, struct batch *batch, size_t at)
{
    struct str cause = STR("");
    enum status status = STATUS_MALFORMED;
    if (is_too_large(&batch->messages[at])) {
        cause = STR("the body is larger than 256 KiB");
    } else {
        status =
            cloud_event_decode(&batch->messages[at], &loop->received, &batch->incoming[at], &cause);
    }
    batch->incoming[at].now = runtime_now();
    if (status != STATUS_OK) {
        batch->settled[at] = true;
        batch->results[at] = (struct message_result){
            .outcome = status == STATUS_NO_MEMORY ? MESSAGE_TRANSIENT : MESSAGE_POISON,
            .cause = cause.len > 0 ? cause : str_from(status_text(status)),
            .label = STR("")};
    }
}

// Came again, perhaps because it killed the process that had it: then reading it may kill ours.
static bool is_suspect(const struct loop *loop, const struct batch *batch, size_t at)
{
    return batch->messages[at].redelivered && loop->consumer->suspects != NULL;
}

static bool read_batch(struct loop *loop, struct batch *batch)
{
    batch->incoming = arena_array(&loop->received, batch->count, sizeof(*batch->incoming));
    batch->results = arena_array(&loop->received, batch->count, sizeof(*batch->results));
    batch->settled = arena_array(&loop->received, batch->count, sizeof(*batch->settled));
    if (batch->incoming == NULL || batch->results == NULL || batch->settled == NULL) {
        return false;
    }
    for (size_t at = 0; at < batch->count; at++) {
        if (!is_suspect(loop, batch, at)) {
            decode(loop, batch, at);
        }
    }
    return true;
}

// --- handling

static enum status handle(struct loop *loop, const struct incoming *messages, size_t count,
                          const struct message_result **results)
{
    const struct consumer *consumer = loop->consumer;
    return consumer->handle != NULL
               ? consumer->handle(consumer->context, messages, count, &loop->work, results)
               : handler_run_batch(&loop->run, messages, count, &loop->work, results);
}

// Results point into the work arena; what is kept of them moves to the batch's own.
static void keep_result(struct loop *loop, struct batch *batch, size_t at,
                        const struct message_result *result)
{
    struct str cause = arena_str(&loop->received, result->cause);
    batch->settled[at] = true;
    batch->results[at] = (struct message_result){.outcome = result->outcome,
                                                 .cause = cause.data == NULL ? STR("") : cause,
                                                 .label = consumer_metrics_label(result->label)};
}

static void settle_as(struct batch *batch, size_t at, enum message_outcome outcome,
                      struct str cause)
{
    batch->settled[at] = true;
    batch->results[at] =
        (struct message_result){.outcome = outcome, .cause = cause, .label = STR("")};
}

// Handles the messages that `at` lists. Waits for servers as long as it takes; what needs more
// memory than there is, is halved. False: asked to end first.
static bool handle_listed(struct loop *loop, struct batch *batch, const size_t *at, size_t count)
{
    const struct message_result *results = NULL;
    while (count > 0) {
        arena_reset(&loop->work);
        struct incoming *listed = arena_array(&loop->work, count, sizeof(*listed));
        for (size_t each = 0; listed != NULL && each < count; each++) {
            listed[each] = batch->incoming[at[each]];
        }
        int64_t began = runtime_now();
        enum status status =
            listed == NULL ? STATUS_NO_MEMORY : handle(loop, listed, count, &results);
        if (status == STATUS_OK) {
            backoff_reset(&loop->backoff);
            consumer_metrics_batch(&loop->metrics, count, runtime_now() - began);
            for (size_t each = 0; each < count; each++) {
                keep_result(loop, batch, at[each], &results[each]);
            }
            return true;
        }
        if (status == STATUS_NO_MEMORY && count == 1) {
            settle_as(batch, at[0], MESSAGE_TRANSIENT, str_from(status_text(status)));
            return true;
        }
        if (status == STATUS_NO_MEMORY) {
            return handle_listed(loop, batch, at, count / 2) &&
                   handle_listed(loop, batch, at + count / 2, count - count / 2);
        }
        log_line(LOG_WARNING, "the batch waits for the store",
                 log_text("cause", status_text(status)), log_int("messages", (int64_t)count));
        if (!rest(loop) || !wait_until_ready(loop)) {
            return false;
        }
    }
    return true;
}

// Foreign messages may come without an id; their bytes are one.
static struct uuid suspect_id(const struct message *message)
{
    return uuid_is_nil(message->id) ? uuid_named(STR(""), STR("suspect"), message->body)
                                    : message->id;
}

static bool handle_alone(struct loop *loop, struct batch *batch, size_t at)
{
    decode(loop, batch, at);
    return batch->settled[at] || handle_listed(loop, batch, &at, 1);
}

// A suspect is handled alone, and marked for as long as that takes.
static bool handle_suspect(struct loop *loop, struct batch *batch, size_t at)
{
    struct suspect_register *suspects = loop->consumer->suspects;
    struct uuid id = suspect_id(&batch->messages[at]);
    int attempts = 0;
    while (suspect_register_mark(suspects, loop->name, id, &attempts) != STATUS_OK) {
        if (!rest(loop) || !wait_until_ready(loop)) {
            return false;
        }
    }
    if (attempts > loop->crashes_max) {
        settle_as(batch, at, MESSAGE_POISON,
                  STR("the process ended each time while it handled this message alone"));
    } else if (!handle_alone(loop, batch, at)) {
        return false; // still marked: that costs it one attempt of several
    }
    // When this is lost the mark stays and counts one too many, of several.
    enum status cleared = suspect_register_clear(suspects, loop->name, id);
    (void)cleared;
    return true;
}

static bool handle_batch(struct loop *loop, struct batch *batch)
{
    size_t *fresh = arena_array(&loop->received, batch->count, sizeof(*fresh));
    size_t count = 0;
    for (size_t at = 0; fresh != NULL && at < batch->count; at++) {
        if (!batch->settled[at] && !is_suspect(loop, batch, at)) {
            fresh[count++] = at;
        }
    }
    bool going = fresh != NULL && handle_listed(loop, batch, fresh, count);
    for (size_t at = 0; going && at < batch->count; at++) {
        if (!batch->settled[at]) {
            going = handle_suspect(loop, batch, at);
        }
    }
    return going;
}

// --- the failure ladder

static void log_failure(const struct loop *loop, const struct batch *batch, size_t at,
                        const struct message *copy, bool dead)
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
static bool list_copies(struct loop *loop, const struct batch *batch, struct message *copies,
                        size_t *count)
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
static bool publish_copies(struct loop *loop, const struct message *copies, size_t count)
{
    enum publish_outcome *outcomes = arena_array(&loop->received, count, sizeof(*outcomes));
    while (outcomes != NULL && count > 0) {
        enum status status =
            message_bus_publish(loop->consumer->bus, copies, count, PUBLISH_TIMEOUT_MS, outcomes);
        if (status == STATUS_OK && all_published(outcomes, count)) {
            break;
        }
        note_bus(loop, status == STATUS_OK ? STATUS_REFUSED : status);
        log_line(LOG_WARNING, "the failure ladder does not take messages now",
                 log_text("queue", loop->consumer->queue),
                 log_text("cause", status == STATUS_OK ? "returned or refused: declare the topology"
                                                       : status_text(status)));
        if (!rest(loop)) {
            return false;
        }
    }
    return outcomes != NULL;
}

static bool climb(struct loop *loop, const struct batch *batch)
{
    struct message *copies = arena_array(&loop->received, batch->count, sizeof(*copies));
    size_t count = 0;
    return copies != NULL && list_copies(loop, batch, copies, &count) &&
           publish_copies(loop, copies, count);
}

// --- acknowledging

static bool is_done(const struct batch *batch, size_t at, bool climbed)
{
    return batch->settled[at] && (climbed || batch->results[at].outcome == MESSAGE_HANDLED);
}

static void count_handled(struct loop *loop, const struct batch *batch)
{
    for (size_t at = 0; at < batch->count; at++) {
        if (batch->settled[at] && batch->results[at].outcome == MESSAGE_HANDLED) {
            consumer_metrics_handled(&loop->metrics, batch->results[at].label);
        }
    }
}

static bool all_done(const struct batch *batch, bool climbed)
{
    for (size_t at = 0; at < batch->count; at++) {
        if (!is_done(batch, at, climbed)) {
            return false;
        }
    }
    return true;
}

// A failure to acknowledge is the bus's business: the messages come again, the inbox knows them.
static void acknowledge(struct loop *loop, const struct batch *batch, bool climbed)
{
    struct message_bus *bus = loop->consumer->bus;
    enum status status = STATUS_OK;
    if (all_done(batch, climbed)) {
        status = message_bus_ack(bus, batch->messages[batch->count - 1].delivery_tag, true);
    } else {
        for (size_t at = 0; at < batch->count && status == STATUS_OK; at++) {
            uint64_t tag = batch->messages[at].delivery_tag;
            status = is_done(batch, at, climbed) ? message_bus_ack(bus, tag, false)
                                                 : message_bus_requeue(bus, tag, false);
        }
    }
    if (status != STATUS_OK) {
        note_bus(loop, status);
    }
}

// --- the loop

static void take_batch(struct loop *loop, struct batch *batch)
{
    if (!read_batch(loop, batch)) {
        log_line(LOG_ERROR, "no memory for a batch", log_int("messages", (int64_t)batch->count));
        (void)rest(loop);
        return;
    }
    (void)handle_batch(loop, batch); // what is not settled is given back
    bool climbed = climb(loop, batch);
    count_handled(loop, batch);
    acknowledge(loop, batch, climbed);
}

static void turn(struct loop *loop)
{
    struct batch batch = {.count = 0};
    arena_reset(&loop->received);
    enum status status =
        message_bus_receive(loop->consumer->bus, loop->batch_max, RECEIVE_WAIT_MS, loop->linger_ms,
                            &loop->received, &batch.messages, &batch.count);
    note_bus(loop, status);
    if (status != STATUS_OK) {
        (void)rest(loop);
        return;
    }
    backoff_reset(&loop->backoff);
    if (batch.count > 0) {
        take_batch(loop, &batch);
    }
    if (runtime_monotonic_ms() >= loop->check_at_ms && !is_ready(loop)) {
        (void)wait_empty_handed(loop);
    }
}

static void start(struct loop *loop)
{
    const struct settings *settings = runtime_settings_of(loop->runtime);
    const struct consumer *consumer = loop->consumer;
    loop->queue = str_from(consumer->queue);
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
        .limits = {.attempts_max = (int)settings_int(settings, "COMANDA_ROUNDS"),
                   .snapshot_every = (int)settings_int(settings, "COMANDA_SNAPSHOT_EVERY"),
                   .append_rows_max = APPEND_ROWS_MAX / 4},
        .effect_timeout_ms = (int)settings_int(settings, "COMANDA_EFFECT_TIMEOUT")};
    consumer_metrics_make(&loop->metrics, consumer->queue);
    arena_init(&loop->received, ARENA_BLOCK, RECEIVED_BYTES_MAX);
    arena_init(&loop->work, ARENA_BLOCK, WORK_BYTES_MAX);
    readiness_need(loop->runtime, "rabbitmq");
}

int consumer_run(struct runtime *runtime, void *context)
{
    struct loop loop = {.runtime = runtime, .consumer = context};
    start(&loop);
    if (wait_empty_handed(&loop)) {
        log_line(LOG_INFO, "consumes", log_text("queue", loop.consumer->queue));
    }
    while (!runtime_stopping(runtime)) {
        turn(&loop);
    }
    state_cache_free(loop.run.cache);
    arena_free(&loop.received);
    arena_free(&loop.work);
    return EXIT_SUCCESS;
}
