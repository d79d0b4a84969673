// SPDX-License-Identifier: Apache-2.0
// One suite for every event store: what reading promises, in memory and on PostgreSQL.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "../support/log_subject.h"
#include "../support/test_database.h"
#include "application/ports/event_store.h"

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
    (void)set;
    test_database_make();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    test_database_drop();
}

static struct uuid a_stream_of(struct log_subject *subject, int32_t length)
{
    struct uuid stream = new_id();
    for (int32_t version = 0; version < length; version++) {
        cr_assert_eq(append_one(subject, an_event(subject, stream, version)).outcome, APPENDED);
    }
    return stream;
}

static void read_some(struct log_subject *subject, const struct stream_query *queries, size_t count,
                      size_t limit, struct stream_rows *streams)
{
    cr_assert_eq(event_store_read(subject->store, queries, count, limit, &subject->arena, streams),
                 STATUS_OK);
}

BOTH_STORES(read, given_several_streams_when_read_then_each_answers_its_query)
{
    struct uuid absent = new_id(), two = a_stream_of(subject, 2), one = a_stream_of(subject, 1);
    struct stream_query queries[] = {
        {.stream = two}, {.stream = absent}, {.stream = one}, {.stream = two, .after_version = 1}};
    struct stream_rows rows[4];
    read_some(subject, queries, 4, 100, rows);
    cr_assert_eq(rows[0].count, 2);
    cr_assert_eq(rows[1].count, 0);
    cr_assert_not(rows[1].more);
    cr_assert_eq(rows[2].count, 1);
    cr_assert_eq(rows[3].count, 1);
    cr_assert_eq(rows[3].rows[0].version, 2);
    cr_assert(uuid_eq(rows[2].rows[0].stream, one));
}

BOTH_STORES(read, given_a_limit_when_it_cuts_a_stream_short_then_more_is_told)
{
    struct uuid stream = a_stream_of(subject, 5), other = a_stream_of(subject, 2);
    struct stream_query queries[] = {{.stream = stream}, {.stream = other}};
    struct stream_rows rows[2];
    read_some(subject, queries, 2, 3, rows);
    cr_assert_eq(rows[0].count, 3);
    cr_assert(rows[0].more);
    cr_assert_eq(rows[0].rows[2].version, 3);
    cr_assert_eq(rows[1].count, 2);
    cr_assert_not(rows[1].more);
    queries[0].after_version = 3;
    read_some(subject, queries, 1, 2, rows);
    cr_assert_eq(rows[0].count, 2); // exactly the limit, and nothing after it
    cr_assert_not(rows[0].more);
}

// 128 messages about fifty streams each ask for more than one round trip takes.
BOTH_STORES(read, given_more_streams_than_a_round_trip_takes_when_read_then_each_has_its_answer)
{
    enum { STREAMS = 4097 };
    struct stream_query *queries = arena_array(&subject->arena, STREAMS, sizeof(*queries));
    struct stream_rows *rows = arena_array(&subject->arena, STREAMS, sizeof(*rows));
    struct uuid first = a_stream_of(subject, 1), last = a_stream_of(subject, 2);
    for (size_t at = 0; at < STREAMS; at++) {
        queries[at].stream = at == 0 ? first : at == STREAMS - 1 ? last : new_id();
    }
    read_some(subject, queries, STREAMS, 100, rows);
    for (size_t at = 0; at < STREAMS; at++) {
        cr_assert_eq(rows[at].count, at == 0 ? 1 : at == STREAMS - 1 ? 2 : 0, "%zu", at);
    }
    cr_assert(uuid_eq(rows[STREAMS - 1].rows[1].stream, last));
}

BOTH_STORES(read, given_an_end_when_read_then_nothing_beyond_it_comes)
{
    struct uuid stream = a_stream_of(subject, 5);
    struct stream_query queries[] = {{.stream = stream, .until_version = 3},
                                     {.stream = stream, .after_version = 3, .until_version = 3},
                                     {.stream = stream, .until_version = 9}};
    struct stream_rows rows[3];
    read_some(subject, queries, 3, 2, rows);
    cr_assert_eq(rows[0].count, 2);
    cr_assert(rows[0].more);
    cr_assert_eq(rows[1].count, 0);
    read_some(subject, queries, 3, 3, rows);
    cr_assert_eq(rows[0].count, 3);
    cr_assert_not(rows[0].more);
    cr_assert_eq(rows[2].count, 3);
    cr_assert(rows[2].more);
}

BOTH_STORES(tail, given_rows_when_followed_in_small_steps_then_each_comes_once_in_order)
{
    enum { STREAMS = 3, LENGTH = 4, ROWS = STREAMS * LENGTH };
    struct log_cursor at = log_end(subject);
    struct uuid streams[STREAMS] = {new_id(), new_id(), new_id()};
    for (int32_t version = 0; version < LENGTH; version++) {
        struct log_item *items[STREAMS];
        struct append_verdict verdicts[STREAMS];
        for (size_t i = 0; i < STREAMS; i++) {
            items[i] = an_event(subject, streams[i], version);
        }
        append_all(subject, items, STREAMS, verdicts);
    }
    struct uuid last = new_id();
    append_one(subject, an_event(subject, last, 0));
    struct recorded_event rows[ROWS + 1];
    cr_assert_eq(follow_tail(subject, &at, 2, rows, ROWS + 1), ROWS + 1);
    cr_assert(uuid_eq(rows[ROWS].stream, last), "one came twice");
    cr_assert_eq(follow_rest(subject, &at, 2, rows, 1), 0);
    int32_t seen[STREAMS] = {0};
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < STREAMS; j++) {
            if (uuid_eq(rows[i].stream, streams[j])) {
                cr_assert_eq(rows[i].version, ++seen[j]);
            }
        }
    }
    cr_assert_eq(seen[0] + seen[1] + seen[2], ROWS);
}

BOTH_STORES(tail, given_nothing_new_when_read_then_the_cursor_stays)
{
    struct log_cursor at = {.epoch = INT32_MAX, .tx = 5, .position = 7};
    struct recorded_event *rows = NULL;
    size_t count = 1;
    struct log_cursor next = {0};
    cr_assert_eq(
        event_store_read_tail(subject->store, at, 10, &subject->arena, &rows, &count, &next),
        STATUS_OK);
    cr_assert_eq(count, 0);
    cr_assert_eq(next.epoch, at.epoch);
    cr_assert_eq(next.tx, at.tx);
    cr_assert_eq(next.position, at.position);
}
