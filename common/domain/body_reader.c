// SPDX-License-Identifier: Apache-2.0
// Reads a command's body and lists everything wrong with it, each fault with its JSON pointer.
#include "domain/body_reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buffer.h"
#include "domain/values/text.h"

enum { DETAIL_MAX = 200, POINTER_MAX = 256 };

void body_fault(struct body_reader *reader, struct str pointer, const char *format, ...)
{
    char detail[DETAIL_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    size_t kept = len < 0 ? 0 : (size_t)len < sizeof(detail) ? (size_t)len : sizeof(detail) - 1;
    fault_list_add(reader->faults, reader->arena, pointer, (struct str){detail, kept});
}

// The character at the front of a name, as RFC 6901 writes it: '~' and '/' are ~0 and ~1.
static struct str pointer_character(struct str name, size_t *len)
{
    *len = str_utf8_len(name);
    *len = *len == 0 ? 1 : *len;
    return name.data[0] == '~'   ? STR("~0")
           : name.data[0] == '/' ? STR("~1")
                                 : (struct str){name.data, *len};
}

// A very long name is cut, between two characters.
static struct str pointer_to(struct body_reader *reader, struct str parent, struct str name)
{
    struct buffer pointer;
    buffer_init(&pointer, reader->arena, parent.len + POINTER_MAX);
    buffer_add(&pointer, parent);
    buffer_add_char(&pointer, '/');
    while (name.len > 0 && pointer.status == STATUS_OK) {
        size_t len;
        buffer_add(&pointer, pointer_character(name, &len));
        name = (struct str){name.data + len, name.len - len};
    }
    return buffer_view(&pointer);
}

struct str body_pointer(struct body_reader *reader, struct body_place parent, struct str name)
{
    return pointer_to(reader, parent.pointer, name);
}

static bool is_one_of(struct str name, const struct str *members, size_t member_count)
{
    for (size_t i = 0; i < member_count; i++) {
        if (str_eq(name, members[i])) {
            return true;
        }
    }
    return false;
}

bool body_is_object(struct body_reader *reader, struct body_place place, const struct str *members,
                    size_t member_count)
{
    if (place.value->kind != JSON_OBJECT) {
        body_fault(reader, place.pointer, "must be an object");
        return false;
    }
    const struct json_value *member = reader->lenient ? NULL : place.value->first;
    for (; member != NULL; member = member->next) {
        if (!is_one_of(member->name, members, member_count)) {
            body_fault(reader, pointer_to(reader, place.pointer, member->name),
                       "is not a member of this command; leave it out");
        }
    }
    return true;
}

enum status body_open(struct body_reader *reader, struct str json, const struct str *members,
                      size_t member_count, struct body_place *root)
{
    struct body_place whole = {.pointer = STR("")};
    enum status status = json_read(json, reader->arena, &whole.value);
    if (status != STATUS_OK) {
        return status;
    }
    if (!body_is_object(reader, whole, members, member_count)) {
        whole.value = NULL;
    }
    *root = whole;
    return STATUS_OK;
}

enum status body_parse_empty(struct str json, struct arena *arena, struct fault_list *faults,
                             void **body)
{
    static const char nothing;
    struct body_reader reader = {arena, faults, true};
    struct body_place root;
    enum status status = body_open(&reader, json, NULL, 0, &root);
    if (status == STATUS_OK) {
        *body = root.value == NULL ? NULL : (void *)&nothing;
    }
    return status;
}

// Pointers are made only for faults, and for what has parts of its own.
const struct json_value *body_value(struct body_reader *reader, struct body_place parent,
                                    struct str name)
{
    const struct json_value *value = json_member(parent.value, name);
    if (value == NULL) {
        body_fault(reader, body_pointer(reader, parent, name), "is required");
    }
    return value;
}

bool body_object(struct body_reader *reader, struct body_place parent, struct str name,
                 const struct str *members, size_t member_count, struct body_place *place)
{
    struct body_place found = {.value = body_value(reader, parent, name)};
    if (found.value == NULL) {
        return false;
    }
    found.pointer = body_pointer(reader, parent, name);
    if (!body_is_object(reader, found, members, member_count)) {
        return false;
    }
    *place = found;
    return true;
}

bool body_string(struct body_reader *reader, struct body_place parent, struct str name,
                 struct str *text)
{
    const struct json_value *value = body_value(reader, parent, name);
    if (value == NULL) {
        return false;
    }
    if (value->kind != JSON_STRING) {
        body_fault(reader, body_pointer(reader, parent, name), "must be a string");
        return false;
    }
    *text = value->text;
    return true;
}

bool body_text(struct body_reader *reader, struct body_place parent, struct str name,
               size_t length_max, struct str *text)
{
    struct str found;
    if (!body_string(reader, parent, name, &found)) {
        return false;
    }
    size_t length = text_length(found);
    if (length == 0 || length > length_max || !text_is_readable(found)) {
        body_fault(reader, body_pointer(reader, parent, name),
                   "must be 1 to %zu characters, not all spaces and no control characters",
                   length_max);
        return false;
    }
    *text = found;
    return true;
}

bool body_integer(struct body_reader *reader, struct body_place parent, struct str name,
                  int64_t least, int64_t most, int64_t *integer)
{
    const struct json_value *value = body_value(reader, parent, name);
    if (value == NULL) {
        return false;
    }
    if (value->kind != JSON_INTEGER || value->integer < least || value->integer > most) {
        body_fault(reader, body_pointer(reader, parent, name),
                   "must be an integer from %" PRId64 " to %" PRId64, least, most);
        return false;
    }
    *integer = value->integer;
    return true;
}

struct body_place body_item(struct body_reader *reader, struct body_place array,
                            const struct json_value *item, size_t index)
{
    struct buffer pointer;
    buffer_init(&pointer, reader->arena, array.pointer.len + POINTER_MAX);
    buffer_add(&pointer, array.pointer);
    buffer_add_char(&pointer, '/');
    buffer_add_int64(&pointer, (int64_t)index);
    return (struct body_place){item, buffer_view(&pointer)};
}
