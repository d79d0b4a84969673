// SPDX-License-Identifier: Apache-2.0
// A view of bytes that somebody else owns; never NUL-terminated by promise.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *data;
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})

// For printf's "%.*s".
#define STR_FMT(view) (int)(view).len, (view).data

// A view of a NUL-terminated string; NULL gives the empty view.
struct str str_from(const char *text);

bool str_eq(struct str left, struct str right);

// Byte order, shorter first among equals; below, equal or above zero as memcmp.
int str_compare(struct str left, struct str right);

bool str_starts_with(struct str text, struct str prefix);

// Is it one of these? NUL never is, though strchr would find it at the end.
static inline bool char_is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static inline bool str_is_empty(struct str text)
{
    return text.len == 0;
}

// Where `text` stands in a list of texts. False: it does not; *index is untouched.
bool str_find(const struct str *list, size_t count, struct str text, size_t *index);

// An array of texts as the two arguments of str_find.
#define STR_LIST(array) (array), sizeof(array) / sizeof((array)[0])

// Splits at the first `separator`. True: *head is what stands before, *rest what stands after.
// False: there is none, *head is the whole, *rest is empty. Either may alias `text`.
bool str_split(struct str text, char separator, struct str *head, struct str *rest);

// Reads a decimal integer: an optional '-', digits, nothing else. False when it is no such thing or
// does not fit.
bool str_to_int64(struct str text, int64_t *value);

// How many bytes the UTF-8 character at the front takes; 0: none stands there whole, or it is
// overlong, a surrogate, above U+10FFFF or U+0000.
size_t str_utf8_len(struct str text);

// Text that every store takes: UTF-8 without U+0000. The empty view is one.
bool str_is_text(struct str text);

// FNV-1a, 64 bits; for tables in memory, never for keys that an attacker chooses.
uint64_t str_hash(struct str text);
