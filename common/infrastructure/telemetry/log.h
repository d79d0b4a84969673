// SPDX-License-Identifier: Apache-2.0
// The log of a daemon: one JSON object a line on stderr, foreign bytes escaped, lines never mixed.
//
// Only runners log (workers, comandactl); libraries return what happened. Thread-safe.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

// The choices of a setting, in the enum's order.
#define LOG_LEVEL_CHOICES "debug|info|warning|error"

enum { LOG_LINE_MAX = 8192, LOG_VALUE_MAX = 1024 }; // bytes; longer ones are cut

struct log_field {
    const char *name; // NULL ends the list
    struct str text;  // data NULL: the number counts
    int64_t number;
};

static inline struct log_field log_str(const char *name, struct str text)
{
    return (struct log_field){name, {text.data == NULL ? "" : text.data, text.len}, 0};
}

static inline struct log_field log_text(const char *name, const char *text)
{
    return log_str(name, str_from(text));
}

static inline struct log_field log_int(const char *name, int64_t number)
{
    return (struct log_field){name, {NULL, 0}, number};
}

// Once, at start. program: "comanda-payment".
void log_open(const char *program, enum log_level level);
void log_set_level(enum log_level level);

// {"time","level","program","message", fields…}; fields with an empty text are left out.
void log_write(enum log_level level, const char *message, const struct log_field *fields);

// log_line(LOG_INFO, "connected", log_text("server", "rabbitmq"), log_int("attempt", 3));
#define log_line(level, message, ...) \
    log_write((level), (message),     \
              (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.name = NULL}})
