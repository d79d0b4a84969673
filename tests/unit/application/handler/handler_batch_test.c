// SPDX-License-Identifier: Apache-2.0
// A batch of messages driven with literals: what is decided together, and what becomes of it.
#include <criterion/criterion.h>

#include "application/handler/handler_batch.h"
#include "support/tally_handler.h"

TestSuite(handler_batch, .init = tally_open, .fini = tally_close, .timeout = 10);

// --- together

Test(handler_batch, given_messages_for_one_stream_when_handled_then_one_item_holds_them_all)
{
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "add", "A"),
                                  tally_message(3, "add", "A")};
    struct handler_batch *batch = tally_given(in, 3);
    tally_when_streams_hold(batch, 7);
    size_t count = 0;
    const struct append_item *items = tally_when_it_appends(batch, &count);
    cr_assert_eq(count, 1);
    cr_assert_eq(items[0].row_count, 3);
    cr_assert_eq(items[0].inbox_count, 3);
    cr_assert_eq(items[0].stream_count, 1);
    cr_assert_eq(items[0].streams[0].expected_version, 7);
    cr_assert(str_eq(items[0].consumer, STR("test")));
    tally_when_verdict(batch, (struct append_verdict){.outcome = APPENDED});
    THEN(batch, MESSAGE_HANDLED, MESSAGE_HANDLED, MESSAGE_HANDLED);
}

Test(handler_batch, given_two_messages_for_one_stream_when_decided_then_the_second_sees_the_first)
{
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "once", "A")};
    struct handler_batch *batch = tally_given(in, 2);
    tally_when_streams_hold(batch, 0);
    size_t count = 0;
    const struct append_item *items = tally_when_it_appends(batch, &count);
    cr_assert_eq(items[0].row_count, 1);
    cr_assert_eq(items[0].inbox_count, 2);
}

Test(handler_batch, given_separate_streams_when_handled_then_each_has_an_item_of_its_own)
{
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "add", "B")};
    struct handler_batch *batch = tally_given(in, 2);
    tally_when_streams_hold(batch, 1);
    size_t count = 0;
    (void)tally_when_it_appends(batch, &count);
    cr_assert_eq(count, 2);
}

Test(handler_batch, given_a_message_that_bridges_two_streams_when_handled_then_all_share_an_item)
{
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "add", "B"),
                                  tally_message(3, "add", "AB"), tally_message(4, "add", "C")};
    struct handler_batch *batch = tally_given(in, 4);
    tally_when_streams_hold(batch, 0);
    size_t count = 0;
    const struct append_item *items = tally_when_it_appends(batch, &count);
    cr_assert_eq(count, 2);
    cr_assert_eq(items[0].stream_count, 2);
    cr_assert_eq(items[0].row_count, 4);
    for (size_t at = 0; at < items[0].row_count; at++) {
        cr_assert_lt(items[0].rows[at].stream, items[0].stream_count);
    }
}

Test(handler_batch, given_the_same_message_twice_when_handled_then_it_is_decided_once)
{
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(1, "add", "A")};
    struct handler_batch *batch = tally_given(in, 2);
    tally_when_streams_hold(batch, 0);
    size_t count = 0;
    const struct append_item *items = tally_when_it_appends(batch, &count);
    cr_assert_eq(items[0].row_count, 1);
    cr_assert_eq(items[0].inbox_count, 1);
    tally_when_verdict(batch, (struct append_verdict){.outcome = APPENDED});
    THEN(batch, MESSAGE_HANDLED, MESSAGE_HANDLED);
}

Test(handler_batch, given_a_message_that_leads_to_nothing_when_handled_then_its_inbox_row_is_kept)
{
    const struct incoming in[] = {tally_message(1, "once", "A")};
    struct handler_batch *batch = tally_given(in, 1);
    tally_when_streams_hold(batch, 2);
    size_t count = 0;
    const struct append_item *items = tally_when_it_appends(batch, &count);
    cr_assert_eq(items[0].row_count, 0);
    cr_assert_eq(items[0].inbox_count, 1);
}

