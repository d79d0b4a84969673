// SPDX-License-Identifier: Apache-2.0
// The small JSON writer of json.h, over a bounded buffer.
#include "base/json.h"

#include "base/instant.h"
#include "base/uuid.h"

void json_writer_init(struct json_writer *writer, struct buffer *out)
{
    *writer = (struct json_writer){.out = out};
}

static void begin_value(struct json_writer *writer)
{
    if (writer->comma) {
        buffer_add_char(writer->out, ',');
    }
    writer->comma = true;
}

static void open(struct json_writer *writer, char bracket)
{
    begin_value(writer);
    buffer_add_char(writer->out, bracket);
    writer->comma = false;
}

static void close(struct json_writer *writer, char bracket)
{
    buffer_add_char(writer->out, bracket);
    writer->comma = true;
}

void json_object_begin(struct json_writer *writer)
{
    open(writer, '{');
}

void json_object_end(struct json_writer *writer)
{
    close(writer, '}');
}

void json_array_begin(struct json_writer *writer)
{
    open(writer, '[');
}

void json_array_end(struct json_writer *writer)
{
    close(writer, ']');
}

static void add_escape(struct buffer *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    switch (byte) {
    case '"':
        buffer_add(out, STR("\\\""));
        return;
    case '\\':
        buffer_add(out, STR("\\\\"));
        return;
    case '\n':
        buffer_add(out, STR("\\n"));
        return;
    case '\r':
        buffer_add(out, STR("\\r"));
        return;
    case '\t':
        buffer_add(out, STR("\\t"));
        return;
    default: {
        char escape[6] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 0x0f]};
        buffer_add(out, (struct str){escape, sizeof(escape)});
        return;
    }
    }
}

static bool needs_escape(char byte)
{
    return (unsigned char)byte < 0x20 || byte == '"' || byte == '\\';
}

static void add_escaped(struct buffer *out, struct str value)
{
    size_t plain = 0; // start of the run that needs no escape
    for (size_t at = 0; at < value.len; at++) {
        if (needs_escape(value.data[at])) {
            buffer_add(out, (struct str){value.data + plain, at - plain});
            add_escape(out, (unsigned char)value.data[at]);
            plain = at + 1;
        }
    }
    buffer_add(out, (struct str){value.data + plain, value.len - plain});
}

// The text in quotes, with what stands before and after it; in one piece as far as nothing in it
// needs an escape, which is nearly always.
static void add_quoted(struct buffer *out, struct str before, struct str value, struct str after)
{
    size_t size = before.len + value.len + after.len;
    char *to = buffer_reserve(out, size);
    if (to == NULL) {
        return;
    }
    for (size_t at = 0; at < before.len; at++) {
        *to++ = before.data[at];
    }
    for (size_t at = 0; at < value.len; at++) {
        if (needs_escape(value.data[at])) {
            out->len += before.len + at;
            add_escaped(out, (struct str){value.data + at, value.len - at});
            buffer_add(out, after);
            return;
        }
        *to++ = value.data[at];
    }
    for (size_t at = 0; at < after.len; at++) {
        *to++ = after.data[at];
    }
    out->len += size;
}

void json_name(struct json_writer *writer, struct str name)
{
    add_quoted(writer->out, writer->comma ? STR(",\"") : STR("\""), name, STR("\":"));
    writer->comma = false;
}

void json_string(struct json_writer *writer, struct str value)
{
    add_quoted(writer->out, writer->comma ? STR(",\"") : STR("\""), value, STR("\""));
    writer->comma = true;
}

void json_int(struct json_writer *writer, int64_t value)
{
    begin_value(writer);
    buffer_add_int64(writer->out, value);
}

void json_bool(struct json_writer *writer, bool value)
{
    begin_value(writer);
    buffer_add(writer->out, value ? STR("true") : STR("false"));
}

void json_null(struct json_writer *writer)
{
    begin_value(writer);
    buffer_add(writer->out, STR("null"));
}

void json_raw(struct json_writer *writer, struct str json)
{
    begin_value(writer);
    buffer_add(writer->out, json);
}

void json_uuid(struct json_writer *writer, const unsigned char bytes[16])
{
    struct uuid id;
    char text[UUID_TEXT_LEN];
    for (int i = 0; i < 16; i++) {
        id.bytes[i] = bytes[i];
    }
    uuid_format(id, text);
    json_string(writer, (struct str){text, sizeof(text)});
}

void json_instant(struct json_writer *writer, int64_t at_us)
{
    char text[INSTANT_TEXT_LEN];
    instant_format(at_us, text);
    json_string(writer, (struct str){text, sizeof(text)});
}
