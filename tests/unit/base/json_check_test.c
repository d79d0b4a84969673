// SPDX-License-Identifier: Apache-2.0
// The strict I-JSON pass: what it lets through, what it refuses, and why.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"

struct json_case {
    const char *text;
    enum json_fault fault;
};

static const struct json_case cases[] = {
    // whole values
    {"{}", JSON_OK},
    {"[]", JSON_OK},
    {"0", JSON_OK},
    {"true", JSON_OK},
    {"false", JSON_OK},
    {"null", JSON_OK},
    {"\"\"", JSON_OK},
    {" \t\r\n[ ] \t\r\n", JSON_OK},
    {"[1,2,3]", JSON_OK},
    {"{\"a\":{\"b\":[{}]},\"c\":[]}", JSON_OK},
    {"", JSON_EMPTY},
    {"   ", JSON_EMPTY},
    {"\xef\xbb\xbf{}", JSON_SYNTAX}, // a byte order mark
    {"{} {}", JSON_TRAILING_BYTES},
    {"{}]", JSON_TRAILING_BYTES},
    {"1 2", JSON_TRAILING_BYTES},
    {"nul", JSON_SYNTAX},
    {"True", JSON_SYNTAX},
    {"nulll", JSON_TRAILING_BYTES},
    {"undefined", JSON_SYNTAX},
    {"'a'", JSON_SYNTAX},
    {"// c\n1", JSON_SYNTAX},
    {"{\"a\":1}/**/", JSON_TRAILING_BYTES},
    {"\f[]", JSON_SYNTAX},
    {"[\xc2\xa0]", JSON_SYNTAX}, // a no-break space
    // arrays
    {"[", JSON_SYNTAX},
    {"]", JSON_SYNTAX},
    {"[1", JSON_SYNTAX},
    {"[1,", JSON_SYNTAX},
    {"[1,]", JSON_SYNTAX},
    {"[,1]", JSON_SYNTAX},
    {"[1 2]", JSON_SYNTAX},
    {"[1}", JSON_SYNTAX},
    {"[\"a\":1]", JSON_SYNTAX},
    {"[1,,2]", JSON_SYNTAX},
    // objects
    {"{", JSON_SYNTAX},
    {"{\"a\"", JSON_SYNTAX},
    {"{\"a\":", JSON_SYNTAX},
    {"{\"a\":1", JSON_SYNTAX},
    {"{\"a\":1,}", JSON_SYNTAX},
    {"{\"a\" 1}", JSON_SYNTAX},
    {"{a:1}", JSON_SYNTAX},
    {"{1:1}", JSON_SYNTAX},
    {"{\"a\":1]", JSON_SYNTAX},
    {"{,}", JSON_SYNTAX},
    {"{\"a\"::1}", JSON_SYNTAX},
    {"{\"\":0}", JSON_OK},
    // members
    {"{\"a\":1,\"b\":2}", JSON_OK},
    {"{\"a\":1,\"a\":1}", JSON_DUPLICATE_MEMBER},
    {"{\"a\":1,\"\\u0061\":2}", JSON_DUPLICATE_MEMBER},
    {"{\"\\u00e9\":1,\"\xc3\xa9\":2}", JSON_DUPLICATE_MEMBER},
    {"{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", JSON_DUPLICATE_MEMBER},
    {"{\"\\/\":1,\"/\":2}", JSON_DUPLICATE_MEMBER},
    {"{\"\\n\":1,\"\\u000A\":2}", JSON_DUPLICATE_MEMBER},
    {"{\"\":1,\"\":2}", JSON_DUPLICATE_MEMBER},
    {"{\"a\":1,\"A\":2}", JSON_OK},
    {"{\"a\":{\"a\":{\"a\":1}}}", JSON_OK},
    {"{\"a\":{\"b\":1},\"b\":2}", JSON_OK},
    {"{\"a\":{\"b\":1,\"b\":2}}", JSON_DUPLICATE_MEMBER},
    {"[{\"a\":1},{\"a\":2}]", JSON_OK},
    {"{\"x\":{\"y\":1,\"z\":2},\"x\":3}", JSON_DUPLICATE_MEMBER},
    // numbers
    {"-0", JSON_OK},
    {"123", JSON_OK},
    {"-1", JSON_OK},
    {"9007199254740991", JSON_OK},
    {"-9007199254740991", JSON_OK},
    {"9007199254740992", JSON_NUMBER_RANGE},
    {"-9007199254740992", JSON_NUMBER_RANGE},
    {"18446744073709551616", JSON_NUMBER_RANGE},
    {"99999999999999999999999999999999999999", JSON_NUMBER_RANGE},
    {"1.5", JSON_OK},
    {"-0.0", JSON_OK},
    {"1e3", JSON_OK},
    {"1E+3", JSON_OK},
    {"1e-400", JSON_OK}, // becomes zero, which is finite
    {"0e999999999999999999999", JSON_OK},
    {"0.000e999999", JSON_OK},
    {"1e307", JSON_OK},
    {"1e308", JSON_NUMBER_RANGE},
    {"1e999", JSON_NUMBER_RANGE},
    {"-1e999", JSON_NUMBER_RANGE},
    {"0.001e311", JSON_NUMBER_RANGE},
    {"0.001e310", JSON_OK},
    {"123456789012345678901234567890.0", JSON_OK},
    {"1e99999999999999999999999", JSON_NUMBER_RANGE},
    {"01", JSON_SYNTAX},
    {"-01", JSON_SYNTAX},
    {"00", JSON_SYNTAX},
    {"+1", JSON_SYNTAX},
    {"-", JSON_SYNTAX},
    {"--1", JSON_SYNTAX},
    {".5", JSON_SYNTAX},
    {"1.", JSON_SYNTAX},
    {"1.e3", JSON_SYNTAX},
    {"1e", JSON_SYNTAX},
    {"1e+", JSON_SYNTAX},
    {"1e1.5", JSON_TRAILING_BYTES},
    {"0x10", JSON_TRAILING_BYTES},
    {"1_000", JSON_TRAILING_BYTES},
    {"NaN", JSON_SYNTAX},
    {"Infinity", JSON_SYNTAX},
    {"-Infinity", JSON_SYNTAX},
    // strings
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", JSON_OK},
    {"\"\x7f\"", JSON_OK},
    {"\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"", JSON_OK},
    {"\"\\u00e9\\uD83D\\uDE00\"", JSON_OK},
    {"\"", JSON_SYNTAX},
    {"\"abc", JSON_SYNTAX},
    {"\"\\\"", JSON_SYNTAX},
    {"\"\\", JSON_BAD_ESCAPE},
    {"\"\\a\"", JSON_BAD_ESCAPE},
    {"\"\\x41\"", JSON_BAD_ESCAPE},
    {"\"\\u\"", JSON_BAD_ESCAPE},
    {"\"\\u00\"", JSON_BAD_ESCAPE},
    {"\"\\u00g0\"", JSON_BAD_ESCAPE},
    {"\"\\u0000\"", JSON_BAD_ESCAPE},
    {"{\"\\u0000\":1}", JSON_BAD_ESCAPE},
    {"\"\\ud800\"", JSON_BAD_ESCAPE},
    {"\"\\udc00\"", JSON_BAD_ESCAPE},
    {"\"\\ud800\\ud800\"", JSON_BAD_ESCAPE},
    {"\"\\ud800x\"", JSON_BAD_ESCAPE},
    {"\"\\ud800\\n\"", JSON_BAD_ESCAPE},
    {"\"\\ud800\\u0041\"", JSON_BAD_ESCAPE},
    {"\"\\uffff\"", JSON_BAD_ESCAPE}, // noncharacters, RFC 7493 2.1
    {"\"\\ufdd0\"", JSON_BAD_ESCAPE},
    {"\"\\ud83f\\udfff\"", JSON_BAD_ESCAPE},
    {"\"\xef\xbf\xbf\"", JSON_BAD_UTF8},
    {"\"\xef\xb7\x90\"", JSON_BAD_UTF8},
    {"\"\xef\xbf\xbd\"", JSON_OK}, // U+FFFD is a character
    {"\"\x01\"", JSON_CONTROL_CHAR},
    {"\"\n\"", JSON_CONTROL_CHAR},
    {"\"\t\"", JSON_CONTROL_CHAR},
    {"\"\x1f\"", JSON_CONTROL_CHAR},
    {"\"\x80\"", JSON_BAD_UTF8},
    {"\"\xc0\x80\"", JSON_BAD_UTF8},
    {"\"\xc1\xbf\"", JSON_BAD_UTF8},
    {"\"\xe0\x80\x80\"", JSON_BAD_UTF8},
    {"\"\xf0\x80\x80\x80\"", JSON_BAD_UTF8},
    {"\"\xed\xa0\x80\"", JSON_BAD_UTF8},
    {"\"\xf4\x90\x80\x80\"", JSON_BAD_UTF8},
    {"\"\xf5\x80\x80\x80\"", JSON_BAD_UTF8},
    {"\"\xff\"", JSON_BAD_UTF8},
    {"\"\xc3\"", JSON_BAD_UTF8},
    {"\"\xe2\x82\"", JSON_BAD_UTF8},
    {"\"\xe2\x82", JSON_BAD_UTF8},
    {"\"\xc3(\"", JSON_BAD_UTF8},
};

Test(json_check, given_each_case_when_checked_then_it_is_judged_as_listed)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t offset = 0;
        enum json_fault fault = json_check(str_from(cases[i].text), &offset);
        cr_expect_eq(fault, cases[i].fault, "%s: %s", cases[i].text, json_fault_text(fault));
        cr_expect_leq(offset, strlen(cases[i].text));
    }
}

