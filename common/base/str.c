// SPDX-License-Identifier: Apache-2.0
// A view of bytes that somebody else owns; never NUL-terminated by promise.
#include "base/str.h"

#include <string.h>

struct str str_from(const char *text)
{
    return text == NULL ? (struct str){"", 0} : (struct str){text, strlen(text)};
}

bool str_eq(struct str left, struct str right)
{
    return left.len == right.len && (left.len == 0 || memcmp(left.data, right.data, left.len) == 0);
}

int str_compare(struct str left, struct str right)
{
    size_t shorter = left.len < right.len ? left.len : right.len;
    int order = shorter == 0 ? 0 : memcmp(left.data, right.data, shorter);
    if (order != 0) {
        return order;
    }
    return (left.len > right.len) - (left.len < right.len);
}

bool str_starts_with(struct str text, struct str prefix)
{
    return text.len >= prefix.len && str_eq((struct str){text.data, prefix.len}, prefix);
}

bool str_find(const struct str *list, size_t count, struct str text, size_t *index)
{
    for (size_t at = 0; at < count; at++) {
        if (str_eq(list[at], text)) {
            *index = at;
            return true;
        }
    }
    return false;
}

bool str_split(struct str text, char separator, struct str *head, struct str *rest)
{
    const char *at = text.len == 0 ? NULL : memchr(text.data, separator, text.len);
    if (at == NULL) {
        *head = text;
        *rest = (struct str){"", 0};
        return false;
    }
    size_t before = (size_t)(at - text.data);
    *head = (struct str){text.data, before};
    *rest = (struct str){at + 1, text.len - before - 1};
    return true;
}

bool str_to_int64(struct str text, int64_t *value)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    size_t at = negative ? 1 : 0;
    if (at == text.len) {
        return false;
    }
    int64_t sum = 0;
    for (; at < text.len; at++) {
        char digit = text.data[at];
        if (digit < '0' || digit > '9' || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_sub_overflow(sum, digit - '0', &sum)) { // below zero INT64_MIN fits too
            return false;
        }
    }
    if (!negative && sum == INT64_MIN) {
        return false;
    }
    *value = negative ? sum : -sum;
    return true;
}

size_t str_utf8_len(struct str text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    if (text.len == 0) {
        return 0;
    }
    size_t len = at[0] == 0     ? 0
                 : at[0] < 0x80 ? 1
                 : at[0] < 0xc2 ? 0
                 : at[0] < 0xe0 ? 2
                 : at[0] < 0xf0 ? 3
                                : 4;
    if (len == 0 || at[0] > 0xf4 || len > text.len) {
        return 0;
    }
    for (size_t next = 1; next < len; next++) {
        if ((at[next] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool outside = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
    return overlong || outside ? 0 : len;
}

bool str_is_text(struct str text)
{
    while (text.len > 0) {
        size_t len = str_utf8_len(text);
        if (len == 0) {
            return false;
        }
        text = (struct str){text.data + len, text.len - len};
    }
    return true;
}

uint64_t str_hash(struct str text)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t at = 0; at < text.len; at++) {
        hash = (hash ^ (unsigned char)text.data[at]) * 1099511628211u;
    }
    return hash;
}
