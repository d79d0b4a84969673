// SPDX-License-Identifier: Apache-2.0
// Reads and handles a batch of messages: the fresh ones together, those that come again marked.
#include "base/monotonic.h"
#include "infrastructure/codec/cloud_event.h"
#include "infrastructure/telemetry/log.h"
#include "runtime/consumer_parts.h"

static bool is_too_large(const struct message *message)
{
    return message->body.len > MESSAGE_BODY_MAX;
}

static void decode(struct consumer_loop *loop, struct consumer_batch *batch, size_t at)
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
static bool is_suspect(const struct consumer_loop *loop, const struct consumer_batch *batch,
                       size_t at)
{
    return batch->messages[at].redelivered && loop->consumer->suspects != NULL;
}

bool consumer_batch_make(struct consumer_loop *loop, struct consumer_batch *batch)
{
    batch->incoming = arena_array(&loop->received, batch->count, sizeof(*batch->incoming));
    batch->results = arena_array(&loop->received, batch->count, sizeof(*batch->results));
    batch->settled = arena_array(&loop->received, batch->count, sizeof(*batch->settled));
    batch->climbed = arena_array(&loop->received, batch->count, sizeof(*batch->climbed));
    batch->given = arena_array(&loop->received, batch->count, sizeof(*batch->given));
    return batch->incoming != NULL && batch->results != NULL && batch->settled != NULL &&
           batch->climbed != NULL && batch->given != NULL;
}

static enum status handle(struct consumer_loop *loop, const struct incoming *messages, size_t count,
                          const struct message_result **results)
{
    const struct consumer *consumer = loop->consumer;
    return consumer->handle != NULL
               ? consumer->handle(consumer->context, messages, count, &loop->work, results)
               : handler_run_batch(&loop->run, messages, count, &loop->work, results);
}

// Results point into the work arena; what is kept of them moves to the batch's own.
static void keep_result(struct consumer_loop *loop, struct consumer_batch *batch, size_t at,
                        const struct message_result *result)
{
    struct str cause = arena_str(&loop->received, result->cause);
    batch->settled[at] = true;
    batch->results[at] = (struct message_result){.outcome = result->outcome,
                                                 .cause = cause.data == NULL ? STR("") : cause,
                                                 .label = consumer_metrics_label(result->label)};
}

static void settle_as(struct consumer_batch *batch, size_t at, enum message_outcome outcome,
                      struct str cause)
{
    batch->settled[at] = true;
    batch->results[at] =
        (struct message_result){.outcome = outcome, .cause = cause, .label = STR("")};
}

// The store is there: it is the batch that is too much for memory or for a call, or holds something
// that cannot be read.
static bool is_fault_of_batch(enum status status)
{
    return status == STATUS_NO_MEMORY || status == STATUS_INVALID || status == STATUS_MALFORMED;
}

