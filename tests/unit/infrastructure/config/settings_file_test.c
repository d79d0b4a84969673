// SPDX-License-Identifier: Apache-2.0
// NAME=value lines as systemd reads them.
#define _GNU_SOURCE // strndup
#include "infrastructure/config/settings_file.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct arena arena;
static struct settings_line lines[8];
static size_t count;
static struct str fault;

static void open_arena(void)
{
    arena_init(&arena, 4096, 1024 * 1024);
    count = 0;
}

static void close_arena(void)
{
    arena_free(&arena);
}

TestSuite(settings_file, .init = open_arena, .fini = close_arena);

static enum status parse(const char *text)
{
    return settings_file_parse(str_from(text), &arena, 8, lines, &count, &fault);
}

Test(settings_file, given_lines_when_parsed_then_values_are_unquoted)
{
    static const struct {
        const char *line;
        const char *value;
    } cases[] = {
        {"A=plain", "plain"},
        {"A=", ""},
        {"A=two words", "two words"},
        {"A=  blanks around  ", "blanks around"},
        {"A=\"double  quoted \"", "double  quoted "},
        {"A='single \"quoted\" $x'", "single \"quoted\" $x"},
        {"A=\"an escaped \\\" and \\\\ and \\n\"", "an escaped \" and \\ and \\n"},
        {"A=part 'and part'", "part and part"},
        {"A=joined \\\nlines", "joined lines"},
        {"A=a#b", "a#b"},
        {"A=host=x dbname=y", "host=x dbname=y"},
        {"A=carriage\r\n", "carriage"},
        {"  A=indented", "indented"},
    };
    for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
        cr_assert_eq(parse(cases[at].line), STATUS_OK, "%s", cases[at].line);
        cr_assert_eq(count, 1, "%s", cases[at].line);
        cr_assert(str_eq(lines[0].name, STR("A")));
        cr_assert_str_eq(lines[0].value.data, cases[at].value);
    }
}

Test(settings_file, given_comments_and_blank_lines_when_parsed_then_numbers_count_them)
{
    cr_assert_eq(parse("# one\n\n; three\nA=1\n  # five\nB_2=\"x\ny\"\nC=3"), STATUS_OK);
    cr_assert_eq(count, 3);
    cr_assert_eq(lines[0].number, 4);
    cr_assert_eq(lines[1].number, 6);
    cr_assert_str_eq(lines[1].value.data, "x\ny");
    cr_assert_eq(lines[2].number, 8);
}

Test(settings_file, given_faults_when_parsed_then_the_line_is_named)
{
    static const struct {
        const char *text;
        const char *line;
    } cases[] = {{"A=1\nnonsense\n", "line 2"},
                 {"A=1\n=2\n", "line 2"},
                 {"1A=2\n", "line 1"},
                 {"A B=2\n", "line 1"},
                 {"A=1\nB=\"never\nclosed", "line 2"},
                 {"A=1\nB='never", "line 2"},
                 {"export A=1", "line 1"}};
    for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
        cr_assert_eq(parse(cases[at].text), STATUS_INVALID, "%s", cases[at].text);
        cr_assert_not_null(strstr(arena_str(&arena, fault).data, cases[at].line), "%s",
                           cases[at].text);
    }
}

Test(settings_file, given_more_values_than_allowed_when_parsed_then_it_is_refused)
{
    cr_assert_eq(parse("A=1\nA=2\nA=3\nA=4\nA=5\nA=6\nA=7\nA=8\nA=9\n"), STATUS_INVALID);
}

Test(settings_file, given_any_prefix_when_parsed_then_it_ends)
{
    static const char text[] = "A=\"x\\\"y\" 'z' \\\n w\n# c\nB='\\'";
    for (size_t len = 0; len < sizeof(text); len++) {
        char *cut = strndup(text, len);
        enum status status = parse(cut);
        cr_assert(status == STATUS_OK || status == STATUS_INVALID);
        free(cut);
    }
}