Test(handler_batch, given_a_timer_when_handled_then_it_is_done_and_has_no_inbox_row)
{
    struct incoming in[] = {tally_message(1, "add", "A")};
    in[0].is_timer = true;
    struct handler_batch *batch = tally_given(in, 1);
    tally_when_streams_hold(batch, 0);
    size_t count = 0;
    const struct append_item *items = tally_when_it_appends(batch, &count);
    cr_assert_eq(items[0].inbox_count, 0);
    cr_assert_eq(items[0].timer_done_count, 1);
    cr_assert(uuid_eq(items[0].timers_done[0], in[0].id));
}

Test(handler_batch, given_more_rows_than_an_append_takes_when_handled_then_the_rest_follows)
{
    static const struct handler_limits narrow = {1000, 0, REACTION_ROWS_MAX + 1};
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "add", "A"),
                                  tally_message(3, "add", "A")};
    struct handler_batch *batch =
        handler_batch_new(&tally_handler, in, 3, NULL, &narrow, &tally_arena);
    tally_when_streams_hold(batch, 4);
    size_t count = 0;
    cr_assert_eq(tally_when_it_appends(batch, &count)[0].row_count, 2);
    tally_when_verdict(batch, (struct append_verdict){.outcome = APPENDED});
    const struct append_item *rest = tally_when_it_appends(batch, &count); // without reading again
    cr_assert_eq(rest[0].row_count, 1);
    cr_assert_eq(rest[0].streams[0].expected_version, 6);
}

// --- verdicts

Test(handler_batch, given_a_conflict_when_told_then_that_group_alone_is_read_and_decided_again)
{
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "add", "B")};
    struct handler_batch *batch = tally_given(in, 2);
    tally_when_streams_hold(batch, 1);
    size_t count = 0;
    (void)tally_when_it_appends(batch, &count);
    const struct append_verdict verdicts[] = {{.outcome = VERSION_CONFLICT}, {.outcome = APPENDED}};
    handler_batch_take_verdicts(batch, verdicts);
    (void)tally_when_it_rests(batch);
    tally_when_streams_hold(batch, 2);
    const struct append_item *items = tally_when_it_appends(batch, &count);
    cr_assert_eq(count, 1);
    cr_assert_eq(items[0].streams[0].expected_version, 2);
    tally_when_verdict(batch, (struct append_verdict){.outcome = APPENDED});
    THEN(batch, MESSAGE_HANDLED, MESSAGE_HANDLED);
}

Test(handler_batch, given_a_message_handled_before_when_told_then_the_others_are_decided_without_it)
{
    static const bool handled[] = {true, false};
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "add", "A")};
    struct handler_batch *batch = tally_given(in, 2);
    tally_when_streams_hold(batch, 0);
    size_t count = 0;
    (void)tally_when_it_appends(batch, &count);
    tally_when_verdict(
        batch, (struct append_verdict){.outcome = ALREADY_HANDLED, .inbox_handled = handled});
    tally_when_streams_hold(batch, 1); // read again: the first one's event is in the log
    const struct append_item *items = tally_when_it_appends(batch, &count);
    cr_assert_eq(items[0].row_count, 1);
    cr_assert_eq(items[0].inbox_count, 1);
    cr_assert(uuid_eq(items[0].inbox[0], in[1].id));
    tally_when_verdict(batch, (struct append_verdict){.outcome = APPENDED});
    THEN(batch, MESSAGE_HANDLED, MESSAGE_HANDLED);
    cr_assert(str_eq(handler_batch_results(batch)[0].label, STR("repeated")));
}

