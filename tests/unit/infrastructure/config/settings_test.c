// SPDX-License-Identifier: Apache-2.0
// One table of settings: where values come from, and what is said when one is wrong.
#include "infrastructure/config/settings.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct setting items[] = {
    {"COMANDA_NAME", SETTING_TEXT, "nobody", 1, 10, NULL, "A name"},
    {"COMANDA_COUNT", SETTING_INTEGER, "5", 1, 10, NULL, "A count"},
    {"COMANDA_WAIT", SETTING_MS, "20s", 10, 3600000, NULL, "A time"},
    {"COMANDA_LEVEL", SETTING_CHOICE, "info", 0, 0, "debug|info|error", "A level"},
    {"COMANDA_WHERE", SETTING_ADDRESS, "127.0.0.1:80", 0, 0, NULL, "A place"},
    {"COMANDA_KEY", SETTING_SECRET, "none", 1, 100, NULL, "A secret"},
};
static const struct setting required[] = {
    {"COMANDA_MUST", SETTING_TEXT, NULL, 1, 10, NULL, "What must be set"},
};

static bool no_fives(const struct settings *settings, struct arena *arena, struct str *fault)
{
    (void)arena;
    *fault = STR("COMANDA_COUNT: five is right out");
    return settings_int(settings, "COMANDA_COUNT") != 5;
}

static struct setting_table table;
static struct arena arena;
static struct settings *settings;
static struct str fault;
static char path[64];

static void open_table(void)
{
    arena_init(&arena, 64 * 1024, 4 * 1024 * 1024);
    table = (struct setting_table){
        .program = "comanda-test", .purpose = "tests", .groups = {SETTING_GROUP(items)}};
    path[0] = '\0';
}

static void close_table(void)
{
    if (path[0] != '\0') {
        (void)unlink(path);
    }
    arena_free(&arena);
}

TestSuite(settings, .init = open_table, .fini = close_table);

