// SPDX-License-Identifier: Apache-2.0
// Reads JSON that json_check has passed (or that we wrote ourselves) into a tree in an arena:
// strings unescaped, integers exact, members in their order.
#include "base/json_tree.h"

#include <string.h>

#include "base/json.h"

struct reader {
    const char *at;
    const char *end;
    struct arena *arena;
    int depth;
};

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\n' ||
                                        *reader->at == '\r' || *reader->at == '\t')) {
        reader->at++;
    }
}

static bool take(struct reader *reader, char wanted)
{
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != wanted) {
        return false;
    }
    reader->at++;
    return true;
}

static bool hex4(const char *at, const char *end, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        if (end - at <= i) {
            return false;
        }
        char digit = at[i];
        char lower = (char)(digit | 0x20);
        int value = digit >= '0' && digit <= '9'   ? digit - '0'
                    : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
                                                   : -1;
        if (value < 0) {
            return false;
        }
        *unit = *unit << 4 | (uint32_t)value;
    }
    return true;
}

static char *put_utf8(char *out, uint32_t point)
{
    if (point < 0x80) {
        *out++ = (char)point;
    } else if (point < 0x800) {
        *out++ = (char)(0xc0 | point >> 6);
        *out++ = (char)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        *out++ = (char)(0xe0 | point >> 12);
        *out++ = (char)(0x80 | (point >> 6 & 0x3f));
        *out++ = (char)(0x80 | (point & 0x3f));
    } else {
        *out++ = (char)(0xf0 | point >> 18);
        *out++ = (char)(0x80 | (point >> 12 & 0x3f));
        *out++ = (char)(0x80 | (point >> 6 & 0x3f));
        *out++ = (char)(0x80 | (point & 0x3f));
    }
    return out;
}

// Reads \uXXXX, with its second half where there is one; *at stands after the 'u'. NULL: malformed.
static char *unescape_unicode(const char **at, const char *end, char *out)
{
    uint32_t unit, low;
    if (!hex4(*at, end, &unit)) {
        return NULL;
    }
    *at += 4;
    if (unit >= 0xd800 && unit <= 0xdbff && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' &&
        hex4(*at + 2, end, &low) && low >= 0xdc00 && low <= 0xdfff) {
        *at += 6;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    return put_utf8(out, unit);
}

// An escape never grows: six bytes become at most three, twelve four.
static enum status unescape(struct reader *reader, struct str raw, struct str *text)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    char *bytes = arena_alloc(reader->arena, raw.len);
    if (bytes == NULL) {
        return STATUS_NO_MEMORY;
    }
    char *out = bytes;
    const char *end = raw.data + raw.len;
    for (const char *at = raw.data; at < end;) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        char letter = *++at; // the scan saw to it that a byte follows a backslash
        at++;
        const char *found = letter == '\0' ? NULL : strchr(letters, letter);
        if (found != NULL) {
            *out++ = meanings[found - letters];
        } else if (letter != 'u' || (out = unescape_unicode(&at, end, out)) == NULL) {
            return STATUS_MALFORMED;
        }
    }
    *text = (struct str){bytes, (size_t)(out - bytes)};
    return STATUS_OK;
}

static enum status read_string(struct reader *reader, struct str *text)
{
    if (!take(reader, '"')) {
        return STATUS_MALFORMED;
    }
    const char *first = reader->at;
    bool escaped = false;
    while (reader->at < reader->end && *reader->at != '"') {
        if (*reader->at == '\\') {
            escaped = true;
            reader->at++;
        }
        reader->at++;
    }
    if (reader->at >= reader->end) {
        return STATUS_MALFORMED;
    }
    struct str raw = {first, (size_t)(reader->at - first)};
    reader->at++;
    if (escaped) {
        return unescape(reader, raw, text);
    }
    *text = raw;
    return STATUS_OK;
}

static enum status read_number(struct reader *reader, struct json_value *value)
{
    const char *first = reader->at;
    while (reader->at < reader->end && char_is_one_of(*reader->at, "+-.eE0123456789")) {
        reader->at++;
    }
    value->text = (struct str){first, (size_t)(reader->at - first)};
    value->kind = str_to_int64(value->text, &value->integer) ? JSON_INTEGER : JSON_NUMBER;
    return value->text.len > 0 ? STATUS_OK : STATUS_MALFORMED;
}

