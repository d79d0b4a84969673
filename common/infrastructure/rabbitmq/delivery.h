// SPDX-License-Identifier: Apache-2.0
// Puts a message together from its frames: method, header, body pieces; without I/O.
#pragma once

#include <amqp.h>
#include <stdbool.h>

#include "application/ports/message_bus.h"
#include "base/arena.h"
#include "base/buffer.h"

enum { DELIVERY_TEXT_MAX = 1024 };

enum delivery_stage { DELIVERY_NONE, DELIVERY_HEADER, DELIVERY_BODY, DELIVERY_WHOLE };

// A text copied out of a frame.
struct delivery_text {
    size_t len;
    char bytes[DELIVERY_TEXT_MAX];
};

// One message on its way in; kept over calls, since its frames come when they come.
struct delivery {
    enum delivery_stage stage;
    struct message message; // all but its texts and its body
    struct delivery_text exchange;
    struct delivery_text routing_key;
    struct delivery_text content_type;
    struct delivery_text cause;
    struct buffer body;
    uint64_t body_left;
};

void delivery_init(struct delivery *delivery);
void delivery_free(struct delivery *delivery);
void delivery_reset(struct delivery *delivery);

// Takes a frame of the channel; one that does not belong is ignored. Of a body only the first
// MESSAGE_BODY_MAX + 1 bytes are kept. STATUS_NO_MEMORY.
enum status delivery_take(struct delivery *delivery, const amqp_frame_t *frame) MUST_CHECK;

// Copies a whole message into the arena and begins anew. STATUS_NO_MEMORY: it is still there.
enum status delivery_finish(struct delivery *delivery, struct arena *arena,
                            struct message *message) MUST_CHECK;
