// SPDX-License-Identifier: Apache-2.0
// One suite for every event store: what append promises, in memory and on PostgreSQL.
#include "application/ports/event_store.h"

#include <criterion/criterion.h>
#include <string.h>

#include "../support/log_subject.h"
#include "../support/test_database.h"

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

BOTH_STORES(append, given_no_stream_when_an_event_is_appended_then_it_is_read_back_as_it_was)
{
    struct uuid stream = new_id();
    struct log_item *item = an_event(subject, stream, 0);
    item->rows[0].kind = RECORD_COMMAND;
    item->rows[0].schema_version = 3;
    item->rows[0].data =
        STR("{ \"a\" : [1,2] , \"\xc3\xa9\":\"\\u00e9\"}"); // the bytes stay as they are
    struct append_verdict verdict = append_one(subject, item);
    cr_assert_eq(verdict.outcome, APPENDED);
    struct stream_rows rows = read_all(subject, stream);
    cr_assert_eq(rows.count, 1);
    cr_assert_eq(rows.state.version, 0);
    cr_assert_not(rows.more);
    struct recorded_event *row = &rows.rows[0];
    cr_assert(uuid_eq(row->stream, stream));
    cr_assert(uuid_eq(row->id, item->rows[0].id));
    cr_assert_eq(row->version, 1);
    cr_assert_eq(row->kind, RECORD_COMMAND);
    cr_assert_eq(row->schema_version, 3);
    cr_assert(str_eq(row->type, STR("CounterRaised")));
    cr_assert(str_eq(row->category, STR("counter")));
    cr_assert(str_eq(row->tenant, subject->tenant));
    cr_assert(str_eq(row->data, item->rows[0].data));
    cr_assert(str_eq(row->meta, item->rows[0].meta));
    cr_assert_gt(row->recorded_at, INT64_C(1600000000000000));
    cr_assert_eq(row->at.epoch, verdict.at.epoch);
    cr_assert_eq(row->at.tx, verdict.at.tx);
    cr_assert_eq(row->at.position, verdict.at.position);
}

BOTH_STORES(append, given_several_rows_of_a_stream_when_appended_then_versions_follow_each_other)
{
    struct uuid stream = new_id();
    append_one(subject, an_event(subject, stream, 0));
    struct log_item *item = with_row(with_row(an_event(subject, stream, 1)));
    struct append_verdict verdict = append_one(subject, item);
    cr_assert_eq(verdict.outcome, APPENDED);
    struct stream_rows rows = read_all(subject, stream);
    cr_assert_eq(rows.count, 4);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(rows.rows[i].version, (int32_t)i + 1);
    }
    cr_assert(uuid_eq(rows.rows[3].id, item->rows[2].id));
    cr_assert_eq(verdict.at.position, rows.rows[3].at.position);
    cr_assert_lt(rows.rows[2].at.position, rows.rows[3].at.position);
}

BOTH_STORES(append, given_a_stream_when_an_old_version_is_expected_then_the_one_found_is_told)
{
    struct uuid stream = new_id();
    append_one(subject, with_row(an_event(subject, stream, 0)));
    for (int32_t expected = 0; expected < 2; expected++) {
        struct append_verdict verdict = append_one(subject, an_event(subject, stream, expected));
        cr_assert_eq(verdict.outcome, VERSION_CONFLICT);
        cr_assert_eq(verdict.conflict_stream, 0);
        cr_assert_eq(verdict.conflict_version, 2);
    }
    cr_assert_eq(read_all(subject, stream).count, 2);
}

BOTH_STORES(append, given_a_stream_when_a_version_ahead_is_expected_then_nothing_is_appended)
{
    struct uuid stream = new_id();
    struct append_verdict verdict = append_one(subject, an_event(subject, stream, 1));
    cr_assert_eq(verdict.outcome, VERSION_CONFLICT);
    cr_assert_eq(verdict.conflict_version, 0);
    append_one(subject, an_event(subject, stream, 0));
    verdict = append_one(subject, an_event(subject, stream, 5));
    cr_assert_eq(verdict.outcome, VERSION_CONFLICT);
    cr_assert_eq(verdict.conflict_version, 1);
    cr_assert_eq(read_all(subject, stream).count, 1);
}

