// SPDX-License-Identifier: Apache-2.0
// Unit tests of the reading of Redis' addresses.
#define _GNU_SOURCE // memmem
#include "infrastructure/redis/settings.h"

#include <criterion/criterion.h>
#include <string.h>

static struct redis_settings read(const char *text)
{
    struct redis_settings settings;
    struct str cause = STR("");
    cr_assert_eq(redis_settings_read(str_from(text), &settings, &cause), STATUS_OK, "%s: %.*s",
                 text, STR_FMT(cause));
    return settings;
}

Test(redis_settings, given_host_and_port_when_read_then_nobody_logs_in)
{
    struct redis_settings settings = read("cache.shop:6380");
    cr_assert_str_eq(settings.host, "cache.shop");
    cr_assert_eq(settings.port, 6380);
    cr_assert_str_eq(settings.user, "");
    cr_assert_str_eq(settings.password, "");
    cr_assert_str_eq(read("[::1]:6380").host, "::1");
}

Test(redis_settings, given_a_whole_url_when_read_then_every_part_is_there)
{
    struct redis_settings settings = read("redis://ana:s%40cr:t%2f@cache:6380/0");
    cr_assert_str_eq(settings.user, "ana");
    cr_assert_str_eq(settings.password, "s@cr:t/");
    cr_assert_str_eq(settings.host, "cache");
    cr_assert_eq(settings.port, 6380);
}

Test(redis_settings, given_parts_left_out_of_a_url_when_read_then_the_others_stand)
{
    cr_assert_eq(read("redis://cache").port, 6379);
    cr_assert_str_eq(read("redis://cache/").user, "");
    cr_assert_str_eq(read("redis://ana:p@ss@cache").password, "p@ss");
    cr_assert_str_eq(read("redis://ana:x@[::1]/").host, "::1");
}

Test(redis_settings, given_a_wrong_address_when_read_then_it_is_refused_without_the_password)
{
    static const char *const wrong[] = {
        "",
        "cache",
        "cache:",
        ":6379",
        "cache:0",
        "cache:65536",
        "rediss://cache:6379",
        "redis://",
        "redis://cache/1",
        "redis://geheim@cache",
        "redis://:geheim@cache",
        "redis://ana:@cache",
        "redis://ana:geheim%2@cache",
        "redis://ana:geheim%00@cache",
    };
    for (size_t at = 0; at < sizeof(wrong) / sizeof(wrong[0]); at++) {
        struct redis_settings settings = {.port = 42};
        struct str cause = STR("");
        cr_assert_eq(redis_settings_read(str_from(wrong[at]), &settings, &cause), STATUS_INVALID,
                     "%s", wrong[at]);
        cr_assert(cause.len > 0);
        cr_assert_null(memmem(cause.data, cause.len, "geheim", 6), "%s", wrong[at]);
        cr_assert_eq(settings.port, 42);
    }
}
