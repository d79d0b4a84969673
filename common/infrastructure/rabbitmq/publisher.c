// SPDX-License-Identifier: Apache-2.0
// Publishes over a connection of its own, persistent, with a window of confirms.
#include "infrastructure/rabbitmq/publisher.h"

#include <stdlib.h>
#include <string.h>

#include "infrastructure/rabbitmq/confirm_window.h"
#include "infrastructure/rabbitmq/link.h"
#include "infrastructure/rabbitmq/message_headers.h"
#include "infrastructure/rabbitmq/publish_frames.h"

enum {
    CHUNK_BYTES = 32 * 1024, // written at once; a writable socket has room for it
    CHUNK_BYTES_MAX = MESSAGE_BODY_MAX + 64 * 1024,
};

struct rabbitmq_publisher {
    struct rabbitmq_link link;
    struct confirm_window window;
    struct buffer chunk;   // frames that are to be written together
    bool return_head;      // a basic.return was seen, its header comes next
    uint64_t return_bytes; // of its body that are still to come
};

static enum status select_confirms(struct rabbitmq_connection *connection, void *context)
{
    struct rabbitmq_publisher *publisher = context;
    amqp_confirm_select(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL);
    rabbitmq_connection_leave(connection);
    confirm_window_reset(&publisher->window);
    publisher->return_head = false;
    publisher->return_bytes = 0;
    return rabbitmq_connection_replied(connection);
}

struct rabbitmq_publisher *rabbitmq_publisher_new(const struct rabbitmq_settings *settings)
{
    struct rabbitmq_publisher *publisher = calloc(1, sizeof(*publisher));
    if (publisher == NULL) {
        return NULL;
    }
    buffer_init(&publisher->chunk, NULL, CHUNK_BYTES_MAX);
    if (confirm_window_init(&publisher->window, settings->window) != STATUS_OK) {
        free(publisher);
        return NULL;
    }
    rabbitmq_link_init(&publisher->link, settings, "publish", select_confirms, publisher);
    return publisher;
}

void rabbitmq_publisher_free(struct rabbitmq_publisher *publisher)
{
    if (publisher != NULL) {
        rabbitmq_link_close(&publisher->link);
        confirm_window_free(&publisher->window);
        buffer_free(&publisher->chunk);
        free(publisher);
    }
}

// Everything in flight is void with the channel that it was published on.
static enum status lose(struct rabbitmq_publisher *publisher, enum status status)
{
    rabbitmq_link_lost(&publisher->link);
    confirm_window_reset(&publisher->window);
    return status;
}

static void take_return_header(struct rabbitmq_publisher *publisher, const amqp_frame_t *frame)
{
    const amqp_basic_properties_t *properties = frame->payload.properties.decoded;
    publisher->return_head = false;
    publisher->return_bytes = frame->payload.properties.body_size;
    confirm_window_return(&publisher->window, message_headers_id(properties));
}

static void take_method(struct rabbitmq_publisher *publisher, const amqp_method_t *method)
{
    if (method->id == AMQP_BASIC_ACK_METHOD) {
        const amqp_basic_ack_t *ack = method->decoded;
        confirm_window_confirm(&publisher->window, ack->delivery_tag, ack->multiple, PUBLISHED);
    } else if (method->id == AMQP_BASIC_NACK_METHOD) {
        const amqp_basic_nack_t *nack = method->decoded;
        confirm_window_confirm(&publisher->window, nack->delivery_tag, nack->multiple, NACKED);
    } else if (method->id == AMQP_BASIC_RETURN_METHOD) {
        publisher->return_head = true;
    }
}

static void take_frame(struct rabbitmq_publisher *publisher, const amqp_frame_t *frame)
{
    if (frame->frame_type == AMQP_FRAME_METHOD) {
        take_method(publisher, &frame->payload.method);
    } else if (frame->frame_type == AMQP_FRAME_HEADER && publisher->return_head) {
        take_return_header(publisher, frame);
    } else if (frame->frame_type == AMQP_FRAME_BODY) {
        uint64_t length = frame->payload.body_fragment.len;
        publisher->return_bytes -=
            length < publisher->return_bytes ? length : publisher->return_bytes;
    }
}

static bool has_outcome(const struct rabbitmq_publisher *publisher)
{
    const struct confirm_window *window = &publisher->window;
    return confirm_window_used(window) > 0 &&
           window->slots[window->first_tag % window->size].confirmed;
}

// Reads what the broker has said, waiting at most wait_ms for a first frame.
static enum status listen(struct rabbitmq_publisher *publisher, int wait_ms)
{
    amqp_frame_t frame;
    bool got = true;
    while (got) {
        int wait = has_outcome(publisher) ? 0 : wait_ms;
        enum status status =
            rabbitmq_connection_frame(publisher->link.connection, wait, &frame, &got);
        if (status != STATUS_OK) {
            return lose(publisher, status);
        }
        if (got) {
            take_frame(publisher, &frame);
            wait_ms = 0;
        }
    }
    return STATUS_OK;
}

