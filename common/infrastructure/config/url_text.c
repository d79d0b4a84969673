// SPDX-License-Identifier: Apache-2.0
// What the addresses of servers have in common: percent-encoded parts, and where the user ends.
#include "infrastructure/config/url_text.h"

#include <string.h>

static int hex_digit(char byte)
{
    const char *digits = "0123456789abcdef";
    const char *found =
        byte == '\0' ? NULL : strchr(digits, byte >= 'A' && byte <= 'F' ? byte | 32 : byte);
    return found == NULL ? -1 : (int)(found - digits);
}

static bool decode_byte(struct str text, size_t *at, char *byte)
{
    if (text.data[*at] != '%') {
        *byte = text.data[*at];
        return *byte > ' ';
    }
    if (*at + 2 >= text.len) {
        return false;
    }
    int high = hex_digit(text.data[*at + 1]);
    int low = hex_digit(text.data[*at + 2]);
    *at += 2;
    if (high < 0 || low < 0) {
        return false;
    }
    *byte = (char)(high << 4 | low);
    return *byte != '\0';
}

enum status url_decode(struct str text, char *decoded)
{
    size_t length = 0;
    for (size_t at = 0; at < text.len; at++) {
        if (!decode_byte(text, &at, &decoded[length++])) {
            return STATUS_INVALID;
        }
    }
    decoded[length] = '\0';
    return STATUS_OK;
}

bool url_split_user(struct str text, struct str *user, struct str *rest)
{
    for (size_t at = text.len; at > 0; at--) {
        if (text.data[at - 1] == '@') {
            *user = (struct str){text.data, at - 1};
            *rest = (struct str){text.data + at, text.len - at};
            return true;
        }
    }
    return false;
}
