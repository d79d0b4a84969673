// SPDX-License-Identifier: Apache-2.0
// Unit tests of readiness: what changes, what all together say, how it is shown.
//
// links: workers/runtime/readiness.c
#include "runtime/readiness.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"

static struct readiness readiness;

static void open_two(void)
{
    readiness_init(&readiness);
    readiness_add(&readiness, "postgres");
    readiness_add(&readiness, "rabbitmq");
}

TestSuite(readiness, .init = open_two);

Test(readiness, given_checks_that_nobody_has_set_when_asked_then_it_is_not_ready)
{
    cr_assert_not(readiness_of_all(&readiness));
    (void)readiness_update(&readiness, "postgres", true, "connected");
    cr_assert_not(readiness_of_all(&readiness));
    (void)readiness_update(&readiness, "rabbitmq", true, "connected");
    cr_assert(readiness_of_all(&readiness));
}

Test(readiness, given_an_update_when_nothing_is_new_then_it_says_so)
{
    cr_assert(readiness_update(&readiness, "postgres", true, "connected"));
    cr_assert_not(readiness_update(&readiness, "postgres", true, "connected"));
    cr_assert(readiness_update(&readiness, "postgres", true, "connected to another"));
    cr_assert(readiness_update(&readiness, "postgres", false, "connected to another"));
    cr_assert_not(readiness_of_all(&readiness));
}

Test(readiness, given_a_check_when_added_again_then_it_stays_as_it_was)
{
    (void)readiness_update(&readiness, "postgres", true, "connected");
    (void)readiness_update(&readiness, "rabbitmq", true, "connected");
    readiness_add(&readiness, "postgres");
    cr_assert(readiness_of_all(&readiness));
    cr_assert_eq(readiness.count, 2);
}

Test(readiness, given_a_detail_with_quotes_and_too_long_when_shown_then_it_is_cut_and_still_json)
{
    struct arena arena;
    struct buffer out;
    size_t offset;
    char detail[READINESS_DETAIL_MAX * 2];
    memset(detail, '"', sizeof(detail) - 1);
    detail[sizeof(detail) - 1] = '\0';
    arena_init(&arena, 4096, 65536);
    buffer_init(&out, &arena, 16384);
    (void)readiness_update(&readiness, "postgres", false, detail);
    cr_assert_not(readiness_render(&readiness, &out));
    cr_assert_eq(json_check(buffer_view(&out), &offset), JSON_OK, "%.*s",
                 STR_FMT(buffer_view(&out)));
    cr_assert_eq(strlen(readiness.checks[0].detail), READINESS_DETAIL_MAX - 1);
    arena_free(&arena);
}

Test(readiness, given_all_that_is_needed_when_shown_then_it_is_ready)
{
    struct arena arena;
    struct buffer out;
    arena_init(&arena, 4096, 65536);
    buffer_init(&out, &arena, 16384);
    (void)readiness_update(&readiness, "postgres", true, "connected");
    (void)readiness_update(&readiness, "rabbitmq", true, "connected");
    cr_assert(readiness_render(&readiness, &out));
    cr_assert(str_starts_with(buffer_view(&out), STR("{\"status\":\"ready\"")), "%.*s",
              STR_FMT(buffer_view(&out)));
    arena_free(&arena);
}
