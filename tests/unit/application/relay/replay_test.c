// SPDX-License-Identifier: Apache-2.0
// Which rows a replay publishes again.
#include "application/relay/replay.h"

#include <criterion/criterion.h>

static struct recorded_event row(void)
{
    return (struct recorded_event){.at = {2, 100, 7},
                                   .category = STR("meter"),
                                   .type = STR("Turned"),
                                   .kind = RECORD_EVENT,
                                   .recorded_at = 5000};
}

static struct replay_filter all(void)
{
    return (struct replay_filter){.end = {2, 100, 7}, .transaction_us = 1000};
}

Test(replay, given_no_wish_then_all_that_the_relay_publishes_is_wanted)
{
    struct replay_filter filter = all();
    struct recorded_event given = row();
    cr_assert(replay_wants(&filter, &given));
    given.category = STR("saga");
    cr_assert_not(replay_wants(&filter, &given));
    given.kind = RECORD_COMMAND;
    cr_assert(replay_wants(&filter, &given));
}

Test(replay, given_an_end_then_nothing_after_it_is_wanted)
{
    const struct log_cursor ends[] = {{1, 900, 900}, {2, 99, 900}, {2, 100, 6}};
    struct recorded_event given = row();
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct replay_filter filter = all();
        filter.end = ends[i];
        cr_assert_not(replay_wants(&filter, &given));
        cr_assert(replay_is_past(&filter, &given));
    }
    struct replay_filter filter = all();
    cr_assert_not(replay_is_past(&filter, &given));
}

Test(replay, given_times_then_both_ends_belong_to_it)
{
    struct replay_filter filter = all();
    struct recorded_event given = row();
    filter.since = filter.until = 5000;
    cr_assert(replay_wants(&filter, &given));
    filter.since = 5001;
    cr_assert_not(replay_wants(&filter, &given));
    filter.since = 0;
    filter.until = 4999;
    cr_assert_not(replay_wants(&filter, &given));
    cr_assert_not(replay_is_past(&filter, &given), "a longer transaction may come after it");
    given.recorded_at = 6000;
    cr_assert(replay_is_past(&filter, &given));
}

Test(replay, given_category_and_type_then_only_those_are_wanted)
{
    struct replay_filter filter = all();
    struct recorded_event given = row();
    filter.category = STR("meter");
    filter.type = STR("Turned");
    cr_assert(replay_wants(&filter, &given));
    filter.type = STR("Stopped");
    cr_assert_not(replay_wants(&filter, &given));
    filter.type = STR("");
    filter.category = STR("mete");
    cr_assert_not(replay_wants(&filter, &given));
}

Test(replay, given_a_place_then_it_is_read_as_it_is_written)
{
    struct arena arena;
    struct log_cursor at = {0};
    arena_init(&arena, 1024, 4096);
    cr_assert(replay_place_parse(STR("3.745.90210"), &at));
    cr_assert(at.epoch == 3 && at.tx == 745 && at.position == 90210);
    cr_assert(str_eq(replay_place_format(at, &arena), STR("3.745.90210")));
    arena_free(&arena);
}

Test(replay, given_no_place_then_it_is_refused)
{
    static const char *const wrong[] = {
        "",       "1",      "1.2",    "1.2.3.4", "1.2.x",          "-1.2.3",
        "1.-2.3", "1.2.-3", " 1.2.3", "1..3",    "99999999999.1.1"};
    struct log_cursor at = {7, 7, 7};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_not(replay_place_parse(str_from(wrong[i]), &at), "%s", wrong[i]);
        cr_assert(at.epoch == 7 && at.tx == 7 && at.position == 7);
    }
}
