// SPDX-License-Identifier: Apache-2.0
// basic.publish as bytes: method, header and body frames (AMQP 0-9-1, 2.3 and 4.2), without I/O.
//
// The library sends each of the three by a system call of its own. Written here, hundreds of
// messages go out in one, which spares us and the broker most of the work.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "application/ports/message_bus.h"
#include "base/buffer.h"

// Adds the frames of one message, persistent and, unless optional, mandatory, in pieces of at most
// frame_max bytes.
// The texts that AMQP limits (exchange, key, content type: 255 bytes) must fit. Failures stick to
// the buffer.
void publish_frames_add(struct buffer *out, uint16_t channel, size_t frame_max,
                        const struct message *message);
