// SPDX-License-Identifier: Apache-2.0
// Comanda-Position: where a document stands in the log, as an opaque token for clients.
#include "infrastructure/codec/position.h"

#include <string.h>

#include "base/buffer.h"
#include "infrastructure/token/base64url.h"

// format, log, epoch, tx, position, stream, version; big-endian. 42 bytes are 56 characters.
enum { FORMAT = 1, BYTES = 1 + 1 + 4 + 8 + 8 + 16 + 4 };

static unsigned char *put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        *at++ = (unsigned char)(value >> (8 * i));
    }
    return at;
}

static uint64_t get(const unsigned char **at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value = value << 8 | *(*at)++;
    }
    return value;
}

void position_format(const struct position *position, char text[POSITION_TEXT_LEN])
{
    unsigned char bytes[BYTES];
    unsigned char *at = put(bytes, FORMAT, 1);
    at = put(at, position->log, 1);
    at = put(at, (uint32_t)position->at.epoch, 4);
    at = put(at, position->at.tx, 8);
    at = put(at, (uint64_t)position->at.position, 8);
    memcpy(at, position->stream.bytes, 16);
    (void)put(at + 16, (uint32_t)position->version, 4);
    struct buffer out;
    buffer_init(&out, NULL, 2 * POSITION_TEXT_LEN);
    base64url_encode(bytes, sizeof(bytes), &out);
    memset(text, 'A', POSITION_TEXT_LEN);
    if (out.len == POSITION_TEXT_LEN) {
        memcpy(text, out.data, POSITION_TEXT_LEN);
    }
    buffer_free(&out);
}

enum status position_parse(struct str text, struct position *position)
{
    unsigned char bytes[POSITION_TEXT_LEN];
    size_t len = 0;
    if (text.len != POSITION_TEXT_LEN || !base64url_decode(text, bytes, &len) || len != BYTES ||
        bytes[0] != FORMAT) {
        return STATUS_MALFORMED;
    }
    const unsigned char *at = bytes + 1;
    struct position read;
    read.log = (uint8_t)get(&at, 1);
    read.at.epoch = (int32_t)get(&at, 4);
    read.at.tx = get(&at, 8);
    read.at.position = (int64_t)get(&at, 8);
    memcpy(read.stream.bytes, at, 16);
    at += 16;
    read.version = (int32_t)get(&at, 4);
    *position = read;
    return STATUS_OK;
}
