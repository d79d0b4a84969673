// SPDX-License-Identifier: Apache-2.0
// Lines of the log: JSON whatever comes in, one line each, bounded.
#include "infrastructure/telemetry/log.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/json_view.h"

static char line[LOG_LINE_MAX + 1];
static int reading;

static void open_log(void)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    (void)close(ends[1]);
    reading = ends[0];
    log_open("comanda-test", LOG_INFO);
}

TestSuite(log, .init = open_log);

// The line as written, checked to be one line of I-JSON.
static struct str written(void)
{
    ssize_t len = read(reading, line, LOG_LINE_MAX);
    cr_assert_gt(len, 1);
    cr_assert_eq(line[len - 1], '\n');
    struct str text = {line, (size_t)len - 1};
    size_t offset = 0;
    cr_assert_eq(json_check(text, &offset), JSON_OK, "%.*s", STR_FMT(text));
    cr_assert_null(memchr(text.data, '\n', text.len));
    return text;
}

static void then_member(struct str text, const char *name, const char *wanted)
{
    struct str value = json_view_member(text, str_from(name));
    cr_assert(str_eq(value, str_from(wanted)), "%.*s", STR_FMT(text));
}

Test(log, given_fields_when_logged_then_they_are_members)
{
    log_line(LOG_WARNING, "gone", log_text("server", "postgres"), log_int("attempt", -3));
    struct str text = written();
    then_member(text, "level", "\"warning\"");
    then_member(text, "program", "\"comanda-test\"");
    then_member(text, "message", "\"gone\"");
    then_member(text, "server", "\"postgres\"");
    then_member(text, "attempt", "-3");
}

Test(log, given_no_fields_or_empty_ones_when_logged_then_they_are_left_out)
{
    log_line(LOG_INFO, "started");
    (void)written();
    log_line(LOG_INFO, "started", log_text("correlation_id", ""));
    cr_assert_null(json_view_member(written(), STR("correlation_id")).data);
}

Test(log, given_foreign_bytes_when_logged_then_they_cannot_leave_their_string)
{
    log_line(LOG_ERROR, "bad", log_str("id", STR("x\"}\n{\"level\":\"error\"\\\r\t\x01\x7f")));
    then_member(written(), "id",
                "\"x\\\"}\\u000a{\\\"level\\\":\\\"error\\\"\\\\\\u000d\\u0009\\u0001\\u007f\"");
}

Test(log, given_bytes_that_are_no_utf8_when_logged_then_the_line_is_still_json)
{
    static const struct str cases[] = {
        {"\xff\xfe", 2},         {"\xc3", 1},      {"\xc0\xaf", 2}, {"\xed\xa0\x80", 3},
        {"\xf4\x90\x80\x80", 4}, {"a\xe2\x82", 3}, {"\0", 1}};
    for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
        log_line(LOG_ERROR, "bad", log_str("bytes", cases[at]));
        (void)written();
    }
    log_line(LOG_ERROR, "fine", log_text("text", "caf\xc3\xa9"));
    then_member(written(), "text", "\"caf\xc3\xa9\"");
}

Test(log, given_values_that_are_too_long_when_logged_then_they_are_cut)
{
    static char text[100000];
    memset(text, 'x', sizeof(text));
    log_line(LOG_ERROR, "long", log_str("a", (struct str){text, sizeof(text)}), log_int("b", 1));
    struct str seen = written();
    then_member(seen, "b", "1");
    cr_assert_eq(json_view_member(seen, STR("a")).len, LOG_VALUE_MAX + 2);
}

Test(log, given_more_fields_than_fit_when_logged_then_the_rest_is_left_out_whole)
{
    static char text[LOG_VALUE_MAX];
    memset(text, '\x01', sizeof(text)); // six bytes each
    struct str full = {text, sizeof(text)};
    log_line(LOG_ERROR, "full", log_str("a", full), log_str("b", full), log_int("c", 7));
    struct str seen = written();
    cr_assert_null(json_view_member(seen, STR("b")).data);
    then_member(seen, "c", "7");
}

Test(log, given_a_level_below_the_least_when_logged_then_nothing_is_written)
{
    log_line(LOG_DEBUG, "quiet");
    log_set_level(LOG_DEBUG);
    log_line(LOG_DEBUG, "heard");
    then_member(written(), "message", "\"heard\"");
}