BOTH_STORES(append, given_one_conflict_in_a_batch_then_its_neighbours_are_appended)
{
    struct uuid taken = new_id(), left = new_id(), right = new_id();
    append_one(subject, an_event(subject, taken, 0));
    struct log_item *items[] = {with_row(an_event(subject, left, 0)), an_event(subject, taken, 0),
                                an_event(subject, right, 0)};
    struct append_verdict verdicts[3];
    append_all(subject, items, 3, verdicts);
    cr_assert_eq(verdicts[0].outcome, APPENDED);
    cr_assert_eq(verdicts[1].outcome, VERSION_CONFLICT);
    cr_assert_eq(verdicts[2].outcome, APPENDED);
    cr_assert_eq(read_all(subject, left).count, 2);
    cr_assert_eq(read_all(subject, taken).count, 1);
    cr_assert_eq(read_all(subject, right).count, 1);
}

BOTH_STORES(append, given_an_item_of_two_streams_when_one_conflicts_then_nothing_of_it_is_appended)
{
    struct uuid fresh = new_id(), taken = new_id();
    append_one(subject, an_event(subject, taken, 0));
    struct log_item *item = with_row(with_stream(an_event(subject, fresh, 0), taken, 0));
    struct append_verdict verdict = append_one(subject, item);
    cr_assert_eq(verdict.outcome, VERSION_CONFLICT);
    cr_assert_eq(verdict.conflict_stream, 1);
    cr_assert_eq(verdict.conflict_version, 1);
    cr_assert_eq(read_all(subject, fresh).count, 0);
    item->streams[1].expected_version = 1;
    cr_assert_eq(append_one(subject, item).outcome, APPENDED);
    cr_assert_eq(read_all(subject, fresh).count, 1);
    cr_assert_eq(read_all(subject, taken).count, 2);
}

BOTH_STORES(append, given_a_stream_without_rows_when_its_version_differs_then_the_item_conflicts)
{
    struct uuid watched = new_id(), written = new_id();
    append_one(subject, an_event(subject, watched, 0));
    struct log_item *item = with_stream(an_event(subject, written, 0), watched, 0);
    struct append_verdict verdict = append_one(subject, item);
    cr_assert_eq(verdict.outcome, VERSION_CONFLICT);
    cr_assert_eq(verdict.conflict_stream, 1);
    item->streams[1].expected_version = 1;
    cr_assert_eq(append_one(subject, item).outcome, APPENDED);
    cr_assert_eq(read_all(subject, watched).count, 1);
}

BOTH_STORES(append, given_a_stream_in_two_items_when_appended_then_the_call_is_invalid)
{
    struct uuid stream = new_id();
    struct append_item items[] = {an_event(subject, stream, 0)->item,
                                  an_event(subject, stream, 1)->item};
    struct append_verdict verdicts[2];
    cr_assert_eq(event_store_append(subject->store, items, 2, &subject->arena, verdicts),
                 STATUS_INVALID);
    cr_assert_eq(read_all(subject, stream).count, 0);
}

BOTH_STORES(append, given_items_outside_the_contract_when_appended_then_the_call_is_invalid)
{
    struct append_verdict verdict;
    struct log_item *keyless = with_key(with_stream(an_item(subject), new_id(), 0), new_id(), 'a');
    struct log_item *astray = an_event(subject, new_id(), 0);
    astray->rows[0].stream = 1;
    struct log_item *nameless = with_inbox(an_item(subject), new_id());
    nameless->item.consumer = STR("");
    struct log_item *negative = an_event(subject, new_id(), -1);
    struct log_item *wrong[] = {keyless, astray, nameless, negative};
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(
            event_store_append(subject->store, &wrong[i]->item, 1, &subject->arena, &verdict),
            STATUS_INVALID, "%zu", i);
    }
    cr_assert_eq(event_store_append(subject->store, &astray->item, 0, &subject->arena, &verdict),
                 STATUS_INVALID);
}

