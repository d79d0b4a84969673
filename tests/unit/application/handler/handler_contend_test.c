// SPDX-License-Identifier: Apache-2.0
// A batch that loses races: it rests, longer each time, and is given up by the clock alone.
#include <criterion/criterion.h>

#include "support/tally_handler.h"

TestSuite(handler_contend, .init = tally_open, .fini = tally_close, .timeout = 10);

static const struct append_verdict lost = {.outcome = VERSION_CONFLICT};
static const struct append_verdict won = {.outcome = APPENDED};

static void when_it_loses(struct handler_batch *batch)
{
    size_t count = 0;
    tally_when_streams_hold(batch, 1);
    (void)tally_when_it_appends(batch, &count);
    tally_when_verdict(batch, lost);
}

Test(handler_contend, given_races_lost_when_told_then_the_rests_grow_up_to_a_limit)
{
    const struct incoming in[] = {tally_message(1, "add", "A")};
    struct handler_batch *batch = tally_given(in, 1);
    int whole = HANDLER_PAUSE_FIRST_MS;
    for (int round = 0; round < 10; round++) {
        when_it_loses(batch);
        tally_now_ms = 5000; // time stands still
        int pause_ms = tally_when_it_rests(batch);
        cr_assert_geq(pause_ms, whole / 2);
        cr_assert_leq(pause_ms, whole);
        whole = whole * 2 > HANDLER_PAUSE_MAX_MS ? HANDLER_PAUSE_MAX_MS : whole * 2;
    }
}

Test(handler_contend, given_two_that_lose_to_each_other_when_they_rest_then_not_for_the_same_times)
{
    int different = 0;
    int pauses[8] = {0};
    for (unsigned char id = 1; id <= 8; id++) {
        const struct incoming in[] = {tally_message(id, "add", "A")};
        struct handler_batch *batch = tally_given(in, 1);
        for (int round = 0; round < 6; round++) {
            when_it_loses(batch);
            pauses[id - 1] = tally_when_it_rests(batch);
        }
        different += pauses[id - 1] != pauses[0];
    }
    cr_assert_geq(different, 4);
}

Test(handler_contend, given_races_lost_again_and_again_when_the_time_is_not_up_then_it_is_tried)
{
    const struct incoming in[] = {tally_message(1, "add", "A")};
    struct handler_batch *batch = tally_given(in, 1);
    int64_t began_ms = tally_now_ms;
    int rounds = 0;
    when_it_loses(batch);
    while (handler_batch_next(batch, tally_now_ms) == HANDLER_WANT_PAUSE) {
        tally_now_ms += handler_batch_pause_ms(batch);
        when_it_loses(batch);
        rounds++;
    }
    cr_assert_eq(tally_now_ms, began_ms + tally_limits.contention_ms);
    cr_assert_gt(rounds, 8);
    THEN(batch, MESSAGE_TRANSIENT);
    cr_assert_gt(handler_batch_results(batch)[0].cause.len, 0);
}

// However many they are: only the clock counts.
Test(handler_contend, given_a_thousand_lost_races_when_one_is_won_in_time_then_it_is_handled)
{
    static const struct handler_limits patient = {600000, 0, 4096};
    const struct incoming in[] = {tally_message(1, "add", "A")};
    struct handler_batch *batch =
        handler_batch_new(&tally_handler, in, 1, NULL, &patient, &tally_arena);
    size_t count = 0;
    for (int round = 0; round < 1000; round++) {
        when_it_loses(batch);
        (void)tally_when_it_rests(batch);
    }
    tally_when_streams_hold(batch, 1);
    (void)tally_when_it_appends(batch, &count);
    tally_when_verdict(batch, won);
    THEN(batch, MESSAGE_HANDLED);
}

Test(handler_contend, given_a_group_that_lost_when_others_have_work_then_they_go_on_meanwhile)
{
    static const struct handler_limits narrow = {1000, 0, REACTION_ROWS_MAX + 1};
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "add", "B"),
                                  tally_message(3, "add", "B"), tally_message(4, "add", "B")};
    struct handler_batch *batch =
        handler_batch_new(&tally_handler, in, 4, NULL, &narrow, &tally_arena);
    tally_when_streams_hold(batch, 1);
    size_t count = 0;
    (void)tally_when_it_appends(batch, &count);
    cr_assert_eq(count, 2);
    const struct append_verdict verdicts[] = {lost, won};
    handler_batch_take_verdicts(batch, verdicts);
    const struct append_item *rest = tally_when_it_appends(batch, &count); // B's, without a pause
    cr_assert_eq(count, 1);
    cr_assert_eq(rest[0].row_count, 2);
    tally_when_verdict(batch, won);
    (void)tally_when_it_rests(batch);
    tally_when_streams_hold(batch, 2);
    (void)tally_when_it_appends(batch, &count);
    tally_when_verdict(batch, won);
    THEN(batch, MESSAGE_HANDLED, MESSAGE_HANDLED, MESSAGE_HANDLED, MESSAGE_HANDLED);
}

Test(handler_contend, given_a_race_won_when_the_next_is_lost_then_its_rests_begin_anew)
{
    static const struct handler_limits narrow = {1000, 0, REACTION_ROWS_MAX + 1};
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "add", "A"),
                                  tally_message(3, "add", "A")};
    struct handler_batch *batch =
        handler_batch_new(&tally_handler, in, 3, NULL, &narrow, &tally_arena);
    for (int round = 0; round < 6; round++) {
        when_it_loses(batch);
        (void)tally_when_it_rests(batch);
    }
    tally_when_streams_hold(batch, 1);
    size_t count = 0;
    (void)tally_when_it_appends(batch, &count);
    tally_when_verdict(batch, won);
    (void)tally_when_it_appends(batch, &count);
    tally_when_verdict(batch, lost);
    cr_assert_leq(tally_when_it_rests(batch), HANDLER_PAUSE_FIRST_MS);
}

Test(handler_contend, given_a_second_race_lost_when_read_again_then_only_what_came_since)
{
    const struct incoming in[] = {tally_message(1, "add", "A")};
    struct handler_batch *batch = tally_given(in, 1);
    size_t asked = 0;
    when_it_loses(batch); // read from the start: version 1
    (void)tally_when_it_rests(batch);
    tally_when_streams_hold(batch,
                            5); // from the start once more: what was read before may be wrong
    tally_when_verdict(batch, (tally_when_it_appends(batch, &asked), lost));
    (void)tally_when_it_rests(batch);
    tally_expect(batch, HANDLER_WANT_STREAMS);
    const struct stream_query *queries = handler_batch_queries(batch, &asked);
    cr_assert_eq(asked, 1);
    cr_assert_eq(queries[0].after_version, 5);
    tally_when_streams_hold(batch, 2);
    const struct append_item *items = tally_when_it_appends(batch, &asked);
    cr_assert_eq(items[0].streams[0].expected_version, 7);
    tally_when_verdict(batch, won);
    THEN(batch, MESSAGE_HANDLED);
}
