// SPDX-License-Identifier: Apache-2.0
// Instants as RFC 3339 text, against the C library's own calendar.
#define _DEFAULT_SOURCE
#include "base/instant.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

static void assert_text(instant_us at, const char *expected)
{
    char text[INSTANT_TEXT_LEN];
    instant_format(at, text);
    cr_assert_arr_eq(text, expected, INSTANT_TEXT_LEN, "%.*s is not %s", INSTANT_TEXT_LEN, text,
                     expected);
}

Test(instant, given_known_times_when_formatted_then_they_read_so)
{
    assert_text(0, "1970-01-01T00:00:00.000Z");
    assert_text(999, "1970-01-01T00:00:00.000Z");
    assert_text(-1, "1969-12-31T23:59:59.999Z");
    assert_text(INT64_C(951826154123456), "2000-02-29T12:09:14.123Z");
    assert_text(INT64_C(1795503145123999), "2026-11-24T06:52:25.123Z");
    assert_text(INT64_C(253402300799999999), "9999-12-31T23:59:59.999Z");
    assert_text(INT64_C(-62135596800000000), "0001-01-01T00:00:00.000Z");
}

Test(instant, given_days_of_four_centuries_when_formatted_then_the_c_library_agrees)
{
    for (int64_t day = -150000; day < 150000; day += 7) {
        time_t seconds = (time_t)(day * 86400 + 43261);
        struct tm parts;
        char expected[64];
        gmtime_r(&seconds, &parts);
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000Z", &parts);
        assert_text((instant_us)seconds * 1000000, expected);
    }
}

Test(instant, given_any_time_when_formatted_and_parsed_then_the_milliseconds_stay)
{
    srand(11);
    for (int i = 0; i < 10000; i++) {
        int64_t ms = (int64_t)(((uint64_t)rand() << 31 | (uint64_t)rand()) % 253402300800000u);
        char text[INSTANT_TEXT_LEN];
        instant_us again = -1;
        instant_format(ms * 1000 + rand() % 1000, text);
        cr_assert(instant_parse((struct str){text, INSTANT_TEXT_LEN}, &again));
        cr_assert_eq(again, ms * 1000);
    }
}

Test(instant, given_text_of_another_form_when_parsed_then_nothing_is_written)
{
    static const char *const wrong[] = {
        "",
        "2026-11-24T06:52:25Z",
        "2026-11-24T06:52:25.12Z",
        "2026-11-24T06:52:25.1234Z",
        "2026-11-24 06:52:25.123Z",
        "2026-11-24T06:52:25.123z",
        "2026-11-24T06:52:25,123Z",
        "2026-11-24T06:52:25.123+",
        "0000-11-24T06:52:25.123Z",
        "2026-00-24T06:52:25.123Z",
        "2026-13-24T06:52:25.123Z",
        "2026-11-00T06:52:25.123Z",
        "2026-11-31T06:52:25.123Z",
        "2025-02-29T06:52:25.123Z",
        "1900-02-29T06:52:25.123Z",
        "2026-11-24T24:52:25.123Z",
        "2026-11-24T06:60:25.123Z",
        "2026-11-24T06:52:60.123Z",
        "2026-11-24T06:5x:25.123Z",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        instant_us at = 42;
        cr_assert(!instant_parse(str_from(wrong[i]), &at), "%s", wrong[i]);
        cr_assert_eq(at, 42);
    }
    instant_us leap;
    cr_assert(instant_parse(STR("2000-02-29T00:00:00.000Z"), &leap));
}
