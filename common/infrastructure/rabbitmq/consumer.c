// SPDX-License-Identifier: Apache-2.0
// Receives the messages of a queue, and of others beside it, over a connection of its own and
// acknowledges them by hand.
#include "infrastructure/rabbitmq/consumer.h"

#include <stdlib.h>

#include "infrastructure/rabbitmq/delivery.h"
#include "infrastructure/rabbitmq/link.h"
#include "infrastructure/rabbitmq/message_headers.h"

// A tag as callers see it also says of which connection it is, so that an old one is known.
enum { GENERATION_SHIFT = 40 };

struct rabbitmq_consumer {
    struct rabbitmq_link link;
    struct str queue;
    int prefetch;
    struct str also[MESSAGE_BUS_ALSO_MAX]; // consumed besides, while this connection lasts
    size_t also_count;
    bool paused; // has no connection, and makes none but to receive
    struct delivery delivery;
};

// The queue's name is the consumer's tag too: it consumes each once.
static enum status consume(struct rabbitmq_connection *connection, struct str queue)
{
    amqp_basic_consume(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL,
                       message_headers_bytes(queue), message_headers_bytes(queue), 0, 0, 0,
                       amqp_empty_table);
    rabbitmq_connection_leave(connection);
    return rabbitmq_connection_replied(connection);
}

static enum status stop_consuming(struct rabbitmq_connection *connection, struct str queue)
{
    amqp_basic_cancel(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL,
                      message_headers_bytes(queue));
    rabbitmq_connection_leave(connection);
    return rabbitmq_connection_replied(connection);
}

static enum status begin_consuming(struct rabbitmq_connection *connection, void *context)
{
    struct rabbitmq_consumer *consumer = context;
    delivery_reset(&consumer->delivery);
    consumer->also_count = 0;
    amqp_basic_qos(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL, 0,
                   (uint16_t)consumer->prefetch, 0);
    rabbitmq_connection_leave(connection);
    enum status status = rabbitmq_connection_replied(connection);
    if (status != STATUS_OK) {
        return status;
    }
    return consume(connection, consumer->queue);
}

struct rabbitmq_consumer *rabbitmq_consumer_new(const struct rabbitmq_settings *settings,
                                                struct str queue)
{
    struct rabbitmq_consumer *consumer = calloc(1, sizeof(*consumer));
    if (consumer == NULL) {
        return NULL;
    }
    consumer->queue = queue;
    consumer->prefetch = settings->prefetch;
    delivery_init(&consumer->delivery);
    rabbitmq_link_init(&consumer->link, settings, "consume", begin_consuming, consumer);
    return consumer;
}

void rabbitmq_consumer_free(struct rabbitmq_consumer *consumer)
{
    if (consumer != NULL) {
        rabbitmq_link_close(&consumer->link);
        delivery_free(&consumer->delivery);
        free(consumer);
    }
}

static enum status lose(struct rabbitmq_consumer *consumer)
{
    rabbitmq_link_lost(&consumer->link);
    delivery_reset(&consumer->delivery);
    return STATUS_UNAVAILABLE;
}

static bool is_listed(const struct str *queues, size_t count, struct str queue)
{
    for (size_t at = 0; at < count; at++) {
        if (str_eq(queues[at], queue)) {
            return true;
        }
    }
    return false;
}

// Deliveries that come between are kept by the library, in their order.
static enum status change(struct rabbitmq_consumer *consumer, const struct str *queues,
                          size_t count)
{
    enum status status = STATUS_OK;
    struct rabbitmq_connection *connection = consumer->link.connection;
    for (size_t at = 0; at < consumer->also_count && status == STATUS_OK; at++) {
        if (!is_listed(queues, count, consumer->also[at])) {
            status = stop_consuming(connection, consumer->also[at]);
        }
    }
    for (size_t at = 0; at < count && status == STATUS_OK; at++) {
        if (!is_listed(consumer->also, consumer->also_count, queues[at])) {
            status = consume(connection, queues[at]);
        }
    }
    return status;
}

enum status rabbitmq_consumer_also(struct rabbitmq_consumer *consumer, const struct str *queues,
                                   size_t count)
{
    if (count > MESSAGE_BUS_ALSO_MAX) {
        return STATUS_FULL;
    }
    if (consumer->link.connection == NULL) {
        return STATUS_UNAVAILABLE;
    }
    if (change(consumer, queues, count) != STATUS_OK) {
        int code = rabbitmq_connection_code(consumer->link.connection);
        enum status lost = lose(consumer);
        return code == AMQP_NOT_FOUND        ? STATUS_NOT_FOUND
               : code == AMQP_ACCESS_REFUSED ? STATUS_REFUSED
                                             : lost;
    }
    for (size_t at = 0; at < count; at++) {
        consumer->also[at] = queues[at];
    }
    consumer->also_count = count;
    return STATUS_OK;
}

// Takes one frame if one comes in wait_ms. A message may be whole then.
static enum status take_frame(struct rabbitmq_consumer *consumer, int wait_ms, bool *got)
{
    amqp_frame_t frame;
    enum status status = rabbitmq_connection_frame(consumer->link.connection, wait_ms, &frame, got);
    if (status != STATUS_OK) {
        return lose(consumer);
    }
    if (!*got) {
        return STATUS_OK;
    }
    if (frame.frame_type == AMQP_FRAME_METHOD &&
        frame.payload.method.id == AMQP_BASIC_CANCEL_METHOD) {
        return lose(consumer);
    }
    status = delivery_take(&consumer->delivery, &frame);
    return status == STATUS_OK ? STATUS_OK : lose(consumer);
}

