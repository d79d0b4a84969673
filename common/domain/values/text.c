// SPDX-License-Identifier: Apache-2.0
// Free text that people write: counted in characters, without control characters.
#include "domain/values/text.h"

size_t text_length(struct str text)
{
    size_t length = 0;
    for (size_t at = 0; at < text.len; at++) {
        length += ((unsigned char)text.data[at] & 0xc0) != 0x80; // all but continuation bytes
    }
    return length;
}

// U+0080 to U+009F are C2 80 to C2 9F in UTF-8.
static bool is_control(struct str text, size_t at)
{
    unsigned char byte = (unsigned char)text.data[at];
    return byte < 0x20 || byte == 0x7f ||
           (byte == 0xc2 && at + 1 < text.len && (unsigned char)text.data[at + 1] < 0xa0);
}

bool text_is_readable(struct str text)
{
    bool has_ink = false;
    for (size_t at = 0; at < text.len; at++) {
        if (is_control(text, at)) {
            return false;
        }
        has_ink |= text.data[at] != ' ';
    }
    return has_ink;
}