Test(json_check, given_a_raw_nul_when_checked_then_it_is_refused)
{
    size_t offset;
    cr_assert_eq(json_check((struct str){"\"a\0b\"", 5}, &offset), JSON_CONTROL_CHAR);
    cr_assert_eq(offset, 2);
    cr_assert_eq(json_check((struct str){"1\0", 2}, &offset), JSON_TRAILING_BYTES);
    cr_assert_eq(json_check((struct str){"\0", 1}, &offset), JSON_SYNTAX);
}

// Ends at a page's end would be better still; a heap copy of the exact size shows over-reads to
// sanitizers and valgrind.
Test(json_check, given_every_prefix_of_a_body_when_checked_then_none_is_read_past_its_end)
{
    static const char body[] =
        "{\"a\":[1.5e3,-0,\"\\u00e9\\ud83d\\ude00\xf0\x9f\x98\x80\",true,null],"
        "\"b\":{\"c\":false}}";
    for (size_t len = 0; len < sizeof(body) - 1; len++) {
        size_t offset;
        char *copy = malloc(len + 1);
        memcpy(copy, body, len);
        copy = realloc(copy, len == 0 ? 1 : len);
        cr_assert_neq(json_check((struct str){copy, len}, &offset), JSON_OK, "%zu", len);
        cr_assert_leq(offset, len);
        free(copy);
    }
}

