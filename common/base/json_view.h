// SPDX-License-Identifier: Apache-2.0
// Reads JSON that json_check has passed, as views of its raw bytes: exact and without a tree.
//
// Total: on bytes that are no JSON every function says "not there" and reads nothing past the end.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct arena;

enum json_shape {
    JSON_SHAPE_NONE, // no value at all
    JSON_SHAPE_OBJECT,
    JSON_SHAPE_ARRAY,
    JSON_SHAPE_STRING,
    JSON_SHAPE_NUMBER,
    JSON_SHAPE_BOOL,
    JSON_SHAPE_NULL,
};

enum json_shape json_view_shape(struct str value);

// The raw value of an object's member; data NULL when there is none. The name is compared with the
// bytes between the quotes, so it finds only names written without escapes, as ours are.
struct str json_view_member(struct str object, struct str name);

// Walks an object or an array: begin, then next until false. name: raw, without quotes; empty in an
// array.
struct json_walk {
    const char *at;
    const char *end;
    bool object;
};

// False: neither object nor array; next then says false too.
bool json_view_begin(struct str container, struct json_walk *walk);
bool json_view_next(struct json_walk *walk, struct str *name, struct str *value);

// The text of a string value, unescaped into the arena where it has escapes, else a view. False: no
// string, or no memory.
bool json_view_string(struct str value, struct arena *arena, struct str *text);

// An integer within +-(2^53 - 1). False leaves *number alone.
bool json_view_int(struct str value, int64_t *number);

// Is it exactly this literal, such as `true`?
bool json_view_is(struct str value, struct str literal);