// The log refuses whatever holds message 3; the eight others must all get through.
Test(handler_batch, given_a_message_that_the_log_refuses_when_halved_then_it_alone_is_left_out)
{
    struct incoming in[9];
    enum message_outcome outcomes[9];
    for (unsigned char at = 0; at < 9; at++) {
        in[at] = tally_message((unsigned char)(at + 1), "add", "A");
        outcomes[at] = at == 3 ? MESSAGE_TRANSIENT : MESSAGE_HANDLED;
    }
    struct handler_batch *batch = tally_given(in, 9);
    int32_t version = 0;
    for (int round = 0; round < 12; round++) {
        enum handler_want want = handler_batch_next(batch, tally_now_ms);
        if (want == HANDLER_WANT_STREAMS) {
            size_t asked = 0;
            (void)handler_batch_queries(batch, &asked);
            struct stream_rows rows = {.count = 0};
            rows.rows = arena_array(&tally_arena, (size_t)version + 1, sizeof(*rows.rows));
            for (; rows.count < (size_t)version; rows.count++) {
                rows.rows[rows.count] = (struct recorded_event){.tenant = STR("main"),
                                                                .category = STR("tally"),
                                                                .version = (int32_t)rows.count + 1,
                                                                .type = STR("Added")};
            }
            handler_batch_take_streams(batch, &rows);
            want = handler_batch_next(batch, tally_now_ms);
        }
        if (want != HANDLER_WANT_APPEND) {
            break;
        }
        size_t count = 0;
        const struct append_item *items = handler_batch_items(batch, &count);
        bool bad = false;
        for (size_t at = 0; at < items[0].inbox_count; at++) {
            bad = bad || uuid_eq(items[0].inbox[at], in[3].id);
        }
        version += bad ? 0 : (int32_t)items[0].row_count;
        tally_when_verdict(batch,
                           (struct append_verdict){.outcome = bad ? ITEM_REFUSED : APPENDED});
    }
    cr_assert_eq(version, 8);
    tally_then_outcomes(batch, outcomes, 9);
}

Test(handler_batch, given_a_server_that_goes_away_when_failed_then_what_is_not_done_is_transient)
{
    const struct incoming in[] = {tally_message(1, "unreadable", ""), tally_message(2, "add", "A"),
                                  tally_message(2, "add", "A")};
    struct handler_batch *batch = tally_given(in, 3);
    tally_expect(batch, HANDLER_WANT_STREAMS);
    handler_batch_fail(batch, STATUS_UNAVAILABLE);
    THEN(batch, MESSAGE_POISON, MESSAGE_TRANSIENT, MESSAGE_TRANSIENT);
}

// --- poison and effects

Test(handler_batch, given_poison_among_messages_when_handled_then_it_leaves_the_others_alone)
{
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "unreadable", ""),
                                  tally_message(3, "senseless", "A"), tally_message(4, "add", "A")};
    struct handler_batch *batch = tally_given(in, 4);
    tally_when_streams_hold(batch, 0);
    size_t count = 0;
    cr_assert_eq(tally_when_it_appends(batch, &count)[0].row_count, 2);
    tally_when_verdict(batch, (struct append_verdict){.outcome = APPENDED});
    THEN(batch, MESSAGE_HANDLED, MESSAGE_POISON, MESSAGE_POISON, MESSAGE_HANDLED);
    cr_assert(str_eq(handler_batch_results(batch)[1].cause, STR("data: no letters")));
    cr_assert(str_eq(handler_batch_results(batch)[2].cause, STR("it makes no sense")));
}

Test(handler_batch, given_a_stream_with_an_unreadable_event_when_handled_then_others_go_on)
{
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "add", "B")};
    struct handler_batch *batch = tally_given(in, 2);
    tally_expect(batch, HANDLER_WANT_STREAMS);
    struct recorded_event broken = {
        .tenant = STR("main"), .category = STR("tally"), .version = 1, .type = STR("Broken")};
    const struct stream_rows rows[] = {{.rows = &broken, .count = 1}, {.count = 0}};
    handler_batch_take_streams(batch, rows);
    tally_when_all_appended(batch);
    THEN(batch, MESSAGE_TRANSIENT, MESSAGE_HANDLED);
}

