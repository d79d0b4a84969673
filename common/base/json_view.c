// SPDX-License-Identifier: Apache-2.0
// Reads JSON that json_check has passed, as views of its raw bytes: exact and without a tree.
#include "base/json_view.h"

#include <string.h>

#include "base/arena.h"
#include "base/json.h"

static const struct str nothing = {NULL, 0};

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && is_space(*at)) {
        at++;
    }
    return at;
}

// at stands on the opening quote; gives what is after the closing one, NULL without one.
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '"') {
            return at + 1;
        }
        if (*at == '\\') {
            at++;
        }
    }
    return NULL;
}

static const char *skip_container(const char *at, const char *end)
{
    int depth = 0;
    while (at < end) {
        switch (*at) {
        case '"':
            at = skip_string(at, end);
            if (at == NULL) {
                return NULL;
            }
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (--depth == 0) {
                return at + 1;
            }
            break;
        }
        at++;
    }
    return NULL;
}

static const char *skip_scalar(const char *at, const char *end)
{
    while (at < end && !is_space(*at) && *at != ',' && *at != '}' && *at != ']') {
        at++;
    }
    return at;
}

static const char *skip_value(const char *at, const char *end)
{
    if (*at == '"') {
        return skip_string(at, end);
    }
    return *at == '{' || *at == '[' ? skip_container(at, end) : skip_scalar(at, end);
}

enum json_shape json_view_shape(struct str value)
{
    const char *end = value.data == NULL ? NULL : value.data + value.len;
    const char *at = value.data == NULL ? NULL : skip_space(value.data, end);
    if (at == end) {
        return JSON_SHAPE_NONE;
    }
    switch (*at) {
    case '{':
        return JSON_SHAPE_OBJECT;
    case '[':
        return JSON_SHAPE_ARRAY;
    case '"':
        return JSON_SHAPE_STRING;
    case 't':
    case 'f':
        return JSON_SHAPE_BOOL;
    case 'n':
        return JSON_SHAPE_NULL;
    }
    return *at == '-' || (*at >= '0' && *at <= '9') ? JSON_SHAPE_NUMBER : JSON_SHAPE_NONE;
}

bool json_view_begin(struct str container, struct json_walk *walk)
{
    enum json_shape shape = json_view_shape(container);
    *walk = (struct json_walk){NULL, NULL, shape == JSON_SHAPE_OBJECT};
    if (shape != JSON_SHAPE_OBJECT && shape != JSON_SHAPE_ARRAY) {
        return false;
    }
    walk->end = container.data + container.len;
    walk->at = skip_space(container.data, walk->end) + 1;
    return true;
}

static bool next_name(struct json_walk *walk, struct str *name)
{
    const char *from = walk->at;
    const char *after = *from == '"' ? skip_string(from, walk->end) : NULL;
    if (after == NULL) {
        return false;
    }
    *name = (struct str){from + 1, (size_t)(after - from) - 2};
    after = skip_space(after, walk->end);
    if (after == walk->end || *after != ':') {
        return false;
    }
    walk->at = skip_space(after + 1, walk->end);
    return walk->at < walk->end;
}

bool json_view_next(struct json_walk *walk, struct str *name, struct str *value)
{
    *name = (struct str){"", 0};
    if (walk->at == NULL) {
        return false;
    }
    walk->at = skip_space(walk->at, walk->end);
    if (walk->at < walk->end && *walk->at == ',') {
        walk->at = skip_space(walk->at + 1, walk->end);
    }
    if (walk->at == walk->end || *walk->at == '}' || *walk->at == ']' ||
        (walk->object && !next_name(walk, name))) {
        return false;
    }
    const char *after = skip_value(walk->at, walk->end);
    if (after == NULL || after == walk->at) {
        return false;
    }
    *value = (struct str){walk->at, (size_t)(after - walk->at)};
    walk->at = after;
    return true;
}

struct str json_view_member(struct str object, struct str name)
{
    struct json_walk walk;
    struct str found;
    struct str value;
    if (!json_view_begin(object, &walk) || !walk.object) {
        return nothing;
    }
    while (json_view_next(&walk, &found, &value)) {
        if (str_eq(found, name)) {
            return value;
        }
    }
    return nothing;
}

static unsigned hex4(const char *digits)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        char digit = digits[i];
        value = value * 16 + (unsigned)(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    return value;
}

static char *put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    return out;
}

// *at stands on the 'u'; moves past the escape, or both of a surrogate pair. False: cut short.
static bool unescape_unicode(const char **at, const char *end, char **out)
{
    if (end - *at < 5) {
        return false;
    }
    unsigned code = hex4(*at + 1);
    *at += 5;
    if (code >= 0xD800 && code < 0xDC00 && end - *at >= 6) {
        code = 0x10000 + ((code - 0xD800) << 10) + (hex4(*at + 2) - 0xDC00);
        *at += 6;
    }
    *out = put_utf8(*out, code);
    return true;
}

static char escaped_byte(char letter)
{
    static const char letters[] = "bfnrt";
    static const char bytes[] = "\b\f\n\r\t";
    const char *found = strchr(letters, letter);
    return found == NULL || letter == '\0' ? letter : bytes[found - letters];
}

// No escape gives more bytes than it has, so `out` is as long as the raw text.
static bool unescape(struct str raw, char *out, size_t *len)
{
    const char *at = raw.data;
    const char *end = raw.data + raw.len;
    char *start = out;
    while (at < end) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        if (++at == end) {
            return false;
        }
        if (*at != 'u') {
            *out++ = escaped_byte(*at++);
        } else if (!unescape_unicode(&at, end, &out)) {
            return false;
        }
    }
    *len = (size_t)(out - start);
    return true;
}

bool json_view_string(struct str value, struct arena *arena, struct str *text)
{
    if (json_view_shape(value) != JSON_SHAPE_STRING) {
        return false;
    }
    const char *end = value.data + value.len;
    const char *from = skip_space(value.data, end);
    const char *after = skip_string(from, end);
    if (after == NULL) {
        return false;
    }
    struct str raw = {from + 1, (size_t)(after - from) - 2};
    if (raw.len == 0 || memchr(raw.data, '\\', raw.len) == NULL) {
        *text = raw;
        return true;
    }
    char *out = arena_alloc(arena, raw.len + 1);
    struct str unescaped = {out, 0};
    if (out == NULL || !unescape(raw, out, &unescaped.len)) {
        return false;
    }
    *text = unescaped;
    return true;
}

bool json_view_int(struct str value, int64_t *number)
{
    int64_t read;
    if (value.data == NULL || !str_to_int64(value, &read) || read > JSON_INTEGER_MAX ||
        read < -JSON_INTEGER_MAX) {
        return false;
    }
    *number = read;
    return true;
}

bool json_view_is(struct str value, struct str literal)
{
    return value.data != NULL && str_eq(value, literal);
}
