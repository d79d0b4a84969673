// SPDX-License-Identifier: Apache-2.0
// The log of a daemon: one JSON object a line on stderr, foreign bytes escaped, lines never mixed.
#include "infrastructure/telemetry/log.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/instant.h"

static const char *open_program = "comanda";
static _Atomic int open_level = LOG_INFO;

struct line {
    char bytes[LOG_LINE_MAX];
    size_t len;
};

enum { LINE_END_ROOM = 2 }; // the closing brace and the newline always fit

void log_open(const char *program, enum log_level level)
{
    open_program = program;
    log_set_level(level);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&open_level, (int)level, memory_order_relaxed);
}

static bool add(struct line *line, struct str text)
{
    if (line->len + text.len + LINE_END_ROOM > sizeof(line->bytes)) {
        return false;
    }
    memcpy(line->bytes + line->len, text.data, text.len);
    line->len += text.len;
    return true;
}

static bool add_escaped(struct line *line, unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
    char pair[2] = {'\\', (char)byte};
    bool plain = byte == '"' || byte == '\\';
    return plain ? add(line, (struct str){pair, 2}) : add(line, (struct str){text, sizeof(text)});
}

static bool add_character(struct line *line, const unsigned char *at, size_t left, size_t *len)
{
    *len = str_utf8_len((struct str){(const char *)at, left});
    if (*len == 0) { // no text: the replacement character stands for the byte
        *len = 1;
        return add(line, STR("\xef\xbf\xbd"));
    }
    if (*len == 1 && (at[0] < 0x20 || at[0] == '"' || at[0] == '\\' || at[0] == 0x7f)) {
        return add_escaped(line, at[0]);
    }
    return add(line, (struct str){(const char *)at, *len});
}

static bool add_string(struct line *line, struct str text)
{
    bool fits = add(line, STR("\""));
    size_t end = text.len < LOG_VALUE_MAX ? text.len : LOG_VALUE_MAX;
    for (size_t at = 0; at < end && fits;) {
        size_t len = 0;
        fits = add_character(line, (const unsigned char *)text.data + at, text.len - at, &len);
        at += len;
    }
    return fits && add(line, STR("\""));
}

static bool add_number(struct line *line, int64_t number)
{
    char digits[21];
    size_t at = sizeof(digits);
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0) {
        digits[--at] = '-';
    }
    return add(line, (struct str){digits + at, sizeof(digits) - at});
}

static bool add_name(struct line *line, const char *name)
{
    return add(line, line->len == 1 ? STR("\"") : STR(",\"")) && add(line, str_from(name)) &&
           add(line, STR("\":"));
}

// A field that does not fit whole is left out, so that the line stays JSON.
static void add_field(struct line *line, const struct log_field *field)
{
    size_t before = line->len;
    bool fits =
        add_name(line, field->name) && (field->text.data == NULL ? add_number(line, field->number)
                                                                 : add_string(line, field->text));
    if (!fits) {
        line->len = before;
    }
}

static void add_time(struct line *line)
{
    struct timespec now;
    char text[INSTANT_TEXT_LEN];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    instant_format((instant_us)now.tv_sec * 1000000 + now.tv_nsec / 1000, text);
    struct log_field field = log_str("time", (struct str){text, sizeof(text)});
    add_field(line, &field);
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return "debug";
    case LOG_INFO:
        return "info";
    case LOG_WARNING:
        return "warning";
    case LOG_ERROR:
        return "error";
    }
    return "error";
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    if ((int)level < atomic_load_explicit(&open_level, memory_order_relaxed)) {
        return;
    }
    struct line line = {.bytes = "{", .len = 1};
    const struct log_field head[] = {log_text("level", level_name(level)),
                                     log_text("program", open_program),
                                     log_text("message", message)};
    add_time(&line);
    for (size_t at = 0; at < sizeof(head) / sizeof(head[0]); at++) {
        add_field(&line, &head[at]);
    }
    for (const struct log_field *field = fields; field->name != NULL; field++) {
        if (field->text.data == NULL || field->text.len > 0) {
            add_field(&line, field);
        }
    }
    memcpy(line.bytes + line.len, "}\n", LINE_END_ROOM);
    // One write a line: threads and processes that share the pipe do not mix theirs.
    ssize_t written = write(STDERR_FILENO, line.bytes, line.len + LINE_END_ROOM);
    (void)written; // where the log cannot be written there is nobody to tell
}
