// SPDX-License-Identifier: Apache-2.0
// A batch of messages driven with literals: how streams are read, kept and cut short.
#include <criterion/criterion.h>

#include "application/handler/handler_batch.h"
#include "support/tally_handler.h"

TestSuite(handler_batch_streams, .init = tally_open, .fini = tally_close, .timeout = 10);

// --- long streams

Test(handler_batch_streams, given_a_snapshot_when_read_then_it_goes_on_from_there)
{
    const struct incoming in[] = {tally_message(1, "once", "A")};
    struct handler_batch *batch = tally_given(in, 1);
    tally_expect(batch, HANDLER_WANT_STREAMS);
    size_t count = 0;
    cr_assert_eq(handler_batch_queries(batch, &count)[0].state_codec, tally_fold.version);
    const struct stream_rows rows = {
        .state = {
            .version = 100, .bytes = STR("0"), .tenant = STR("main"), .category = STR("tally")}};
    handler_batch_take_streams(batch, &rows);
    const struct append_item *items = tally_when_it_appends(batch, &count);
    cr_assert_eq(items[0].row_count, 1); // its state says that nothing was added yet
    cr_assert_eq(items[0].streams[0].expected_version, 100);
}

Test(handler_batch_streams,
     given_a_snapshot_that_cannot_be_read_when_loaded_then_it_reads_from_the_start)
{
    const struct incoming in[] = {tally_message(1, "add", "A")};
    struct handler_batch *batch = tally_given(in, 1);
    tally_expect(batch, HANDLER_WANT_STREAMS);
    const struct stream_rows rows = {.state = {.version = 100,
                                               .bytes = STR("garbage"),
                                               .tenant = STR("main"),
                                               .category = STR("tally")}};
    handler_batch_take_streams(batch, &rows);
    tally_expect(batch, HANDLER_WANT_STREAMS);
    size_t count = 0;
    cr_assert_eq(handler_batch_queries(batch, &count)[0].state_codec, 0);
    cr_assert_eq(handler_batch_queries(batch, &count)[0].after_version, 0);
}

Test(handler_batch_streams,
     given_a_stream_cut_short_when_loaded_then_it_reads_on_after_the_last_row)
{
    const struct incoming in[] = {tally_message(1, "add", "A")};
    struct handler_batch *batch = tally_given(in, 1);
    tally_expect(batch, HANDLER_WANT_STREAMS);
    struct recorded_event first = {
        .tenant = STR("main"), .category = STR("tally"), .version = 1, .type = STR("Added")};
    const struct stream_rows cut = {.rows = &first, .count = 1, .more = true};
    handler_batch_take_streams(batch, &cut);
    tally_expect(batch, HANDLER_WANT_STREAMS);
    size_t count = 0;
    cr_assert_eq(handler_batch_queries(batch, &count)[0].after_version, 1);
    tally_when_streams_hold(batch, 1);
    cr_assert_eq(tally_when_it_appends(batch, &count)[0].streams[0].expected_version, 2);
}

Test(handler_batch_streams, given_the_nth_event_when_appended_then_a_snapshot_is_worth_keeping)
{
    const struct incoming in[] = {tally_message(1, "add", "A")};
    struct handler_batch *batch = tally_given(in, 1);
    tally_when_streams_hold(batch, 9); // every 10
    tally_when_all_appended(batch);
    THEN(batch, MESSAGE_HANDLED);
    size_t count = 0;
    const struct snapshot *snapshots = handler_batch_snapshots(batch, &count);
    cr_assert_eq(count, 1);
    cr_assert_eq(snapshots[0].version, 10);
    cr_assert_eq(snapshots[0].kind, SNAPSHOT_STATE);
    cr_assert_eq(snapshots[0].codec, tally_fold.version);
    cr_assert(str_eq(snapshots[0].bytes, STR("10")));
}

Test(handler_batch_streams,
     given_a_state_kept_from_before_when_loaded_then_only_what_came_after_is_read)
{
    tally_cache = state_cache_new(10, 100);
    const struct incoming in[] = {tally_message(1, "add", "A")};
    struct handler_batch *batch = tally_given(in, 1);
    tally_when_streams_hold(batch, 4);
    tally_when_all_appended(batch);
    THEN(batch, MESSAGE_HANDLED);

    const struct incoming later[] = {tally_message(2, "add", "A")};
    batch = tally_given(later, 1);
    tally_expect(batch, HANDLER_WANT_STREAMS); // asked all the same: others may have written
    size_t count = 0;
    cr_assert_eq(handler_batch_queries(batch, &count)[0].after_version, 5);
    tally_when_streams_hold(batch, 0);
    cr_assert_eq(tally_when_it_appends(batch, &count)[0].streams[0].expected_version, 5);
    tally_when_verdict(batch, (struct append_verdict){.outcome = VERSION_CONFLICT});
    (void)tally_when_it_rests(batch);
    tally_expect(batch, HANDLER_WANT_STREAMS); // what was kept is no longer trusted
    cr_assert_eq(handler_batch_queries(batch, &count)[0].after_version, 0);
}

Test(handler_batch_streams, given_the_state_of_anothers_stream_in_the_cache_then_it_is_not_used)
{
    tally_cache = state_cache_new(10, 100);
    struct incoming in[] = {tally_message(1, "add", "A")};
    in[0].tenant = STR("other");
    struct handler_batch *batch = tally_given(in, 1);
    tally_when_streams_hold(batch, 0);
    tally_when_all_appended(batch);
    THEN(batch, MESSAGE_HANDLED);

    const struct incoming later[] = {tally_message(2, "add", "A")};
    batch = tally_given(later, 1);
    tally_expect(batch, HANDLER_WANT_STREAMS);
    size_t count = 0;
    cr_assert_eq(handler_batch_queries(batch, &count)[0].after_version, 0);
}
