// SPDX-License-Identifier: Apache-2.0
// I-JSON (RFC 7493): one strict pass over foreign bytes without allocation, and a small writer.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/str.h"

enum { JSON_DEPTH_MAX = 32, JSON_MEMBERS_MAX = 256 };

// The largest integer that every JSON reader understands alike (2^53 - 1).
#define JSON_INTEGER_MAX INT64_C(9007199254740991)

enum json_fault {
    JSON_OK,
    JSON_EMPTY,
    JSON_SYNTAX,           // no JSON value, or a number, literal or string written wrongly
    JSON_TRAILING_BYTES,   // something after the value
    JSON_BAD_UTF8,         // overlong, surrogate, above U+10FFFF, cut short
    JSON_BAD_ESCAPE,       // a lone surrogate, U+0000, an unknown escape
    JSON_CONTROL_CHAR,     // a raw character below U+0020 in a string
    JSON_DUPLICATE_MEMBER, // compared after unescaping
    JSON_TOO_DEEP,         // past JSON_DEPTH_MAX
    JSON_TOO_MANY_MEMBERS, // past JSON_MEMBERS_MAX in one object
    JSON_NUMBER_RANGE,     // an integer outside +-(2^53 - 1), a fraction or exponent not finite
};

// Checks that `text` is one I-JSON value. offset: where the fault was seen. Pure, no allocation;
// cost is linear in the text for objects of few members.
enum json_fault json_check(struct str text, size_t *offset);

// A sentence for a client, such as "an object has the same member twice".
const char *json_fault_text(enum json_fault fault);

// The writer adds to a bounded buffer, whose status tells at the end. It inserts the commas.
struct json_writer {
    struct buffer *out;
    bool comma; // the next value or member name is not the first
};

void json_writer_init(struct json_writer *writer, struct buffer *out);
void json_object_begin(struct json_writer *writer);
void json_object_end(struct json_writer *writer);
void json_array_begin(struct json_writer *writer);
void json_array_end(struct json_writer *writer);
void json_name(struct json_writer *writer, struct str name);
void json_string(struct json_writer *writer, struct str value); // escapes; takes valid UTF-8
void json_int(struct json_writer *writer, int64_t value);
void json_bool(struct json_writer *writer, bool value);
void json_null(struct json_writer *writer);
void json_raw(struct json_writer *writer, struct str json); // a whole value already encoded
void json_uuid(struct json_writer *writer, const unsigned char bytes[16]);
void json_instant(struct json_writer *writer, int64_t at_us); // "2026-11-24T06:52:25.123Z"
