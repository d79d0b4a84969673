// SPDX-License-Identifier: Apache-2.0
// Reads NAME=value lines in the syntax of systemd's EnvironmentFile.
#include "infrastructure/config/settings_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct reader {
    struct str rest;
    int line;
    struct arena *arena;
    struct str *fault;
};

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static bool is_name_byte(char byte, bool first)
{
    bool letter = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '_';
    return letter || (!first && byte >= '0' && byte <= '9');
}

static char peek(const struct reader *reader)
{
    return reader->rest.len == 0 ? '\n' : reader->rest.data[0];
}

static void step(struct reader *reader)
{
    if (reader->rest.len > 0) {
        reader->line += reader->rest.data[0] == '\n';
        reader->rest.data++;
        reader->rest.len--;
    }
}

static void skip_blanks(struct reader *reader)
{
    while (reader->rest.len > 0 && is_blank(peek(reader))) {
        step(reader);
    }
}

static void skip_line(struct reader *reader)
{
    while (reader->rest.len > 0 && peek(reader) != '\n') {
        step(reader);
    }
    step(reader);
}

static enum status fail(struct reader *reader, int line, const char *what)
{
    *reader->fault = arena_printf(reader->arena, "line %d: %s", line, what);
    return STATUS_INVALID;
}

static enum status read_name(struct reader *reader, struct str *name)
{
    const char *start = reader->rest.data;
    while (reader->rest.len > 0 && is_name_byte(peek(reader), reader->rest.data == start)) {
        step(reader);
    }
    *name = (struct str){start, (size_t)(reader->rest.data - start)};
    if (name->len == 0 || reader->rest.len == 0 || peek(reader) != '=') {
        return fail(reader, reader->line, "write NAME=value, or # before a comment");
    }
    step(reader);
    return STATUS_OK;
}

// What a backslash means: joins lines, keeps the next byte; in double quotes only before \ " $ `.
static void read_escape(struct reader *reader, char quote, char *out, size_t *len)
{
    step(reader);
    char next = peek(reader);
    if (reader->rest.len > 0 && next == '\n') {
        step(reader);
        return;
    }
    if (quote == '"' && !char_is_one_of(next, "\\\"$`")) {
        out[(*len)++] = '\\';
    }
    if (reader->rest.len > 0) {
        out[(*len)++] = next;
        step(reader);
    }
}

static enum status read_quoted(struct reader *reader, char *out, size_t *len)
{
    int line = reader->line;
    char quote = peek(reader);
    step(reader);
    while (reader->rest.len > 0 && peek(reader) != quote) {
        if (quote == '"' && peek(reader) == '\\') {
            read_escape(reader, quote, out, len);
            continue;
        }
        out[(*len)++] = peek(reader);
        step(reader);
    }
    if (reader->rest.len == 0) {
        return fail(reader, line, "the quote that begins here is never closed");
    }
    step(reader);
    return STATUS_OK;
}

static enum status read_value(struct reader *reader, struct str *value)
{
    char *out = arena_alloc(reader->arena, reader->rest.len + 1);
    if (out == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t len = 0;
    size_t kept = 0; // up to here even when blanks follow
    skip_blanks(reader);
    while (reader->rest.len > 0 && peek(reader) != '\n') {
        char byte = peek(reader);
        if (byte == '"' || byte == '\'') {
            enum status status = read_quoted(reader, out, &len);
            if (status != STATUS_OK) {
                return status;
            }
            kept = len;
        } else if (byte == '\\') {
            read_escape(reader, '\0', out, &len);
            kept = len;
        } else {
            out[len++] = byte;
            kept = is_blank(byte) ? kept : len;
            step(reader);
        }
    }
    step(reader);
    out[kept] = '\0';
    *value = (struct str){out, kept};
    return STATUS_OK;
}

static enum status read_line(struct reader *reader, struct settings_line *line)
{
    line->number = reader->line;
    enum status status = read_name(reader, &line->name);
    return status == STATUS_OK ? read_value(reader, &line->value) : status;
}

enum status settings_file_parse(struct str text, struct arena *arena, size_t lines_max,
                                struct settings_line *lines, size_t *count, struct str *fault)
{
    struct reader reader = {.rest = text, .line = 1, .arena = arena, .fault = fault};
    size_t found = 0;
    while (reader.rest.len > 0) {
        skip_blanks(&reader);
        char first = peek(&reader);
        if (first == '\n' || first == '#' || first == ';') {
            skip_line(&reader);
            continue;
        }
        if (found == lines_max) {
            return fail(&reader, reader.line, "too many values in this file");
        }
        enum status status = read_line(&reader, &lines[found]);
        if (status != STATUS_OK) {
            return status;
        }
        found++;
    }
    *count = found;
    return STATUS_OK;
}

enum status settings_file_read(const char *path, size_t size_max, struct arena *arena,
                               struct str *text, struct str *fault)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        *fault = arena_printf(arena, "%s: %s", path, strerror(errno));
        return STATUS_INVALID;
    }
    char *bytes = arena_alloc(arena, size_max + 2);
    size_t len = bytes == NULL ? 0 : fread(bytes, 1, size_max + 1, file);
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    if (bytes == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (failed || len > size_max) {
        *fault = arena_printf(arena, "%s: %s", path, failed ? "cannot be read" : "is too large");
        return STATUS_INVALID;
    }
    *text = (struct str){bytes, len};
    return STATUS_OK;
}