BOTH_STORES(append, given_more_items_than_allowed_when_appended_then_the_call_is_invalid)
{
    enum { TOO_MANY = APPEND_ITEMS_MAX + 1 };
    struct append_item *items = arena_array(&subject->arena, TOO_MANY, sizeof(*items));
    struct append_verdict *verdicts = arena_array(&subject->arena, TOO_MANY, sizeof(*verdicts));
    for (size_t i = 0; i < TOO_MANY; i++) {
        items[i] = with_inbox(an_item(subject), new_id())->item;
    }
    cr_assert_eq(event_store_append(subject->store, items, TOO_MANY, &subject->arena, verdicts),
                 STATUS_INVALID);
    cr_assert_eq(event_store_append(subject->store, items, TOO_MANY - 1, &subject->arena, verdicts),
                 STATUS_OK);
}

BOTH_STORES(key, given_a_known_key_when_the_same_comes_again_then_the_first_answer_is_told)
{
    struct uuid key = new_id(), first = new_id(), second = new_id();
    append_one(subject, with_key(an_event(subject, first, 0), key, 'a'));
    struct append_verdict verdict =
        append_one(subject, with_key(an_event(subject, second, 0), key, 'a'));
    cr_assert_eq(verdict.outcome, DUPLICATE);
    cr_assert(uuid_eq(verdict.key.stream, first));
    cr_assert_eq(verdict.key.version, 1);
    cr_assert_eq(verdict.key.status, 201);
    cr_assert_eq(read_all(subject, second).count, 0);
}

BOTH_STORES(key, given_an_appended_item_when_it_is_appended_again_then_it_is_a_duplicate)
{
    struct uuid stream = new_id();
    struct log_item *item = with_key(an_event(subject, stream, 0), new_id(), 'a');
    append_one(subject, item);
    cr_assert_eq(append_one(subject, item).outcome, DUPLICATE); // not a version conflict
    cr_assert_eq(read_all(subject, stream).count, 1);
}

BOTH_STORES(key, given_a_known_key_when_another_body_comes_then_it_is_reused)
{
    struct uuid key = new_id(), second = new_id();
    append_one(subject, with_key(an_event(subject, new_id(), 0), key, 'a'));
    struct append_verdict verdict =
        append_one(subject, with_key(an_event(subject, second, 0), key, 'b'));
    cr_assert_eq(verdict.outcome, KEY_REUSED);
    cr_assert_eq(read_all(subject, second).count, 0);
}

BOTH_STORES(key, given_an_item_that_conflicts_then_its_key_is_free_again)
{
    struct uuid key = new_id(), stream = new_id();
    append_one(subject, an_event(subject, stream, 0));
    cr_assert_eq(append_one(subject, with_key(an_event(subject, stream, 0), key, 'a')).outcome,
                 VERSION_CONFLICT);
    cr_assert_eq(append_one(subject, with_key(an_event(subject, stream, 1), key, 'b')).outcome,
                 APPENDED);
}

BOTH_STORES(key, given_twins_in_one_batch_then_one_appends_and_the_others_are_told)
{
    struct uuid key = new_id(), first = new_id(), second = new_id(), third = new_id();
    struct log_item *items[] = {with_key(an_event(subject, first, 0), key, 'a'),
                                with_key(an_event(subject, second, 0), key, 'a'),
                                with_key(an_event(subject, third, 0), key, 'b')};
    struct append_verdict verdicts[3];
    append_all(subject, items, 3, verdicts);
    cr_assert_eq(verdicts[0].outcome, APPENDED);
    cr_assert_eq(verdicts[1].outcome, DUPLICATE);
    cr_assert(uuid_eq(verdicts[1].key.stream, first));
    cr_assert_eq(verdicts[2].outcome, KEY_REUSED);
    cr_assert_eq(read_all(subject, second).count + read_all(subject, third).count, 0);
}

BOTH_STORES(key, given_a_twin_whose_first_fails_then_it_is_told_to_append_again)
{
    struct uuid key = new_id(), taken = new_id(), fresh = new_id();
    append_one(subject, an_event(subject, taken, 0));
    struct log_item *items[] = {with_key(an_event(subject, taken, 0), key, 'a'),
                                with_key(an_event(subject, fresh, 0), key, 'a')};
    struct append_verdict verdicts[2];
    append_all(subject, items, 2, verdicts);
    cr_assert_eq(verdicts[0].outcome, VERSION_CONFLICT);
    cr_assert_eq(verdicts[1].outcome, APPEND_AGAIN);
    cr_assert_eq(read_all(subject, fresh).count, 0);
    cr_assert_eq(append_one(subject, items[1]).outcome, APPENDED);
}

