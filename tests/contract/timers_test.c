// SPDX-License-Identifier: Apache-2.0
// One suite for every event store: timers, which are set, claimed and deleted with what they drive.
#include <criterion/criterion.h>
#include <criterion/options.h>
#include <time.h>

#include "../support/log_subject.h"
#include "../support/test_database.h"
#include "application/ports/event_store.h"

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
    (void)set;
    criterion_options.jobs = 1; // claims take whatever is due, also another test's
    test_database_make();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    test_database_drop();
}

enum { CLAIM_S = 30 };

static instant_us in_seconds(int seconds)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ((instant_us)now.tv_sec + seconds) * 1000000 + now.tv_nsec / 1000;
}

static size_t claim(struct log_subject *subject, size_t limit, int claim_s, struct timer **timers)
{
    size_t count = 0;
    cr_assert_eq(
        event_store_claim_timers(subject->store, limit, claim_s, &subject->arena, timers, &count),
        STATUS_OK);
    return count;
}

// Leaves nothing due behind for the next test.
static void finish(struct log_subject *subject, const struct uuid *ids, size_t count)
{
    struct log_item *item = an_item(subject);
    for (size_t i = 0; i < count; i++) {
        with_timer_done(item, ids[i]);
    }
    cr_assert_eq(append_one(subject, item).outcome, APPENDED);
}

BOTH_STORES(timer, given_timers_then_the_rest_lasts_until_the_earliest_is_due)
{
    int rest_ms = -1;
    struct uuid ids[2] = {new_id(), new_id()};
    struct timer *others = NULL;
    (void)claim(subject, 100, 3600, &others); // what other tests have left
    cr_assert_eq(event_store_timers_rest(subject->store, 1000, &rest_ms), STATUS_OK);
    cr_assert_eq(rest_ms, 1000, "there is none");
    append_one(subject, with_timer(an_item(subject), ids[0], in_seconds(30)));
    cr_assert_eq(event_store_timers_rest(subject->store, 1000, &rest_ms), STATUS_OK);
    cr_assert_eq(rest_ms, 1000, "it is due later");
    cr_assert_eq(event_store_timers_rest(subject->store, 60000, &rest_ms), STATUS_OK);
    cr_assert(rest_ms > 0 && rest_ms <= 30000, "%d", rest_ms);
    append_one(subject, with_timer(an_item(subject), ids[1], in_seconds(-5)));
    cr_assert_eq(event_store_timers_rest(subject->store, 60000, &rest_ms), STATUS_OK);
    cr_assert_eq(rest_ms, 0);
    finish(subject, ids, 2);
}

BOTH_STORES(timer, given_a_due_timer_when_claimed_then_it_comes_back_as_it_was_set)
{
    struct uuid id = new_id();
    struct log_item *item = with_timer(an_item(subject), id, in_seconds(-5));
    append_one(subject, item);
    struct timer *timers = NULL;
    cr_assert_eq(claim(subject, 10, CLAIM_S, &timers), 1);
    cr_assert(uuid_eq(timers[0].id, id));
    cr_assert(uuid_eq(timers[0].saga, item->timers[0].saga));
    cr_assert(str_eq(timers[0].tenant, subject->tenant));
    cr_assert(str_eq(timers[0].data, STR("{\"step\": \"authorize\"}")));
    cr_assert_eq(timers[0].due, item->timers[0].due);
    finish(subject, &id, 1);
}

BOTH_STORES(timer, given_a_claimed_timer_when_claimed_again_then_it_waits_for_the_claim_to_run_out)
{
    struct uuid id = new_id();
    append_one(subject, with_timer(an_item(subject), id, in_seconds(-5)));
    struct timer *timers = NULL;
    cr_assert_eq(claim(subject, 10, 3, &timers), 1);
    cr_assert_eq(claim(subject, 10, 3, &timers), 0);
    nanosleep(&(struct timespec){.tv_sec = 3, .tv_nsec = 100000000}, NULL);
    cr_assert_eq(claim(subject, 10, CLAIM_S, &timers), 1);
    finish(subject, &id, 1);
}

BOTH_STORES(timer, given_a_timer_that_is_not_due_when_claimed_then_it_stays)
{
    struct uuid id = new_id();
    append_one(subject, with_timer(an_item(subject), id, in_seconds(60)));
    struct timer *timers = NULL;
    cr_assert_eq(claim(subject, 10, CLAIM_S, &timers), 0);
    finish(subject, &id, 1);
}

BOTH_STORES(timer, given_several_due_timers_when_claimed_by_a_limit_then_the_oldest_come_first)
{
    struct uuid ids[] = {new_id(), new_id(), new_id()};
    struct log_item *item = an_item(subject);
    with_timer(item, ids[0], in_seconds(-10));
    with_timer(item, ids[1], in_seconds(-30));
    with_timer(item, ids[2], in_seconds(-20));
    append_one(subject, item);
    struct timer *timers = NULL;
    cr_assert_eq(claim(subject, 1, CLAIM_S, &timers), 1);
    cr_assert(uuid_eq(timers[0].id, ids[1]));
    cr_assert_eq(claim(subject, 10, CLAIM_S, &timers), 2);
    finish(subject, ids, 3);
}

BOTH_STORES(timer, given_a_timer_when_its_effect_is_appended_then_it_is_gone)
{
    struct uuid id = new_id(), stream = new_id();
    append_one(subject, with_timer(an_item(subject), id, in_seconds(-5)));
    append_one(subject, with_timer_done(an_event(subject, stream, 0), id));
    struct timer *timers = NULL;
    cr_assert_eq(claim(subject, 10, CLAIM_S, &timers), 0);
    // One that is not there is no fault.
    cr_assert_eq(append_one(subject, with_timer_done(an_event(subject, stream, 1), id)).outcome,
                 APPENDED);
}

BOTH_STORES(timer, given_an_item_that_conflicts_then_its_timers_are_neither_set_nor_deleted)
{
    struct uuid old = new_id(), fresh = new_id(), stream = new_id();
    append_one(subject, with_timer(an_event(subject, stream, 0), old, in_seconds(-5)));
    struct log_item *item = with_timer(an_event(subject, stream, 0), fresh, in_seconds(-5));
    cr_assert_eq(append_one(subject, with_timer_done(item, old)).outcome, VERSION_CONFLICT);
    struct timer *timers = NULL;
    cr_assert_eq(claim(subject, 10, CLAIM_S, &timers), 1);
    cr_assert(uuid_eq(timers[0].id, old));
    finish(subject, &old, 1);
}

BOTH_STORES(timer, given_a_timer_set_twice_then_it_is_one)
{
    struct uuid id = new_id();
    append_one(subject, with_timer(an_item(subject), id, in_seconds(-5)));
    append_one(subject, with_timer(an_item(subject), id, in_seconds(-5)));
    struct timer *timers = NULL;
    cr_assert_eq(claim(subject, 10, CLAIM_S, &timers), 1);
    finish(subject, &id, 1);
}
