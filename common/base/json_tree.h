// SPDX-License-Identifier: Apache-2.0
// Reads JSON that json_check has passed (or that we wrote ourselves) into a tree in an arena:
// strings unescaped, integers exact, members in their order.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"

enum json_kind {
    JSON_NULL,
    JSON_BOOL,
    JSON_INTEGER,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_value {
    enum json_kind kind; // JSON_INTEGER: written without fraction and exponent, and it fits
    bool boolean;
    int64_t integer;
    struct str name; // of a member; empty elsewhere
    struct str text; // a string unescaped, a number as written; views the input where it can
    size_t count;    // of an array's items or an object's members
    const struct json_value *first;
    const struct json_value *next; // the sibling
};

// The tree lives in the arena and may view `text`. Safe for any bytes, but not a check: it lets
// through what json_check refuses (duplicates, bad UTF-8). STATUS_MALFORMED, STATUS_NO_MEMORY.
enum status json_read(struct str text, struct arena *arena,
                      const struct json_value **root) MUST_CHECK;

// The same with a tree that outlives `text`.
enum status json_read_copy(struct str text, struct arena *arena,
                           const struct json_value **root) MUST_CHECK;

// A member by name; NULL when `object` is NULL, no object, or has none of that name.
const struct json_value *json_member(const struct json_value *object, struct str name);

// Members for readers of our own bytes: what is missing or of another kind is empty or 0.
struct str json_member_text(const struct json_value *object, struct str name);
int64_t json_member_int(const struct json_value *object, struct str name);