BOTH_STORES(inbox, given_a_handled_message_when_it_comes_again_then_its_flag_is_set)
{
    struct uuid old = new_id(), fresh = new_id(), stream = new_id();
    append_one(subject, with_inbox(an_event(subject, new_id(), 0), old));
    struct log_item *item = with_inbox(with_inbox(an_event(subject, stream, 0), fresh), old);
    struct append_verdict verdict = append_one(subject, item);
    cr_assert_eq(verdict.outcome, ALREADY_HANDLED);
    cr_assert_not(verdict.inbox_handled[0]);
    cr_assert(verdict.inbox_handled[1]);
    cr_assert_eq(read_all(subject, stream).count, 0);
    // The fresh one was not kept with it.
    cr_assert_eq(append_one(subject, with_inbox(an_event(subject, stream, 0), fresh)).outcome,
                 APPENDED);
}

BOTH_STORES(inbox, given_another_consumer_when_it_handles_the_same_message_then_it_appends)
{
    struct uuid message = new_id();
    append_one(subject, with_inbox(an_event(subject, new_id(), 0), message));
    struct log_item *item = with_inbox(an_event(subject, new_id(), 0), message);
    item->item.consumer = STR("another");
    cr_assert_eq(append_one(subject, item).outcome, APPENDED);
}

BOTH_STORES(inbox, given_an_item_without_rows_then_its_message_is_kept)
{
    struct uuid message = new_id();
    struct append_verdict verdict = append_one(subject, with_inbox(an_item(subject), message));
    cr_assert_eq(verdict.outcome, APPENDED);
    cr_assert_eq(verdict.at.position, 0);
    verdict = append_one(subject, with_inbox(an_event(subject, new_id(), 0), message));
    cr_assert_eq(verdict.outcome, ALREADY_HANDLED);
    cr_assert(verdict.inbox_handled[0]);
}

BOTH_STORES(inbox, given_an_item_that_conflicts_then_its_message_is_free_again)
{
    struct uuid message = new_id(), stream = new_id();
    append_one(subject, an_event(subject, stream, 0));
    cr_assert_eq(append_one(subject, with_inbox(an_event(subject, stream, 0), message)).outcome,
                 VERSION_CONFLICT);
    cr_assert_eq(append_one(subject, with_inbox(an_event(subject, stream, 1), message)).outcome,
                 APPENDED);
}

BOTH_STORES(inbox, given_the_same_message_twice_in_one_batch_then_one_item_appends)
{
    struct uuid message = new_id(), first = new_id(), second = new_id();
    struct log_item *items[] = {with_inbox(an_event(subject, first, 0), message),
                                with_inbox(an_event(subject, second, 0), message)};
    struct append_verdict verdicts[2];
    append_all(subject, items, 2, verdicts);
    cr_assert_eq(verdicts[0].outcome, APPENDED);
    cr_assert_eq(verdicts[1].outcome, ALREADY_HANDLED);
    cr_assert(verdicts[1].inbox_handled[0]);
    cr_assert_eq(read_all(subject, second).count, 0);
}

BOTH_STORES(inbox, given_twins_whose_first_conflicts_then_the_other_is_told_to_append_again)
{
    struct uuid message = new_id(), taken = new_id(), fresh = new_id();
    append_one(subject, an_event(subject, taken, 0));
    struct log_item *items[] = {with_inbox(an_event(subject, taken, 0), message),
                                with_inbox(an_event(subject, fresh, 0), message)};
    struct append_verdict verdicts[2];
    append_all(subject, items, 2, verdicts);
    cr_assert_eq(verdicts[0].outcome, VERSION_CONFLICT);
    cr_assert_eq(verdicts[1].outcome, APPEND_AGAIN);
    cr_assert_eq(append_one(subject, items[1]).outcome, APPENDED);
}

BOTH_STORES(inbox, given_one_item_with_the_same_message_twice_then_it_appends_once)
{
    struct uuid message = new_id(), stream = new_id();
    struct log_item *item = with_inbox(with_inbox(an_event(subject, stream, 0), message), message);
    cr_assert_eq(append_one(subject, item).outcome, APPENDED);
    cr_assert_eq(read_all(subject, stream).count, 1);
}
