// SPDX-License-Identifier: Apache-2.0
// A program's settings: one table that is read, checked, documented and printed the same way.
//
// A value comes from the environment, else from a file of NAME=value lines (the syntax of systemd's
// EnvironmentFile), else from the table. A secret's NAME_FILE names a file that holds the value
// instead. A program starts with all of its settings right or not at all.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"

enum {
    SETTINGS_MAX = 64,
    SETTING_VALUE_MAX = 4096,
    SETTINGS_FILE_MAX = 64 * 1024,
    SETTING_GROUPS_MAX = 8
};

enum setting_type {
    SETTING_TEXT,    // min and max: its length in bytes
    SETTING_SECRET,  // as text; never printed
    SETTING_INTEGER, // min and max: its value
    SETTING_MS,      // milliseconds; also written 500ms, 20s, 5m, 2h; min and max in milliseconds
    SETTING_CHOICE,  // one of `choices`
    SETTING_ADDRESS, // host:port; an IPv6 host in brackets; port 0 to 65535
};

struct setting {
    const char *name; // "COMANDA_POSTGRES"
    enum setting_type type;
    const char *value; // by default; NULL: required
    int64_t min;
    int64_t max;
    const char *choices; // "debug|info|warning|error"
    const char *help;    // a sentence
};

struct settings;

struct setting_group {
    const struct setting *items;
    size_t count;
    // Judges what no single type can, once all values are read: the form of a connection string,
    // one value against another. False: *fault names the setting and says what is wrong. NULL:
    // nothing.
    bool (*check)(const struct settings *settings, struct arena *arena, struct str *fault);
};

#define SETTING_GROUP(array) SETTING_GROUP_CHECKED(array, NULL)
#define SETTING_GROUP_CHECKED(array, check) \
    ((struct setting_group){(array), sizeof(array) / sizeof((array)[0]), (check)})

// What a program is and takes.
struct setting_table {
    const char *program; // "comanda-payment"
    const char *purpose; // a sentence for --help
    struct setting_group groups[SETTING_GROUPS_MAX];
};

// Reads and checks. path: of the file, NULL for none. environment: as environ, NULL for none.
// STATUS_INVALID: *fault says which setting, which value, and what is allowed; it lives in the
// arena, as the settings do. A COMANDA_ name in the file that the table lacks is a fault too.
enum status settings_load(const struct setting_table *table, const char *path,
                          char *const *environment, struct arena *arena, struct settings **settings,
                          struct str *fault) MUST_CHECK;

// The value of a setting of the table; asking for another is a programmer's error and aborts. Text
// is NUL-terminated.
const char *settings_text(const struct settings *settings, const char *name);
int64_t settings_int(const struct settings *settings, const char *name); // integer, milliseconds
// Which of the choices, 0 for the first.
int settings_choice(const struct settings *settings, const char *name);

const struct setting_table *settings_table_of(const struct settings *settings);
const char *settings_program(const struct settings *settings);
// Of the settings file; NULL: none.
const char *settings_path(const struct settings *settings);

// --help: purpose, options and the table.
void settings_print_help(const struct setting_table *table, FILE *out);
// --example: a settings file in which each setting stands with its meaning and what it is by
// default.
void settings_print_example(const struct setting_table *table, FILE *out);
// --settings: {"program":…,"settings":[{"name","type","default","min","max","choices","help"}]}
void settings_print_json(const struct setting_table *table, FILE *out);

// Closes stdout; false: not all of it was written. What a program prints is an answer, and half an
// answer must not end with 0. To be called once, last.
bool output_end(void) MUST_CHECK;

// For main: --help, --settings, --example, --check (all end the program) and --file FILE, else the
// file named by COMANDA_SETTINGS. Exits 2 with the fault on stderr when a setting or option is
// wrong.
const struct settings *settings_load_or_exit(int argc, char **argv,
                                             const struct setting_table *table);