static enum status hand_out(struct rabbitmq_consumer *consumer, struct arena *arena,
                            struct message *message)
{
    enum status status = delivery_finish(&consumer->delivery, arena, message);
    if (status == STATUS_OK) {
        message->delivery_tag |= consumer->link.generation << GENERATION_SHIFT;
    }
    return status;
}

struct gathering {
    struct arena *arena;
    struct message *messages;
    size_t max;
    size_t count;
    int64_t deadline_ms; // for the first message, then for those that follow it
    int linger_ms;
};

static int time_left(const struct gathering *gathering)
{
    int64_t left = gathering->deadline_ms - rabbitmq_now_ms();
    return left > 0 ? (int)left : 0;
}

static enum status gather_one(struct rabbitmq_consumer *consumer, struct gathering *gathering)
{
    enum status status =
        hand_out(consumer, gathering->arena, &gathering->messages[gathering->count]);
    if (status == STATUS_OK && ++gathering->count == 1) {
        gathering->deadline_ms = rabbitmq_now_ms() + gathering->linger_ms;
    }
    return status;
}

static enum status gather(struct rabbitmq_consumer *consumer, struct gathering *gathering)
{
    bool got = true;
    while (gathering->count < gathering->max) {
        enum status status = STATUS_OK;
        if (consumer->delivery.stage == DELIVERY_WHOLE) {
            status = gather_one(consumer, gathering);
        } else if (got) {
            status = take_frame(consumer, 0, &got);
        } else {
            // Nothing was there: now it is worth asking the clock.
            status = take_frame(consumer, time_left(gathering), &got);
            if (status == STATUS_OK && !got) {
                return STATUS_OK;
            }
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status rabbitmq_consumer_receive(struct rabbitmq_consumer *consumer, size_t max, int wait_ms,
                                      int linger_ms, struct arena *arena, struct message **messages,
                                      size_t *count)
{
    consumer->paused = false;
    if (rabbitmq_link_ensure(&consumer->link) != STATUS_OK) {
        rabbitmq_link_rest(&consumer->link, wait_ms);
        return STATUS_UNAVAILABLE;
    }
    struct gathering gathering = {
        .arena = arena,
        .messages = arena_array(arena, max, sizeof(struct message)),
        .max = max,
        .deadline_ms = rabbitmq_now_ms() + wait_ms,
        .linger_ms = linger_ms,
    };
    if (gathering.messages == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = gather(consumer, &gathering);
    // What does not fit into the arena any more waits for the next call.
    if (status != STATUS_OK && !(status == STATUS_NO_MEMORY && gathering.count > 0)) {
        return status;
    }
    *messages = gathering.messages;
    *count = gathering.count;
    return STATUS_OK;
}

// The broker's tag; 0: of a connection that is gone.
static uint64_t live_tag(const struct rabbitmq_consumer *consumer, uint64_t delivery_tag)
{
    bool live = consumer->link.connection != NULL &&
                delivery_tag >> GENERATION_SHIFT == consumer->link.generation;
    return live ? delivery_tag & ((UINT64_C(1) << GENERATION_SHIFT) - 1) : 0;
}

enum status rabbitmq_consumer_ack(struct rabbitmq_consumer *consumer, uint64_t delivery_tag,
                                  bool multiple)
{
    uint64_t tag = live_tag(consumer, delivery_tag);
    if (tag == 0) {
        return STATUS_OK;
    }
    struct rabbitmq_connection *connection = consumer->link.connection;
    int sent =
        amqp_basic_ack(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL, tag, multiple);
    rabbitmq_connection_leave(connection);
    return rabbitmq_connection_sent(connection, sent) == STATUS_OK ? STATUS_OK : lose(consumer);
}

enum status rabbitmq_consumer_requeue(struct rabbitmq_consumer *consumer, uint64_t delivery_tag,
                                      bool multiple)
{
    uint64_t tag = live_tag(consumer, delivery_tag);
    if (tag == 0) {
        return STATUS_OK;
    }
    struct rabbitmq_connection *connection = consumer->link.connection;
    int sent =
        amqp_basic_nack(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL, tag, multiple, 1);
    rabbitmq_connection_leave(connection);
    return rabbitmq_connection_sent(connection, sent) == STATUS_OK ? STATUS_OK : lose(consumer);
}

// Without its connection the broker gives everything to others, what waits in the socket too.
void rabbitmq_consumer_pause(struct rabbitmq_consumer *consumer)
{
    rabbitmq_link_close(&consumer->link);
    delivery_reset(&consumer->delivery);
    consumer->paused = true;
}

// A message that becomes whole is kept for the next receive; frames after it stay in the socket.
// With a backlog that is so all the time, so the broker has to hear of us in another way.
enum status rabbitmq_consumer_tick(struct rabbitmq_consumer *consumer)
{
    if (consumer->paused) {
        return STATUS_OK;
    }
    if (rabbitmq_link_ensure(&consumer->link) != STATUS_OK) {
        return STATUS_UNAVAILABLE;
    }
    bool got = true;
    while (got && consumer->delivery.stage != DELIVERY_WHOLE) {
        enum status status = take_frame(consumer, 0, &got);
        if (status != STATUS_OK) {
            return status;
        }
    }
    bool parked = consumer->delivery.stage == DELIVERY_WHOLE;
    return !parked || rabbitmq_connection_breathe(consumer->link.connection) == STATUS_OK
               ? STATUS_OK
               : lose(consumer);
}

bool rabbitmq_consumer_connected(const struct rabbitmq_consumer *consumer)
{
    return consumer->link.connection != NULL;
}

const char *rabbitmq_consumer_cause(const struct rabbitmq_consumer *consumer)
{
    return consumer->link.cause;
}
