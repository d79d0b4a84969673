// SPDX-License-Identifier: Apache-2.0
// Unit tests of the reading of AMQP URLs.
#include "infrastructure/rabbitmq/settings.h"

#include <criterion/criterion.h>

#include "base/arena.h"

static struct arena arena;

static void set_up(void)
{
    arena_init(&arena, 1024, 1 << 16);
}

static void tear_down(void)
{
    arena_free(&arena);
}

TestSuite(rabbitmq_settings, .init = set_up, .fini = tear_down);

static struct rabbitmq_settings read(const char *url)
{
    struct rabbitmq_settings settings;
    struct str cause = STR("");
    cr_assert_eq(rabbitmq_settings_read(str_from(url), &arena, &settings, &cause), STATUS_OK,
                 "%s: %.*s", url, STR_FMT(cause));
    return settings;
}

Test(rabbitmq_settings, given_a_whole_url_when_read_then_every_part_is_there)
{
    struct rabbitmq_settings settings = read("amqp://ana:s%40cr:t%2f@bus.shop:5673/sh%2fop");
    cr_assert_str_eq(settings.user, "ana");
    cr_assert_str_eq(settings.password, "s@cr:t/");
    cr_assert_str_eq(settings.host, "bus.shop");
    cr_assert_eq(settings.port, 5673);
    cr_assert_str_eq(settings.vhost, "sh/op");
}

Test(rabbitmq_settings, given_a_bare_url_when_read_then_the_rest_is_by_default)
{
    struct rabbitmq_settings settings = read("amqp://");
    cr_assert_str_eq(settings.host, "localhost");
    cr_assert_eq(settings.port, 5672);
    cr_assert_str_eq(settings.vhost, "/");
    cr_assert_str_eq(settings.user, "guest");
    cr_assert_eq(settings.heartbeat_s, 30);
    cr_assert_eq(settings.window, 1000);
}

Test(rabbitmq_settings, given_parts_left_out_when_read_then_the_others_stand)
{
    cr_assert_str_eq(read("amqp://bus/").vhost, "/");
    cr_assert_str_eq(read("amqp://ana@bus").user, "ana");
    cr_assert_str_eq(read("amqp://ana:p@ss@bus").password, "p@ss");
    cr_assert_str_eq(read("amqp://[::1]:5673/a").host, "::1");
    cr_assert_eq(read("amqp://[::1]:5673/a").port, 5673);
    cr_assert_eq(read("amqp://[::1]").port, 5672);
}

Test(rabbitmq_settings, given_bad_urls_when_read_then_the_cause_names_the_part)
{
    static const char *cases[][2] = {
        {"", "amqp://"},
        {"http://bus", "amqp://"},
        {"amqps://bus", "amqps"},
        {"amqp://bus:0", "port"},
        {"amqp://bus:65536", "port"},
        {"amqp://bus:x", "port"},
        {"amqp://[::1", "bracket"},
        {"amqp://a%zz@bus", "user"},
        {"amqp://a:b%0@bus", "password"},
        {"amqp://a:b%00@bus", "password"},
        {"amqp://b us/", "host"},
        {"amqp://bus/a%", "virtual host"},
        {"amqp://bus/a/b", "virtual host"},
        {"amqp://bus/a?heartbeat=1", "virtual host"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rabbitmq_settings settings = {.port = 7};
        struct str cause = STR("");
        cr_assert_eq(rabbitmq_settings_read(str_from(cases[i][0]), &arena, &settings, &cause),
                     STATUS_INVALID, "%s was accepted", cases[i][0]);
        cr_assert_not_null(strstr(cause.data, cases[i][1]), "%s: %s", cases[i][0], cause.data);
        cr_assert_eq(settings.port, 7);
    }
}