static void write_file(const char *text)
{
    strcpy(path, "/tmp/settings_test_XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

static enum status load(char *const *environment)
{
    fault = STR("");
    return settings_load(&table, path[0] == '\0' ? NULL : path, environment, &arena, &settings,
                         &fault);
}

static void then_refused(const char *first, const char *second)
{
    struct str text = arena_str(&arena, fault);
    cr_assert_not_null(strstr(text.data, first), "%s", text.data);
    cr_assert_not_null(strstr(text.data, second), "%s", text.data);
}

Test(settings, given_nothing_when_loaded_then_the_tables_values_stand)
{
    cr_assert_eq(load(NULL), STATUS_OK);
    cr_assert_str_eq(settings_text(settings, "COMANDA_NAME"), "nobody");
    cr_assert_eq(settings_int(settings, "COMANDA_COUNT"), 5);
    cr_assert_eq(settings_int(settings, "COMANDA_WAIT"), 20000);
    cr_assert_eq(settings_choice(settings, "COMANDA_LEVEL"), 1);
}

Test(settings, given_a_file_and_an_environment_when_loaded_then_the_environment_wins)
{
    char *environment[] = {"COMANDA_COUNT=7", "OTHER=1", NULL};
    write_file("COMANDA_COUNT=6\nCOMANDA_NAME=file\n");
    cr_assert_eq(load(environment), STATUS_OK);
    cr_assert_eq(settings_int(settings, "COMANDA_COUNT"), 7);
    cr_assert_str_eq(settings_text(settings, "COMANDA_NAME"), "file");
}

Test(settings, given_times_in_units_when_loaded_then_they_are_milliseconds)
{
    static const struct {
        char *text;
        int64_t ms;
    } times[] = {{"COMANDA_WAIT=500", 500},
                 {"COMANDA_WAIT=500ms", 500},
                 {"COMANDA_WAIT=3s", 3000},
                 {"COMANDA_WAIT=2m", 120000},
                 {"COMANDA_WAIT=1h", 3600000}};
    for (size_t at = 0; at < sizeof(times) / sizeof(times[0]); at++) {
        char *environment[] = {times[at].text, NULL};
        cr_assert_eq(load(environment), STATUS_OK);
        cr_assert_eq(settings_int(settings, "COMANDA_WAIT"), times[at].ms);
    }
}

Test(settings, given_wrong_values_when_loaded_then_name_value_and_rule_are_told)
{
    static const struct {
        char *text;
        const char *rule;
    } wrong[] = {{"COMANDA_COUNT=0", "from 1 to 10"},
                 {"COMANDA_COUNT=11", "from 1 to 10"},
                 {"COMANDA_COUNT=5x", "whole number"},
                 {"COMANDA_COUNT=", "whole number"},
                 {"COMANDA_COUNT=99999999999999999999", "whole number"},
                 {"COMANDA_WAIT=2h", "3600000ms"},
                 {"COMANDA_WAIT=9223372036854775807h", "500ms"},
                 {"COMANDA_WAIT=soon", "500ms"},
                 {"COMANDA_LEVEL=loud", "debug|info|error"},
                 {"COMANDA_LEVEL=", "debug|info|error"},
                 {"COMANDA_NAME=", "1 to 10 characters"},
                 {"COMANDA_NAME=eleven_long", "1 to 10 characters"},
                 {"COMANDA_WHERE=here", "host:port"},
                 {"COMANDA_WHERE=:80", "host:port"},
                 {"COMANDA_WHERE=a:65536", "host:port"},
                 {"COMANDA_WHERE=::1:80", "host:port"}};
    for (size_t at = 0; at < sizeof(wrong) / sizeof(wrong[0]); at++) {
        char *environment[] = {wrong[at].text, NULL};
        cr_assert_eq(load(environment), STATUS_INVALID, "%s", wrong[at].text);
        then_refused(wrong[at].text, wrong[at].rule);
    }
}

Test(settings, given_a_required_setting_when_it_is_not_set_then_it_is_named_with_its_meaning)
{
    table.groups[1] = SETTING_GROUP(required);
    cr_assert_eq(load(NULL), STATUS_INVALID);
    then_refused("COMANDA_MUST is not set", "What must be set");
}

Test(settings, given_a_misspelt_name_in_the_file_when_loaded_then_its_line_is_named)
{
    write_file("# first\n\nCOMANDA_CUONT=3\n");
    cr_assert_eq(load(NULL), STATUS_INVALID);
    then_refused("line 3", "COMANDA_CUONT");
}

Test(settings, given_a_secret_in_a_file_when_loaded_then_its_value_comes_without_the_newline)
{
    write_file("hunter2\n");
    char entry[128];
    (void)snprintf(entry, sizeof(entry), "COMANDA_KEY_FILE=%s", path);
    char *environment[] = {entry, NULL};
    cr_assert_eq(settings_load(&table, NULL, environment, &arena, &settings, &fault), STATUS_OK);
    cr_assert_str_eq(settings_text(settings, "COMANDA_KEY"), "hunter2");
}

Test(settings, given_a_secret_twice_or_missing_when_loaded_then_it_is_refused_without_telling_it)
{
    char *missing[] = {"COMANDA_KEY_FILE=/nowhere/key", NULL};
    cr_assert_eq(load(missing), STATUS_INVALID);
    then_refused("COMANDA_KEY_FILE", "/nowhere/key");
    char *empty[] = {"COMANDA_KEY=", NULL};
    cr_assert_eq(load(empty), STATUS_INVALID);
    then_refused("COMANDA_KEY", "(hidden)");
    char *twice[] = {"COMANDA_KEY=a", "COMANDA_KEY_FILE=/nowhere/key", NULL};
    cr_assert_eq(load(twice), STATUS_INVALID);
    then_refused("COMANDA_KEY", "both set");
}

Test(settings, given_a_file_that_is_not_there_when_loaded_then_it_is_named)
{
    strcpy(path, "/nowhere/at.all");
    cr_assert_eq(load(NULL), STATUS_INVALID);
    then_refused("/nowhere/at.all", "No such file");
    path[0] = '\0';
}

Test(settings, given_values_that_do_not_fit_each_other_when_loaded_then_the_groups_check_says_so)
{
    table.groups[0] = SETTING_GROUP_CHECKED(items, no_fives);
    cr_assert_eq(load(NULL), STATUS_INVALID);
    then_refused("COMANDA_COUNT", "right out");
    char *six[] = {"COMANDA_COUNT=6", NULL};
    cr_assert_eq(load(six), STATUS_OK);
}
