// SPDX-License-Identifier: Apache-2.0
// Puts a message together from its frames: method, header, body pieces; without I/O.
#include "infrastructure/rabbitmq/delivery.h"

#include <string.h>

#include "infrastructure/rabbitmq/message_headers.h"

void delivery_init(struct delivery *delivery)
{
    *delivery = (struct delivery){0};
    buffer_init(&delivery->body, NULL, MESSAGE_BODY_MAX + 1);
}

void delivery_free(struct delivery *delivery)
{
    buffer_free(&delivery->body);
}

void delivery_reset(struct delivery *delivery)
{
    delivery->stage = DELIVERY_NONE;
    delivery->body_left = 0;
    delivery->message = (struct message){0};
    delivery->content_type.len = 0;
    delivery->cause.len = 0;
    buffer_reset(&delivery->body);
}

static void keep(struct delivery_text *text, const void *bytes, size_t length)
{
    text->len = length < DELIVERY_TEXT_MAX ? length : DELIVERY_TEXT_MAX;
    if (text->len > 0) {
        memcpy(text->bytes, bytes, text->len);
    }
}

static void begin(struct delivery *delivery, const amqp_basic_deliver_t *deliver)
{
    delivery_reset(delivery);
    delivery->stage = DELIVERY_HEADER;
    delivery->message.delivery_tag = deliver->delivery_tag;
    delivery->message.redelivered = deliver->redelivered;
    keep(&delivery->exchange, deliver->exchange.bytes, deliver->exchange.len);
    keep(&delivery->routing_key, deliver->routing_key.bytes, deliver->routing_key.len);
}

static void take_header(struct delivery *delivery, const amqp_frame_t *frame)
{
    const amqp_basic_properties_t *properties = frame->payload.properties.decoded;
    delivery->message.id = message_headers_id(properties);
    delivery->message.attempts = message_headers_attempts(properties);
    struct str cause = delivery->message.attempts.cause;
    keep(&delivery->cause, cause.data, cause.len);
    if ((properties->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG) != 0) {
        keep(&delivery->content_type, properties->content_type.bytes, properties->content_type.len);
    }
    delivery->body_left = frame->payload.properties.body_size;
    delivery->stage = delivery->body_left == 0 ? DELIVERY_WHOLE : DELIVERY_BODY;
}

static enum status take_body(struct delivery *delivery, amqp_bytes_t piece)
{
    size_t room = delivery->body.size_max - delivery->body.len;
    buffer_add(&delivery->body, (struct str){piece.bytes, piece.len < room ? piece.len : room});
    delivery->body_left -= piece.len < delivery->body_left ? piece.len : delivery->body_left;
    if (delivery->body_left == 0) {
        delivery->stage = DELIVERY_WHOLE;
    }
    return delivery->body.status;
}

enum status delivery_take(struct delivery *delivery, const amqp_frame_t *frame)
{
    if (frame->frame_type == AMQP_FRAME_METHOD &&
        frame->payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
        begin(delivery, frame->payload.method.decoded);
    } else if (frame->frame_type == AMQP_FRAME_HEADER && delivery->stage == DELIVERY_HEADER) {
        take_header(delivery, frame);
    } else if (frame->frame_type == AMQP_FRAME_BODY && delivery->stage == DELIVERY_BODY) {
        return take_body(delivery, frame->payload.body_fragment);
    }
    return STATUS_OK;
}

static bool copy(struct arena *arena, struct str text, struct str *copied)
{
    *copied = arena_str(arena, text);
    return copied->data != NULL;
}

static bool copy_text(struct arena *arena, const struct delivery_text *text, struct str *copied)
{
    return copy(arena, (struct str){text->bytes, text->len}, copied);
}

enum status delivery_finish(struct delivery *delivery, struct arena *arena, struct message *message)
{
    struct message made = delivery->message;
    if (!copy_text(arena, &delivery->exchange, &made.exchange) ||
        !copy_text(arena, &delivery->routing_key, &made.routing_key) ||
        !copy_text(arena, &delivery->content_type, &made.content_type) ||
        !copy_text(arena, &delivery->cause, &made.attempts.cause) ||
        !copy(arena, buffer_view(&delivery->body), &made.body)) {
        return STATUS_NO_MEMORY;
    }
    *message = made;
    delivery_reset(delivery);
    return STATUS_OK;
}