static char *nested(int depth, char open, char close)
{
    char *text = calloc(1, (size_t)depth * 2 + 1);
    memset(text, open, (size_t)depth);
    memset(text + depth, close, (size_t)depth);
    return text;
}

Test(json_check, given_nesting_when_checked_then_thirty_two_is_the_end)
{
    size_t offset;
    char *fits = nested(JSON_DEPTH_MAX, '[', ']');
    char *deep = nested(JSON_DEPTH_MAX + 1, '[', ']');
    char *very_deep = nested(100000, '[', ']');
    cr_assert_eq(json_check(str_from(fits), &offset), JSON_OK);
    cr_assert_eq(json_check(str_from(deep), &offset), JSON_TOO_DEEP);
    cr_assert_eq(json_check(str_from(very_deep), &offset), JSON_TOO_DEEP);
    free(fits);
    free(deep);
    free(very_deep);
}

static char *members(int count, bool last_twice)
{
    char *text = calloc(1, (size_t)count * 16 + 32);
    size_t at = (size_t)sprintf(text, "{");
    for (int i = 0; i < count; i++) {
        int name = last_twice && i == count - 1 ? 0 : i;
        at += (size_t)sprintf(text + at, "%s\"%d\":0", i == 0 ? "" : ",", name);
    }
    sprintf(text + at, "}");
    return text;
}

Test(json_check, given_many_members_when_checked_then_two_hundred_and_fifty_six_is_the_end)
{
    size_t offset;
    char *fits = members(JSON_MEMBERS_MAX, false);
    char *twice = members(JSON_MEMBERS_MAX, true);
    char *many = members(JSON_MEMBERS_MAX + 1, false);
    cr_assert_eq(json_check(str_from(fits), &offset), JSON_OK);
    cr_assert_eq(json_check(str_from(twice), &offset), JSON_DUPLICATE_MEMBER);
    cr_assert_eq(json_check(str_from(many), &offset), JSON_TOO_MANY_MEMBERS);
    free(fits);
    free(twice);
    free(many);
}

Test(json_check, given_a_fault_when_told_then_every_one_has_its_own_sentence)
{
    for (int i = JSON_OK; i <= JSON_NUMBER_RANGE; i++) {
        for (int j = JSON_OK; j < i; j++) {
            cr_assert_str_neq(json_fault_text((enum json_fault)i),
                              json_fault_text((enum json_fault)j));
        }
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// Not a benchmark: a bound far above what it takes, which only something quadratic would break.
Test(json_check, given_the_worst_of_64_kib_when_checked_then_it_takes_no_noticeable_time)
{
    size_t size = 64 * 1024, at = 0, offset;
    char *text = malloc(size + 4096);
    at += (size_t)sprintf(text, "[");
    while (at < size) {
        char *object = members(JSON_MEMBERS_MAX, false);
        at += (size_t)sprintf(text + at, "%s%s", at == 1 ? "" : ",", object);
        free(object);
    }
    sprintf(text + at, "]");
    double before = seconds();
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(json_check(str_from(text), &offset), JSON_OK);
    }
    double each = (seconds() - before) / 10;
    cr_log_info("%.0f us", each * 1e6);
    cr_assert_lt(each, 0.05);
    free(text);
}
