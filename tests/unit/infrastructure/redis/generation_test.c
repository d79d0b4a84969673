// SPDX-License-Identifier: Apache-2.0
// Which life of Redis a value was written in: what is trusted, and what is asked for next.
#include "infrastructure/redis/generation.h"

#include <criterion/criterion.h>
#include <string.h>

#define SERVER " d05757dad9c7049c89b289157c29e37529d47c7b bb2863445cff26d11dd3e39ad269995dfb98c7a4"

static struct str arg_of(struct redis_command command, int at)
{
    return (struct str){command.argv[at], command.lengths[at]};
}

Test(generation, given_nothing_told_yet_then_nothing_is_trusted)
{
    struct redis_generation generation = {0};
    cr_assert_eq(redis_generation_name(&generation).len, 0);
    redis_generation_spoil(&generation);
    struct redis_command asked = redis_generation_ask(&generation, 0x1234);
    cr_assert_eq(asked.argc, 8);
    cr_assert(str_eq(arg_of(asked, 0), STR("EVALSHA")));
    cr_assert(str_eq(arg_of(asked, 1), redis_script_sha1(REDIS_SCRIPT_GENERATION)));
    cr_assert(str_eq(arg_of(asked, 5), STR("0000000000001234")));
    cr_assert_eq(asked.lengths[6], 0);
    cr_assert_eq(asked.lengths[7], 0);
}

Test(generation, given_a_mark_then_its_generation_is_trusted_and_told_when_asked_anew)
{
    struct redis_generation generation = {0};
    cr_assert(redis_generation_take(&generation, STR("0123456789abcdef" SERVER)));
    cr_assert(str_eq(redis_generation_name(&generation), STR("0123456789abcdef")));
    struct redis_command asked = redis_generation_ask(&generation, 1);
    cr_assert(str_eq(arg_of(asked, 6), STR("0123456789abcdef" SERVER)));
    cr_assert_eq(asked.lengths[7], 0);
}

Test(generation, given_a_spoilt_one_then_only_another_is_trusted)
{
    struct redis_generation generation = {0};
    cr_assert(redis_generation_take(&generation, STR("0123456789abcdef" SERVER)));
    redis_generation_spoil(&generation);
    cr_assert_eq(redis_generation_name(&generation).len, 0);
    cr_assert(str_eq(arg_of(redis_generation_ask(&generation, 1), 7), STR("0123456789abcdef")));
    cr_assert_not(redis_generation_take(&generation, STR("0123456789abcdef" SERVER)));
    cr_assert(redis_generation_take(&generation, STR("fedcba9876543210" SERVER)));
    cr_assert(str_eq(redis_generation_name(&generation), STR("fedcba9876543210")));
}

Test(generation, given_what_is_no_mark_then_nothing_is_trusted)
{
    static const char *const wrong[] = {"",
                                        "0123456789abcdef",
                                        "0123456789abcdeg" SERVER,
                                        "0123456789abcde" SERVER,
                                        "0123456789abcdef0" SERVER,
                                        "0123456789abcdef" SERVER SERVER};
    for (size_t at = 0; at < sizeof(wrong) / sizeof(wrong[0]); at++) {
        struct redis_generation generation = {0};
        cr_assert(redis_generation_take(&generation, STR("0123456789abcdef" SERVER)));
        cr_assert_not(redis_generation_take(&generation, str_from(wrong[at])), "%s", wrong[at]);
        cr_assert_eq(redis_generation_name(&generation).len, 0);
    }
}