// Red before: it was decided on their rows, and appended to them.
Test(handler_batch, given_a_stream_of_another_tenant_or_kind_when_handled_then_it_is_poison)
{
    const struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "add", "B"),
                                  tally_message(3, "add", "C")};
    struct handler_batch *batch = tally_given(in, 3);
    tally_expect(batch, HANDLER_WANT_STREAMS);
    struct recorded_event theirs = {
        .tenant = STR("other"), .category = STR("tally"), .version = 1, .type = STR("Added")};
    struct recorded_event thing = {
        .tenant = STR("main"), .category = STR("thing"), .version = 1, .type = STR("Added")};
    const struct stream_rows rows[] = {
        {.rows = &theirs, .count = 1}, {.rows = &thing, .count = 1, .more = true}, {.count = 0}};
    handler_batch_take_streams(batch, rows);
    tally_when_all_appended(batch);
    THEN(batch, MESSAGE_POISON, MESSAGE_POISON, MESSAGE_HANDLED);
}

Test(handler_batch, given_effects_when_one_gets_no_answer_then_only_its_message_is_transient)
{
    const struct incoming in[] = {tally_message(1, "outside", "A"),
                                  tally_message(2, "outside", "B"), tally_message(3, "add", "A")};
    struct handler_batch *batch = tally_given(in, 3);
    tally_when_streams_hold(batch, 0);
    tally_expect(batch, HANDLER_WANT_EFFECTS);
    size_t count = 0;
    (void)handler_batch_effects(batch, &count);
    cr_assert_eq(count, 2); // asked for together
    const struct effect_result results[] = {{.answered = false},
                                            {.answered = true, .answer = {.outcome = EFFECT_DONE}}};
    handler_batch_take_effects(batch, results);
    (void)tally_when_it_appends(batch, &count);
    cr_assert_eq(count, 2);
    tally_when_all_appended(batch);
    THEN(batch, MESSAGE_TRANSIENT, MESSAGE_HANDLED, MESSAGE_HANDLED);
}

Test(handler_batch,
     given_an_answer_when_a_conflict_makes_it_decide_again_then_it_is_not_asked_twice)
{
    const struct incoming in[] = {tally_message(1, "outside", "A")};
    struct handler_batch *batch = tally_given(in, 1);
    tally_when_streams_hold(batch, 0);
    tally_expect(batch, HANDLER_WANT_EFFECTS);
    const struct effect_result done = {.answered = true, .answer = {.outcome = EFFECT_DONE}};
    handler_batch_take_effects(batch, &done);
    size_t count = 0;
    (void)tally_when_it_appends(batch, &count);
    tally_when_verdict(batch, (struct append_verdict){.outcome = VERSION_CONFLICT});
    (void)tally_when_it_rests(batch);
    tally_when_streams_hold(batch, 1);
    tally_expect(batch, HANDLER_WANT_APPEND);
}

Test(handler_batch, given_an_effect_that_no_provider_knows_when_told_then_that_alone_is_poison)
{
    const struct incoming in[] = {tally_message(1, "outside", "A"),
                                  tally_message(2, "outside", "B"),
                                  tally_message(3, "outside", "C")};
    const struct effect_result results[] = {
        {.answered = true, .answer = {.outcome = EFFECT_DONE}}, {.unknown = true}, {0}};
    struct handler_batch *batch = tally_given(in, 3);
    tally_when_streams_hold(batch, 0);
    tally_expect(batch, HANDLER_WANT_EFFECTS);
    handler_batch_take_effects(batch, results);
    tally_when_all_appended(batch);
    THEN(batch, MESSAGE_HANDLED, MESSAGE_POISON, MESSAGE_TRANSIENT);
}

Test(handler_batch, given_another_tenants_message_for_a_stream_when_handled_then_it_is_poison)
{
    struct incoming in[] = {tally_message(1, "add", "A"), tally_message(2, "add", "A")};
    in[1].tenant = STR("other");
    struct handler_batch *batch = tally_given(in, 2);
    tally_when_streams_hold(batch, 0);
    tally_when_all_appended(batch);
    THEN(batch, MESSAGE_HANDLED, MESSAGE_POISON);
}

Test(handler_batch, given_no_message_when_started_then_nothing_is_wanted)
{
    struct handler_batch *batch = tally_given(NULL, 0);
    tally_expect(batch, HANDLER_WANT_NOTHING);
}
