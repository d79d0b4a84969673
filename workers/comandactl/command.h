// SPDX-License-Identifier: Apache-2.0
// The operator's command line: a table of nouns, each with its verbs, options and examples. One
// file a noun; main.c reads the line, answers --help and calls the verb.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str.h"

// The exit codes, part of the published contract.
enum ctl_exit {
    CTL_OK = 0,
    CTL_NO = 1,          // done, and the answer is no: not up to date, a fault found, no such thing
    CTL_USAGE = 2,       // the line is wrong
    CTL_UNAVAILABLE = 3, // a server cannot be reached
    CTL_REFUSED = 4,     // a server or a rule says no
    CTL_INTERNAL = 5,    // out of memory, a file that cannot be read or used
};

enum { CTL_OPTIONS_MAX = 16, CTL_ARGUMENTS_MAX = 16 };

struct ctl_option {
    const char *name;  // "--ttl"
    const char *value; // "DURATION"; NULL: a flag
    const char *help;
};

struct ctl;

struct ctl_verb {
    const char *name;      // "status"; "" is the noun alone
    const char *arguments; // "ID", "FILE", "[QUEUE]"; "": none
    size_t arguments_min;
    size_t arguments_max;
    const char *summary;
    const struct ctl_option *options; // ends with a name of NULL; NULL: none but the common ones
    enum ctl_exit (*run)(struct ctl *ctl);
};

struct ctl_noun {
    const char *name;
    const char *summary;
    const struct ctl_verb *verbs; // ends with a run of NULL
    const char *examples;         // lines, each indented by two spaces
};

// One file a noun defines each; main.c lists them.
extern const struct ctl_noun ctl_migrate;
extern const struct ctl_noun ctl_token;
extern const struct ctl_noun ctl_product;
extern const struct ctl_noun ctl_stock;
extern const struct ctl_noun ctl_event;
extern const struct ctl_noun ctl_log;
extern const struct ctl_noun ctl_projection;
extern const struct ctl_noun ctl_dlq;
extern const struct ctl_noun ctl_saga;
extern const struct ctl_noun ctl_topology_noun;
extern const struct ctl_noun ctl_doctor;
extern const struct ctl_noun ctl_access;

// The line as it was read.
struct ctl {
    const struct ctl_noun *noun;
    const struct ctl_verb *verb;
    const char *arguments[CTL_ARGUMENTS_MAX];
    size_t argument_count;
    const char *option_names[CTL_OPTIONS_MAX];
    const char *option_values[CTL_OPTIONS_MAX]; // "" for a flag
    size_t option_count;
    bool json;    // machines read stdout: one JSON value, or one a line where a verb says so
    bool goes_on; // after a secret's file that is of no use, and has been told
    struct arena *arena;
};

// An option's value; NULL when it was not given.
const char *ctl_option_value(const struct ctl *ctl, const char *name);

// A setting: the option if given, else the environment variable, else the first line of the file
// that VARIABLE_FILE names, else `fallback`, which may be NULL. A file of no use ends the program.
const char *ctl_setting(struct ctl *ctl, const char *option, const char *variable,
                        const char *fallback);

// Says on stderr what went wrong ({"error":…} with --json) and gives the exit code back.
enum ctl_exit ctl_fail(const struct ctl *ctl, enum ctl_exit code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// The exit code of a failed call to a server.
enum ctl_exit ctl_exit_of(enum status status);

// Writes a finished JSON text to stdout with a newline.
void ctl_print_json(const struct buffer *json);

struct postgres;

// A connection as --postgres or COMANDA_POSTGRES says; NULL after it has said why not, *code is the
// exit code.
struct postgres *ctl_postgres(struct ctl *ctl, enum ctl_exit *code);

// The same where there is no log yet, or one from another cluster.
struct postgres *ctl_postgres_any_log(struct ctl *ctl, enum ctl_exit *code);
