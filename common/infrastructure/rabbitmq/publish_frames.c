// SPDX-License-Identifier: Apache-2.0
// basic.publish as bytes: method, header and body frames (AMQP 0-9-1, 2.3 and 4.2), without I/O.
#include "infrastructure/rabbitmq/publish_frames.h"

#include <amqp.h>

#include "infrastructure/rabbitmq/message_headers.h"

enum {
    FRAME_END = 0xCE,
    FRAME_OVERHEAD = 8, // type, channel, length, end
    BASIC_CLASS = 60,
    PUBLISH_METHOD = 40,
    MANDATORY = 1,
    PERSISTENT = 2,
};

static void add_u16(struct buffer *out, uint16_t value)
{
    const char bytes[] = {(char)(value >> 8), (char)value};
    buffer_add(out, (struct str){bytes, sizeof(bytes)});
}

static void add_u32(struct buffer *out, uint32_t value)
{
    add_u16(out, (uint16_t)(value >> 16));
    add_u16(out, (uint16_t)value);
}

static void add_u64(struct buffer *out, uint64_t value)
{
    add_u32(out, (uint32_t)(value >> 32));
    add_u32(out, (uint32_t)value);
}

static void add_short_text(struct buffer *out, struct str text)
{
    buffer_add_char(out, (char)text.len);
    buffer_add(out, text);
}

static void begin_frame(struct buffer *out, char type, uint16_t channel, size_t length)
{
    buffer_add_char(out, type);
    add_u16(out, channel);
    add_u32(out, (uint32_t)length);
}

static void end_frame(struct buffer *out)
{
    buffer_add_char(out, (char)FRAME_END);
}

static void add_method(struct buffer *out, uint16_t channel, const struct message *message)
{
    size_t length = 9 + message->exchange.len + message->routing_key.len;
    begin_frame(out, AMQP_FRAME_METHOD, channel, length);
    add_u16(out, BASIC_CLASS);
    add_u16(out, PUBLISH_METHOD);
    add_u16(out, 0);
    add_short_text(out, message->exchange);
    add_short_text(out, message->routing_key);
    buffer_add_char(out, message->optional ? 0 : MANDATORY);
    end_frame(out);
}

static void add_number(struct buffer *out, struct str name, int64_t value)
{
    add_short_text(out, name);
    buffer_add_char(out, 'l');
    add_u64(out, (uint64_t)value);
}

static struct str cause_of(const struct message_attempts *attempts)
{
    struct str cause = attempts->cause;
    cause.len = cause.len < MESSAGE_CAUSE_MAX ? cause.len : MESSAGE_CAUSE_MAX;
    return cause;
}

// The lengths here follow from the names and the types' sizes: 10 more a number, 6 more a text.
static size_t attempts_length(const struct message_attempts *attempts)
{
    return MESSAGE_HEADER_COUNT.len + MESSAGE_HEADER_FIRST.len + MESSAGE_HEADER_LAST.len + 3 * 10 +
           MESSAGE_HEADER_CAUSE.len + 6 + cause_of(attempts).len;
}

static void add_attempts(struct buffer *out, const struct message_attempts *attempts)
{
    add_u32(out, (uint32_t)attempts_length(attempts));
    add_number(out, MESSAGE_HEADER_COUNT, attempts->count);
    add_number(out, MESSAGE_HEADER_FIRST, attempts->first_at_us);
    add_number(out, MESSAGE_HEADER_LAST, attempts->last_at_us);
    add_short_text(out, MESSAGE_HEADER_CAUSE);
    buffer_add_char(out, 'S');
    add_u32(out, (uint32_t)cause_of(attempts).len);
    buffer_add(out, cause_of(attempts));
}

// Properties follow their flags from the highest to the lowest.
static void add_header(struct buffer *out, uint16_t channel, const struct message *message)
{
    bool has_id = !uuid_is_nil(message->id);
    bool has_attempts = message->attempts.count > 0;
    size_t length = 14 + 1 + message->content_type.len + 1 + (has_id ? 1 + UUID_TEXT_LEN : 0) +
                    (has_attempts ? 4 + attempts_length(&message->attempts) : 0);
    begin_frame(out, AMQP_FRAME_HEADER, channel, length);
    add_u16(out, BASIC_CLASS);
    add_u16(out, 0);
    add_u64(out, message->body.len);
    add_u16(out, (uint16_t)(AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                            (has_id ? AMQP_BASIC_MESSAGE_ID_FLAG : 0) |
                            (has_attempts ? AMQP_BASIC_HEADERS_FLAG : 0)));
    add_short_text(out, message->content_type);
    if (has_attempts) {
        add_attempts(out, &message->attempts);
    }
    buffer_add_char(out, PERSISTENT);
    if (has_id) {
        char id[UUID_TEXT_LEN];
        uuid_format(message->id, id);
        add_short_text(out, (struct str){id, UUID_TEXT_LEN});
    }
    end_frame(out);
}

static void add_body(struct buffer *out, uint16_t channel, size_t frame_max, struct str body)
{
    size_t piece_max = frame_max - FRAME_OVERHEAD;
    while (body.len > 0) {
        size_t length = body.len < piece_max ? body.len : piece_max;
        begin_frame(out, AMQP_FRAME_BODY, channel, length);
        buffer_add(out, (struct str){body.data, length});
        end_frame(out);
        body = (struct str){body.data + length, body.len - length};
    }
}

void publish_frames_add(struct buffer *out, uint16_t channel, size_t frame_max,
                        const struct message *message)
{
    add_method(out, channel, message);
    add_header(out, channel, message);
    add_body(out, channel, frame_max, message->body);
}
