// SPDX-License-Identifier: Apache-2.0
// Reads a command's body and lists everything wrong with it, each fault with its JSON pointer.
//
// Each reader reports what it finds and returns false then, leaving its out parameter alone; the
// caller goes on, so that all faults come together.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/json_tree.h"
#include "base/str.h"
#include "domain/fault_list.h"

struct body_reader {
    struct arena *arena;
    struct fault_list *faults;
    bool lenient; // unknown members are ignored: the body comes from a saga, not from a client
};

// A place in the body: a value, which may be missing (NULL), and its pointer.
struct body_place {
    const struct json_value *value;
    struct str pointer;
};

void body_fault(struct body_reader *reader, struct str pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// The pointer to a member of this place.
struct str body_pointer(struct body_reader *reader, struct body_place parent, struct str name);

// An object with these members (and, unless lenient, no others); each may still be missing.
bool body_is_object(struct body_reader *reader, struct body_place place, const struct str *members,
                    size_t member_count);

// Reads the whole body, an object with these members (and, unless lenient, no others).
// root->value is NULL when it is no object, which is reported. STATUS_MALFORMED, STATUS_NO_MEMORY.
enum status body_open(struct body_reader *reader, struct str json, const struct str *members,
                      size_t member_count, struct body_place *root) MUST_CHECK;

// command_type.parse of a command that says nothing beyond its name: any object. *body is not NULL
// unless there are faults.
enum status body_parse_empty(struct str json, struct arena *arena, struct fault_list *faults,
                             void **body);

// A member that has to be an object with these members.
bool body_object(struct body_reader *reader, struct body_place parent, struct str name,
                 const struct str *members, size_t member_count, struct body_place *place);

// A member of any kind; NULL when it is missing, which is reported.
const struct json_value *body_value(struct body_reader *reader, struct body_place parent,
                                    struct str name);

// A string of so many characters, readable (text.h).
bool body_text(struct body_reader *reader, struct body_place parent, struct str name,
               size_t length_max, struct str *text);

// A string of any content.
bool body_string(struct body_reader *reader, struct body_place parent, struct str name,
                 struct str *text);

bool body_integer(struct body_reader *reader, struct body_place parent, struct str name,
                  int64_t least, int64_t most, int64_t *integer);

// The n-th item of an array, as a place of its own.
struct body_place body_item(struct body_reader *reader, struct body_place array,
                            const struct json_value *item, size_t index);
