// SPDX-License-Identifier: Apache-2.0
// base64url without padding (RFC 4648, 5), strict: one text for one sequence of bytes.
#include "infrastructure/token/base64url.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int value_of(char digit)
{
    if (digit >= 'A' && digit <= 'Z') {
        return digit - 'A';
    }
    if (digit >= 'a' && digit <= 'z') {
        return digit - 'a' + 26;
    }
    if (digit >= '0' && digit <= '9') {
        return digit - '0' + 52;
    }
    return digit == '-' ? 62 : digit == '_' ? 63 : -1;
}

bool base64url_decode(struct str text, unsigned char *bytes, size_t *len)
{
    uint32_t bits = 0;
    int bit_count = 0;
    size_t made = 0;
    if (text.len % 4 == 1) {
        return false;
    }
    for (size_t at = 0; at < text.len; at++) {
        int value = value_of(text.data[at]);
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            bytes[made++] = (unsigned char)(bits >> bit_count);
        }
    }
    if ((bits & ((1u << bit_count) - 1)) != 0) { // two texts would mean the same bytes
        return false;
    }
    *len = made;
    return true;
}

void base64url_encode(const unsigned char *bytes, size_t len, struct buffer *out)
{
    uint32_t bits = 0;
    int bit_count = 0;
    for (size_t at = 0; at < len; at++) {
        bits = bits << 8 | bytes[at];
        bit_count += 8;
        while (bit_count >= 6) {
            bit_count -= 6;
            buffer_add_char(out, alphabet[bits >> bit_count & 63]);
        }
    }
    if (bit_count > 0) {
        buffer_add_char(out, alphabet[bits << (6 - bit_count) & 63]);
    }
}
