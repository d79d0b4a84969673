// SPDX-License-Identifier: Apache-2.0
// base64url without padding (RFC 4648, 5), strict: one text for one sequence of bytes.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/str.h"

// Bytes that a text of this length decodes to at most.
static inline size_t base64url_decoded_max(size_t text_len)
{
    return text_len / 4 * 3 + 2;
}

// False: padding, white space, a character of another alphabet, an impossible length, or trailing
// bits that are not zero. bytes must hold base64url_decoded_max(text.len).
bool base64url_decode(struct str text, unsigned char *bytes, size_t *len);

void base64url_encode(const unsigned char *bytes, size_t len, struct buffer *out);
