// SPDX-License-Identifier: Apache-2.0
// A program's settings: one table that is read, checked, documented and printed the same way.
//
// This part is main's: the options, the help, the machine-readable table.
#define _GNU_SOURCE // environ
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/json.h"
#include "infrastructure/config/setting_value.h"
#include "infrastructure/config/settings.h"

enum { EXIT_WRONG_USE = 2 };

static void print_setting_help(const struct setting *setting, FILE *out)
{
    struct arena arena;
    arena_init(&arena, 1024, 16 * 1024);
    struct str allows = setting_allows(setting, &arena);
    (void)fprintf(out, "  %s%s%s\n      %s\n      %.*s.\n", setting->name,
                  setting->value == NULL ? "" : "=", setting->value == NULL ? "" : setting->value,
                  setting->help, STR_FMT(allows));
    arena_free(&arena);
}

void settings_print_help(const struct setting_table *table, FILE *out)
{
    (void)fprintf(
        out,
        "%s: %s\n\nUsage: %s [--file FILE]\n\n"
        "  --file FILE   reads settings from FILE, NAME=value a line, as systemd's\n"
        "                EnvironmentFile; else from the file that COMANDA_SETTINGS names\n"
        "  --check       checks all settings and ends: 0 right, 2 wrong\n"
        "  --settings    prints the table of settings as JSON and ends\n"
        "  --help        prints this and ends\n\n"
        "Settings. The environment wins over the file. NAME_FILE names a file that holds\n"
        "the value, for secrets. One without a value here is required.\n\n",
        table->program, table->purpose, table->program);
    for (size_t group = 0; group < SETTING_GROUPS_MAX; group++) {
        for (size_t at = 0; at < table->groups[group].count; at++) {
            print_setting_help(&table->groups[group].items[at], out);
        }
    }
}

static void print_example_setting(const struct setting *setting, FILE *out)
{
    struct arena arena;
    arena_init(&arena, 1024, 16 * 1024);
    struct str allows = setting_allows(setting, &arena);
    bool required = setting->value == NULL;
    (void)fprintf(out, "\n# %s (%.*s).\n%s%s=%s\n", setting->help, STR_FMT(allows),
                  required ? "" : "#", setting->name, required ? "" : setting->value);
    arena_free(&arena);
}

void settings_print_example(const struct setting_table *table, FILE *out)
{
    (void)fprintf(out,
                  "# Settings of %s: %s.\n"
                  "# Made by `%s --example`. What is commented out is so by default; a secret may\n"
                  "# stand in a file of its own that NAME_FILE names. The environment wins.\n",
                  table->program, table->purpose, table->program);
    for (size_t group = 0; group < SETTING_GROUPS_MAX; group++) {
        for (size_t at = 0; at < table->groups[group].count; at++) {
            print_example_setting(&table->groups[group].items[at], out);
        }
    }
}

static void add_member(struct json_writer *writer, const char *name, const char *value)
{
    json_name(writer, str_from(name));
    if (value == NULL) {
        json_null(writer);
    } else {
        json_string(writer, str_from(value));
    }
}

static void add_setting(struct json_writer *writer, const struct setting *setting)
{
    json_object_begin(writer);
    add_member(writer, "name", setting->name);
    add_member(writer, "type", setting_type_name(setting->type));
    add_member(writer, "default", setting->value);
    json_name(writer, STR("min"));
    json_int(writer, setting->min);
    json_name(writer, STR("max"));
    json_int(writer, setting->max);
    add_member(writer, "choices", setting->choices);
    add_member(writer, "help", setting->help);
    json_object_end(writer);
}

void settings_print_json(const struct setting_table *table, FILE *out)
{
    struct buffer buffer;
    struct json_writer writer;
    buffer_init(&buffer, NULL, 256 * 1024);
    json_writer_init(&writer, &buffer);
    json_object_begin(&writer);
    add_member(&writer, "program", table->program);
    json_name(&writer, STR("settings"));
    json_array_begin(&writer);
    for (size_t group = 0; group < SETTING_GROUPS_MAX; group++) {
        for (size_t at = 0; at < table->groups[group].count; at++) {
            add_setting(&writer, &table->groups[group].items[at]);
        }
    }
    json_array_end(&writer);
    json_object_end(&writer);
    (void)fprintf(out, "%.*s\n", STR_FMT(buffer_view(&buffer)));
    buffer_free(&buffer);
}

bool output_end(void)
{
    bool failed = ferror(stdout) != 0;
    return fclose(stdout) == 0 && !failed; // some file systems tell of a full disk here
}

static _Noreturn void end_printed(const struct setting_table *table)
{
    if (!output_end()) {
        (void)fprintf(stderr, "%s: the output could not be written\n", table->program);
        exit(EXIT_FAILURE);
    }
    exit(EXIT_SUCCESS);
}

struct options {
    const char *path;
    bool check;
};

static void take_option(int option, const struct setting_table *table, struct options *options)
{
    switch (option) {
    case 'f':
        options->path = optarg;
        return;
    case 'c':
        options->check = true;
        return;
    case 's':
        settings_print_json(table, stdout);
        end_printed(table);
    case 'e':
        settings_print_example(table, stdout);
        end_printed(table);
    case 'h':
        settings_print_help(table, stdout);
        end_printed(table);
    default:
        (void)fprintf(stderr, "%s: see --help\n", table->program);
        exit(EXIT_WRONG_USE);
    }
}

static struct options read_options(int argc, char **argv, const struct setting_table *table)
{
    static const struct option known[] = {
        {"file", required_argument, NULL, 'f'}, {"check", no_argument, NULL, 'c'},
        {"settings", no_argument, NULL, 's'},   {"example", no_argument, NULL, 'e'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0}};
    struct options options = {.path = getenv("COMANDA_SETTINGS")};
    int option = 0;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        take_option(option, table, &options);
    }
    if (optind < argc) {
        (void)fprintf(stderr, "%s: %s is no option; see --help\n", table->program, argv[optind]);
        exit(EXIT_WRONG_USE);
    }
    if (options.path != NULL && options.path[0] == '\0') {
        options.path = NULL;
    }
    return options;
}

const struct settings *settings_load_or_exit(int argc, char **argv,
                                             const struct setting_table *table)
{
    static struct arena arena; // the settings stay until the process ends
    arena_init(&arena, 64 * 1024, 4 * 1024 * 1024);
    struct options options = read_options(argc, argv, table);
    struct settings *settings = NULL;
    struct str fault = STR("");
    enum status status = settings_load(table, options.path, environ, &arena, &settings, &fault);
    if (status != STATUS_OK) {
        struct str text = fault.len == 0 ? str_from(status_text(status)) : fault;
        (void)fprintf(stderr, "%s: %.*s\n", table->program, STR_FMT(text));
        exit(EXIT_WRONG_USE);
    }
    if (options.check) {
        (void)printf("%s: the settings are right\n", table->program);
        end_printed(table);
    }
    return settings;
}