// What AMQP cannot carry would break the channel for all others.
static bool can_be_sent(const struct message *message)
{
    return message->exchange.len <= MESSAGE_ROUTING_KEY_MAX &&
           message->routing_key.len <= MESSAGE_ROUTING_KEY_MAX &&
           message->content_type.len <= MESSAGE_ROUTING_KEY_MAX &&
           message->body.len <= MESSAGE_BODY_MAX + 1; // what receive may have cut
}

// Gathers messages up to a chunk; they count as published from here on.
static size_t gather_chunk(struct rabbitmq_publisher *publisher, const struct message *messages,
                           size_t count)
{
    size_t frame_max = rabbitmq_connection_frame_max(publisher->link.connection);
    size_t gathered = 0;
    buffer_reset(&publisher->chunk);
    while (gathered < count && confirm_window_room(&publisher->window) > 0 &&
           publisher->chunk.len < CHUNK_BYTES && can_be_sent(&messages[gathered])) {
        const struct message *message = &messages[gathered++];
        publish_frames_add(&publisher->chunk, RABBITMQ_CHANNEL, frame_max, message);
        confirm_window_add(&publisher->window, message->id);
    }
    return gathered;
}

static bool may_write(const struct rabbitmq_publisher *publisher)
{
    return !rabbitmq_connection_blocked(publisher->link.connection) &&
           rabbitmq_connection_writable(publisher->link.connection);
}

static enum status write_all(struct rabbitmq_publisher *publisher, const struct message *messages,
                             size_t count, size_t *taken)
{
    size_t written = 0;
    *taken = 0;
    while (written < count && confirm_window_room(&publisher->window) > 0 && may_write(publisher)) {
        size_t gathered = gather_chunk(publisher, messages + written, count - written);
        if (gathered == 0) {
            *taken = written;
            return STATUS_INVALID;
        }
        if (publisher->chunk.status != STATUS_OK ||
            rabbitmq_connection_write(publisher->link.connection, buffer_view(&publisher->chunk)) !=
                STATUS_OK) {
            return lose(publisher, STATUS_UNAVAILABLE);
        }
        written += gathered;
    }
    *taken = written;
    return STATUS_OK;
}

enum status rabbitmq_publisher_offer(struct rabbitmq_publisher *publisher,
                                     const struct message *messages, size_t count, size_t *taken)
{
    enum status status = rabbitmq_link_ensure(&publisher->link);
    if (status != STATUS_OK) {
        return STATUS_UNAVAILABLE;
    }
    status = listen(publisher, 0);
    return status == STATUS_OK ? write_all(publisher, messages, count, taken) : status;
}

enum status rabbitmq_publisher_settle(struct rabbitmq_publisher *publisher, int wait_ms, size_t max,
                                      enum publish_outcome *outcomes, size_t *count)
{
    *count = 0;
    if (rabbitmq_link_ensure(&publisher->link) != STATUS_OK) {
        rabbitmq_link_rest(&publisher->link, wait_ms);
        return STATUS_OK; // nothing is in flight without a connection
    }
    enum status status = listen(publisher, wait_ms);
    if (status == STATUS_OK) {
        *count = confirm_window_take(&publisher->window, max, outcomes);
    }
    return status;
}

enum status rabbitmq_publisher_publish(struct rabbitmq_publisher *publisher,
                                       const struct message *messages, size_t count, int timeout_ms,
                                       enum publish_outcome *outcomes)
{
    int64_t deadline = rabbitmq_now_ms() + timeout_ms;
    size_t offered = 0;
    size_t settled = 0;
    for (size_t at = 0; at < count; at++) {
        outcomes[at] = UNSETTLED;
    }
    while (settled < count) {
        size_t taken = 0;
        size_t more = 0;
        int64_t left = deadline - rabbitmq_now_ms();
        enum status status =
            rabbitmq_publisher_offer(publisher, messages + offered, count - offered, &taken);
        offered += taken;
        if (status == STATUS_OK) {
            status = rabbitmq_publisher_settle(publisher, left > 0 ? (int)left : 0, count - settled,
                                               outcomes + settled, &more);
        }
        settled += more;
        if (status == STATUS_OK && settled < count && left <= 0) {
            confirm_window_known(&publisher->window, count - settled, outcomes + settled);
            confirm_window_abandon(&publisher->window);
            status = STATUS_TIMEOUT;
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status rabbitmq_publisher_tick(struct rabbitmq_publisher *publisher)
{
    return rabbitmq_link_ensure(&publisher->link) == STATUS_OK ? listen(publisher, 0)
                                                               : STATUS_UNAVAILABLE;
}

bool rabbitmq_publisher_connected(const struct rabbitmq_publisher *publisher)
{
    return publisher->link.connection != NULL;
}

bool rabbitmq_publisher_blocked(const struct rabbitmq_publisher *publisher)
{
    return publisher->link.connection != NULL &&
           rabbitmq_connection_blocked(publisher->link.connection);
}

const char *rabbitmq_publisher_cause(const struct rabbitmq_publisher *publisher)
{
    return publisher->link.cause;
}