static enum status read_literal(struct reader *reader, struct json_value *value)
{
    struct str left = {reader->at, (size_t)(reader->end - reader->at)};
    size_t len = 4;
    if (str_starts_with(left, STR("true"))) {
        *value = (struct json_value){.kind = JSON_BOOL, .boolean = true, .name = value->name};
    } else if (str_starts_with(left, STR("false"))) {
        *value = (struct json_value){.kind = JSON_BOOL, .name = value->name};
        len = 5;
    } else if (str_starts_with(left, STR("null"))) {
        value->kind = JSON_NULL;
    } else {
        return STATUS_MALFORMED;
    }
    reader->at += len;
    return STATUS_OK;
}

static enum status read_value(struct reader *reader, struct json_value *value);

// The members of an object or the items of an array; at stands after the opening bracket.
static enum status read_parts(struct reader *reader, struct json_value *parent, char closing)
{
    const struct json_value **link = &parent->first;
    if (take(reader, closing)) {
        return STATUS_OK;
    }
    do {
        struct json_value *part = arena_alloc(reader->arena, sizeof(*part));
        if (part == NULL) {
            return STATUS_NO_MEMORY;
        }
        if (closing == '}') {
            enum status status = read_string(reader, &part->name);
            if (status != STATUS_OK || !take(reader, ':')) {
                return status != STATUS_OK ? status : STATUS_MALFORMED;
            }
        }
        enum status status = read_value(reader, part);
        if (status != STATUS_OK) {
            return status;
        }
        *link = part;
        link = &part->next;
        parent->count++;
    } while (take(reader, ','));
    return take(reader, closing) ? STATUS_OK : STATUS_MALFORMED;
}

static enum status read_container(struct reader *reader, struct json_value *value)
{
    if (reader->depth == JSON_DEPTH_MAX) {
        return STATUS_MALFORMED;
    }
    bool is_object = *reader->at++ == '{';
    value->kind = is_object ? JSON_OBJECT : JSON_ARRAY;
    reader->depth++;
    enum status status = read_parts(reader, value, is_object ? '}' : ']');
    reader->depth--;
    return status;
}

static enum status read_value(struct reader *reader, struct json_value *value)
{
    skip_space(reader);
    if (reader->at == reader->end) {
        return STATUS_MALFORMED;
    }
    switch (*reader->at) {
    case '{':
    case '[':
        return read_container(reader, value);
    case '"':
        value->kind = JSON_STRING;
        return read_string(reader, &value->text);
    case '-':
    case '0' ... '9':
        return read_number(reader, value);
    default:
        return read_literal(reader, value);
    }
}

enum status json_read(struct str text, struct arena *arena, const struct json_value **root)
{
    struct reader reader = {.at = text.data, .end = text.data + text.len, .arena = arena};
    struct json_value *value = arena_alloc(arena, sizeof(*value));
    if (value == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = text.len == 0 ? STATUS_MALFORMED : read_value(&reader, value);
    if (status != STATUS_OK) {
        return status;
    }
    skip_space(&reader);
    if (reader.at != reader.end) {
        return STATUS_MALFORMED;
    }
    *root = value;
    return STATUS_OK;
}

enum status json_read_copy(struct str text, struct arena *arena, const struct json_value **root)
{
    struct str copy = arena_str(arena, text);
    return copy.data == NULL ? STATUS_NO_MEMORY : json_read(copy, arena, root);
}

const struct json_value *json_member(const struct json_value *object, struct str name)
{
    if (object == NULL || object->kind != JSON_OBJECT) {
        return NULL;
    }
    for (const struct json_value *member = object->first; member != NULL; member = member->next) {
        if (str_eq(member->name, name)) {
            return member;
        }
    }
    return NULL;
}

struct str json_member_text(const struct json_value *object, struct str name)
{
    const struct json_value *member = json_member(object, name);
    return member != NULL && member->kind == JSON_STRING ? member->text : STR("");
}

int64_t json_member_int(const struct json_value *object, struct str name)
{
    const struct json_value *member = json_member(object, name);
    return member != NULL && member->kind == JSON_INTEGER ? member->integer : 0;
}