// Handles the messages that `at` lists. Waits for servers as long as it takes; what cannot be
// handled as it is, is halved down to the message that stands alone. False: asked to end first.
static bool handle_listed(struct consumer_loop *loop, struct consumer_batch *batch,
                          const size_t *at, size_t count)
{
    const struct message_result *results = NULL;
    while (count > 0) {
        arena_reset(&loop->work);
        struct incoming *listed = arena_array(&loop->work, count, sizeof(*listed));
        for (size_t each = 0; listed != NULL && each < count; each++) {
            listed[each] = batch->incoming[at[each]];
        }
        int64_t began = monotonic_us();
        enum status status =
            listed == NULL ? STATUS_NO_MEMORY : handle(loop, listed, count, &results);
        if (status == STATUS_OK) {
            backoff_reset(&loop->backoff);
            consumer_metrics_batch(&loop->metrics, count, monotonic_us() - began);
            for (size_t each = 0; each < count; each++) {
                keep_result(loop, batch, at[each], &results[each]);
            }
            return true;
        }
        if (is_fault_of_batch(status) && count == 1) {
            settle_as(batch, at[0], MESSAGE_TRANSIENT, str_from(status_text(status)));
            return true;
        }
        if (is_fault_of_batch(status)) {
            return handle_listed(loop, batch, at, count / 2) &&
                   handle_listed(loop, batch, at + count / 2, count - count / 2);
        }
        log_line(LOG_WARNING, "the batch waits for the store",
                 log_text("cause", status_text(status)), log_int("messages", (int64_t)count));
        if (!consumer_rest(loop) || !consumer_wait_until_ready(loop)) {
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

// --- suspects

static bool handle_alone(struct consumer_loop *loop, struct consumer_batch *batch, size_t at)
{
    decode(loop, batch, at);
    return batch->settled[at] || handle_listed(loop, batch, &at, 1);
}

// When this is lost the marks stay: one attempt too many, of several, or a message that goes alone
// without need.
static void forget(const struct consumer_loop *loop, const struct uuid *ids, size_t count)
{
    enum status cleared = suspect_register_clear(loop->consumer->suspects, loop->name, ids, count);
    (void)cleared;
}

// Alone, and marked for as long as that takes.
static bool handle_suspect(struct consumer_loop *loop, struct consumer_batch *batch, size_t at)
{
    struct suspect_register *suspects = loop->consumer->suspects;
    struct uuid id = suspect_id(&batch->messages[at]);
    int attempts = 0;
    while (suspect_register_mark(suspects, loop->name, id, &attempts) != STATUS_OK) {
        if (!consumer_rest(loop) || !consumer_wait_until_ready(loop)) {
            return false;
        }
    }
    if (attempts > loop->crashes_max) {
        settle_as(batch, at, MESSAGE_POISON,
                  STR("the process ended each time while it handled this message alone"));
    } else if (!handle_alone(loop, batch, at)) {
        return false; // still marked: that costs it one attempt of several
    }
    forget(loop, &id, 1);
    return true;
}

// The suspects of a batch, each with its id in the register.
struct suspects {
    size_t *at; // in the batch
    struct uuid *ids;
    bool *known; // its group has been in the hands of a process that died
    size_t count;
};

static bool list_suspects(struct consumer_loop *loop, const struct consumer_batch *batch,
                          struct suspects *list)
{
    *list = (struct suspects){.at = arena_array(&loop->received, batch->count, sizeof(*list->at)),
                              .ids = arena_array(&loop->received, batch->count, sizeof(*list->ids)),
                              .known =
                                  arena_array(&loop->received, batch->count, sizeof(*list->known))};
    if (list->at == NULL || list->ids == NULL || list->known == NULL) {
        return false;
    }
    for (size_t at = 0; at < batch->count; at++) {
        if (is_suspect(loop, batch, at)) {
            list->at[list->count] = at;
            list->ids[list->count++] = suspect_id(&batch->messages[at]);
        }
    }
    return true;
}

static bool mark_group(struct consumer_loop *loop, struct suspects *list)
{
    while (suspect_register_mark_group(loop->consumer->suspects, loop->name, list->ids, list->count,
                                       list->known) != STATUS_OK) {
        if (!consumer_rest(loop) || !consumer_wait_until_ready(loop)) {
            return false;
        }
    }
    return true;
}

// Those that come again for the first time, together, and marked for as long as that takes.
static bool handle_group(struct consumer_loop *loop, struct consumer_batch *batch,
                         const struct suspects *list)
{
    size_t *unread = arena_array(&loop->received, list->count, sizeof(*unread));
    struct uuid *ids = arena_array(&loop->received, list->count, sizeof(*ids));
    size_t unread_count = 0;
    size_t count = 0;
    for (size_t each = 0; unread != NULL && ids != NULL && each < list->count; each++) {
        if (!list->known[each]) {
            ids[count++] = list->ids[each];
            decode(loop, batch, list->at[each]);
            if (!batch->settled[list->at[each]]) {
                unread[unread_count++] = list->at[each];
            }
        }
    }
    bool handled =
        unread != NULL && ids != NULL && handle_listed(loop, batch, unread, unread_count);
    if (handled && count > 0) {
        forget(loop, ids, count);
    }
    return handled;
}

// Most messages come again because a broker or a process was restarted, and nothing is wrong with
// them. Only who was in hand when that happened twice is handled alone.
static bool handle_suspects(struct consumer_loop *loop, struct consumer_batch *batch)
{
    struct suspects list;
    if (!list_suspects(loop, batch, &list)) {
        return false;
    }
    bool going = list.count < 2 || (mark_group(loop, &list) && handle_group(loop, batch, &list));
    for (size_t each = 0; going && each < list.count; each++) {
        if (!batch->settled[list.at[each]]) {
            going = handle_suspect(loop, batch, list.at[each]);
        }
    }
    return going;
}

void consumer_batch_handle(struct consumer_loop *loop, struct consumer_batch *batch)
{
    size_t *fresh = arena_array(&loop->received, batch->count, sizeof(*fresh));
    size_t count = 0;
    for (size_t at = 0; fresh != NULL && at < batch->count; at++) {
        if (!is_suspect(loop, batch, at)) {
            decode(loop, batch, at);
            if (!batch->settled[at]) {
                fresh[count++] = at;
            }
        }
    }
    consumer_backlog_took(loop, batch);
    if (fresh != NULL && handle_listed(loop, batch, fresh, count)) {
        (void)handle_suspects(loop, batch);
    }
}
