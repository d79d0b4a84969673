// SPDX-License-Identifier: Apache-2.0
// Unit tests of the relay from literals: what it wants next, and how far its checkpoint may be.
#include "application/relay/relay.h"

#include <criterion/criterion.h>

static struct relay *relay;
static struct relay_settings settings;
static int64_t now;

static void set_up(void)
{
    settings = relay_settings_default();
    settings.batch = 8;
    relay = relay_new(&settings, 1);
    now = 1000;
}

static void tear_down(void)
{
    relay_free(relay);
}

TestSuite(relay, .init = set_up, .fini = tear_down);

static struct log_cursor at(int64_t position)
{
    return (struct log_cursor){1, 100, position};
}

// Rows 1, 2, 3 …; a small letter is a row that nobody may see.
static struct recorded_event rows[32];

static size_t rows_of(const char *kinds, int64_t first)
{
    size_t count = 0;
    for (; kinds[count] != '\0'; count++) {
        rows[count] = (struct recorded_event){
            .at = at(first + (int64_t)count),
            .kind = kinds[count] == 'C' ? RECORD_COMMAND : RECORD_EVENT,
            .category = kinds[count] == 'E' ? STR("meter") : STR("saga"),
        };
    }
    return count;
}

static void wants(enum relay_want want)
{
    enum relay_want got = relay_next(relay, now);
    cr_assert_eq(got, want, "it wants %d, not %d", got, want);
}

static void given_it_leads(void)
{
    struct lease lease = {.held = true, .fence = 7, .checkpoint = at(0)};
    wants(RELAY_WANT_LEASE);
    relay_take_lease(relay, STATUS_OK, &lease, now);
    wants(RELAY_WANT_TOPOLOGY);
    relay_take_topology(relay, STATUS_OK, false, now);
}

static void given_rows(const char *kinds, int64_t first)
{
    size_t count = rows_of(kinds, first);
    wants(RELAY_WANT_ROWS);
    relay_take_rows(relay, STATUS_OK, rows, count, at(first + (int64_t)count - 1), now);
}

static void given_all_sent(void)
{
    size_t count;
    relay_rows(relay, &count);
    wants(RELAY_WANT_SEND);
    relay_take_sent(relay, STATUS_OK, count - relay_sent(relay), now);
}

static void when_outcomes(enum publish_outcome outcome, size_t count)
{
    enum publish_outcome outcomes[16];
    for (size_t i = 0; i < count; i++) {
        outcomes[i] = outcome;
    }
    relay_take_outcomes(relay, STATUS_OK, outcomes, count, now);
}

static void confirmed_is(int64_t position)
{
    cr_assert_eq(relay_confirmed(relay).position, position, "confirmed up to %ld",
                 (long)relay_confirmed(relay).position);
}

Test(relay, given_another_leads_when_asked_then_it_rests_and_tries_again)
{
    struct lease lease = {.held = false};
    wants(RELAY_WANT_LEASE);
    relay_take_lease(relay, STATUS_OK, &lease, now);
    wants(RELAY_WANT_REST);
    cr_assert_eq(relay_wait_ms(relay), settings.acquire_ms);
    now += settings.acquire_ms;
    wants(RELAY_WANT_LEASE);
}

Test(relay, given_rows_sent_when_not_confirmed_then_the_checkpoint_stays)
{
    given_it_leads();
    given_rows("EEE", 1);
    given_all_sent();
    confirmed_is(0);
    now += settings.checkpoint_ms;
    wants(RELAY_WANT_ROWS); // reading goes on while confirms are on their way
    relay_take_rows(relay, STATUS_OK, rows, 0, at(3), now);
    wants(RELAY_WANT_SLEEP);
    relay_take_sleep(relay, STATUS_OK, false, now);
    wants(RELAY_WANT_OUTCOMES);
}

Test(relay, given_some_confirmed_when_due_then_the_checkpoint_moves_just_so_far)
{
    given_it_leads();
    given_rows("EEE", 1);
    given_all_sent();
    when_outcomes(PUBLISHED, 2);
    confirmed_is(2);
    now += settings.checkpoint_ms;
    wants(RELAY_WANT_CHECKPOINT);
    relay_take_checkpoint(relay, STATUS_OK, now);
    when_outcomes(PUBLISHED, 1);
    confirmed_is(3);
    now += settings.checkpoint_ms;
    wants(RELAY_WANT_CHECKPOINT);
}

Test(relay, given_rows_that_nobody_may_see_when_the_row_before_is_confirmed_then_they_are_done)
{
    size_t count;
    given_it_leads();
    given_rows("eEeeCe", 1);
    const struct recorded_event *const *outgoing = relay_rows(relay, &count);
    cr_assert_eq(count, 2);
    cr_assert_eq(outgoing[0]->at.position, 2);
    cr_assert_eq(outgoing[1]->at.position, 5);
    confirmed_is(1);
    given_all_sent();
    when_outcomes(PUBLISHED, 1);
    confirmed_is(4);
    when_outcomes(PUBLISHED, 1);
    confirmed_is(6);
}

Test(relay, given_only_unseen_rows_behind_what_is_in_flight_then_they_wait_for_it)
{
    given_it_leads();
    given_rows("E", 1);
    given_all_sent();
    now += settings.poll_min_ms;
    given_rows("ee", 2);
    confirmed_is(0);
    when_outcomes(PUBLISHED, 1);
    confirmed_is(3);
}

Test(relay, given_a_full_window_when_sending_then_it_hears_outcomes_first)
{
    given_it_leads();
    given_rows("EEEE", 1);
    wants(RELAY_WANT_SEND);
    relay_take_sent(relay, STATUS_OK, 3, now);
    wants(RELAY_WANT_OUTCOMES);
    cr_assert_gt(relay_wait_ms(relay), 0);
    when_outcomes(PUBLISHED, 1);
    wants(RELAY_WANT_SEND);
    cr_assert_eq(relay_sent(relay), 3);
}

Test(relay, given_a_blocked_broker_when_nothing_is_taken_then_it_waits_but_renews)
{
    given_it_leads();
    given_rows("EE", 1);
    for (int round = 0; round < 200; round++) {
        enum relay_want want = relay_next(relay, now);
        if (want == RELAY_WANT_SEND) {
            relay_take_sent(relay, STATUS_OK, 0, now);
        } else if (want == RELAY_WANT_RENEW) {
            return;
        } else if (want == RELAY_WANT_OUTCOMES) {
            cr_assert_gt(relay_wait_ms(relay), 0, "it must not spin");
            now += relay_wait_ms(relay);
        } else {
            cr_assert_eq(want, RELAY_WANT_TOPOLOGY);
            relay_take_topology(relay, STATUS_OK, false, now);
        }
    }
    cr_assert_fail("the lease is never renewed");
}

Test(relay, given_a_lost_connection_when_rows_are_in_flight_then_they_are_read_again)
{
    given_it_leads();
    given_rows("EEE", 1);
    given_all_sent();
    when_outcomes(PUBLISHED, 1);
    relay_take_outcomes(relay, STATUS_UNAVAILABLE, NULL, 0, now);
    confirmed_is(1);
    cr_assert_eq(relay_read_from(relay).position, 1);
    now += settings.retry.limit_ms;
    wants(RELAY_WANT_RENEW);
    relay_take_renewal(relay, STATUS_OK, now);
    wants(RELAY_WANT_TOPOLOGY);
    relay_take_topology(relay, STATUS_OK, false, now);
    wants(RELAY_WANT_CHECKPOINT);
    relay_take_checkpoint(relay, STATUS_OK, now);
    wants(RELAY_WANT_ROWS);
}

Test(relay, given_a_returned_message_when_later_ones_are_confirmed_then_none_of_them_counts)
{
    given_it_leads();
    given_rows("EEEE", 1);
    given_all_sent();
    enum publish_outcome outcomes[] = {PUBLISHED, RETURNED, PUBLISHED};
    relay_take_outcomes(relay, STATUS_OK, outcomes, 3, now);
    confirmed_is(1);
    when_outcomes(PUBLISHED, 1); // the fourth, sent before the failure
    confirmed_is(1);
    now += settings.retry.limit_ms / 20;
    wants(RELAY_WANT_TOPOLOGY);
    relay_take_topology(relay, STATUS_OK, true, now);
    cr_assert_eq(relay_read_from(relay).position, 0, "since the last look that was sound");
}

Test(relay, given_a_refusal_when_outcomes_come_then_it_pauses_longer_each_time)
{
    int64_t longest = 0;
    given_it_leads();
    for (int round = 0; round < 12; round++) {
        enum relay_want want;
        int64_t since = now;
        while ((want = relay_next(relay, now)) != RELAY_WANT_ROWS) {
            if (want == RELAY_WANT_TOPOLOGY) {
                relay_take_topology(relay, STATUS_OK, false, now);
            } else if (want == RELAY_WANT_RENEW) {
                relay_take_renewal(relay, STATUS_OK, now);
            } else {
                cr_assert_eq(want, RELAY_WANT_OUTCOMES);
                now += relay_wait_ms(relay);
            }
        }
        longest = now - since > longest ? now - since : longest;
        given_rows("E", 1);
        given_all_sent();
        when_outcomes(NACKED, 1);
    }
    cr_assert_geq(longest, settings.retry.limit_ms / 2);
    cr_assert_leq(longest, settings.retry.limit_ms + settings.poll_max_ms);
}

// Reads what it wants next, sends it and gives how many rows that were.
static size_t when_it_sends_again(int64_t first)
{
    static const char many[] = "EEEEEEEEEEEEEEEE";
    size_t most = relay_read_limit(relay);
    now += settings.retry.limit_ms;
    while (relay_next(relay, now) != RELAY_WANT_ROWS) {
        if (relay_next(relay, now) == RELAY_WANT_TOPOLOGY) {
            relay_take_topology(relay, STATUS_OK, false, now);
        } else if (relay_next(relay, now) == RELAY_WANT_RENEW) {
            relay_take_renewal(relay, STATUS_OK, now);
        } else {
            wants(RELAY_WANT_CHECKPOINT);
            relay_take_checkpoint(relay, STATUS_OK, now);
        }
    }
    given_rows(many + 16 - most, first);
    given_all_sent();
    return most;
}

Test(relay, given_a_queue_without_room_when_tried_again_then_nothing_behind_it_is_sent)
{
    given_it_leads();
    given_rows("EEEEEEEE", 1);
    given_all_sent();
    when_outcomes(NACKED, 1);
    when_outcomes(PUBLISHED, 7); // they went to other queues, and go again once
    cr_assert(relay_refused(relay));
    for (int tries = 0; tries < 3; tries++) {
        cr_assert_eq(when_it_sends_again(1), 1);
        wants(RELAY_WANT_OUTCOMES); // and reads on only when it knows
        when_outcomes(NACKED, 1);
    }
    confirmed_is(0);
    size_t sizes[] = {1, 2, 4, 8};
    int64_t first = 1;
    for (size_t round = 0; round < 4; round++) {
        cr_assert_eq(when_it_sends_again(first), sizes[round]);
        cr_assert(round > 1 || relay_next(relay, now) == RELAY_WANT_OUTCOMES);
        when_outcomes(PUBLISHED, sizes[round]);
        first += (int64_t)sizes[round];
        cr_assert_not(relay_refused(relay));
    }
    confirmed_is(15);
}

Test(relay, given_a_queue_was_made_anew_when_looked_then_what_was_confirmed_since_goes_again)
{
    given_it_leads();
    given_rows("EEE", 1);
    given_all_sent();
    when_outcomes(PUBLISHED, 3);
    now += settings.checkpoint_ms;
    wants(RELAY_WANT_CHECKPOINT);
    relay_take_checkpoint(relay, STATUS_OK, now);
    now += settings.topology_ms;
    wants(RELAY_WANT_RENEW);
    relay_take_renewal(relay, STATUS_OK, now);
    wants(RELAY_WANT_TOPOLOGY);
    relay_take_topology(relay, STATUS_OK, true, now);
    cr_assert_eq(relay_read_from(relay).position, 0);
    given_rows("EEE", 1); // no checkpoint in between: it never goes back
    given_all_sent();
    when_outcomes(PUBLISHED, 3);
    confirmed_is(3);
}

Test(relay, given_the_lease_is_lost_when_told_then_it_stops_at_once_and_begins_anew)
{
    given_it_leads();
    given_rows("EEE", 1);
    given_all_sent();
    when_outcomes(PUBLISHED, 1);
    now += settings.checkpoint_ms;
    wants(RELAY_WANT_CHECKPOINT);
    relay_take_checkpoint(relay, STATUS_FENCED, now);
    cr_assert_not(relay_leads(relay));
    wants(RELAY_WANT_REST);
    now += settings.acquire_ms;
    struct lease lease = {.held = true, .fence = 9, .checkpoint = at(40)};
    wants(RELAY_WANT_LEASE);
    relay_take_lease(relay, STATUS_OK, &lease, now);
    when_outcomes(PUBLISHED, 2); // of before
    confirmed_is(40);
    cr_assert_eq(relay_read_from(relay).position, 40);
    cr_assert_eq(relay_fence(relay), 9);
}

Test(relay, given_it_woke_after_a_long_stop_when_asked_then_it_renews_before_all_else)
{
    given_it_leads();
    given_rows("EEE", 1);
    now += 60000;
    wants(RELAY_WANT_RENEW);
    relay_take_renewal(relay, STATUS_FENCED, now);
    wants(RELAY_WANT_REST);
}

static void when_it_finds_nothing(void)
{
    wants(RELAY_WANT_ROWS);
    relay_take_rows(relay, STATUS_OK, rows, 0, relay_read_from(relay), now);
}

Test(relay, given_no_rows_then_it_sleeps_until_the_bell_rings)
{
    given_it_leads();
    when_it_finds_nothing();
    wants(RELAY_WANT_SLEEP);
    relay_take_sleep(relay, STATUS_OK, true, now);
    wants(RELAY_WANT_BELL);
    cr_assert_eq(relay_wait_ms(relay), settings.poll_max_ms);
    relay_take_bell(relay, STATUS_OK, true, now);
    given_rows("EE", 1);
    given_all_sent();
    wants(RELAY_WANT_SLEEP); // it is believed to sleep still: one look, and it does
    relay_take_sleep(relay, STATUS_OK, true, now);
    wants(RELAY_WANT_BELL);
    cr_assert_leq(relay_wait_ms(relay), 10, "outcomes are on their way");
    when_outcomes(PUBLISHED, 2);
    wants(RELAY_WANT_BELL);
    cr_assert_gt(relay_wait_ms(relay), 10);
    relay_take_bell(relay, STATUS_OK, true, now);
    given_rows("E", 3);
}

Test(relay, given_a_ring_that_brings_many_rows_then_it_says_that_it_is_awake)
{
    settings.batch = RELAY_BATCH_MAX;
    relay_free(relay);
    relay = relay_new(&settings, 1);
    given_it_leads();
    when_it_finds_nothing();
    wants(RELAY_WANT_SLEEP);
    relay_take_sleep(relay, STATUS_OK, true, now);
    relay_take_bell(relay, STATUS_OK, true, now);
    given_rows("EEEEEEEEEEEEEEEEE", 1);
    given_all_sent();
    wants(RELAY_WANT_WAKE);
    relay_take_wake(relay, STATUS_OK, now);
}

Test(relay, given_no_bell_when_it_has_slept_for_long_then_it_looks_again)
{
    given_it_leads();
    when_it_finds_nothing();
    wants(RELAY_WANT_SLEEP);
    relay_take_sleep(relay, STATUS_OK, true, now);
    now += settings.poll_max_ms;
    wants(RELAY_WANT_SLEEP);
    relay_take_sleep(relay, STATUS_OK, true, now);
    wants(RELAY_WANT_BELL);
    now += settings.poll_max_ms;
    wants(RELAY_WANT_SLEEP);
    relay_take_sleep(relay, STATUS_OK, false, now); // nobody has rung, but there is something
    now += settings.poll_min_ms;
    given_rows("E", 1);
}

Test(relay, given_somebody_appends_when_it_would_sleep_then_it_looks_again_soon)
{
    given_it_leads();
    int last = 0;
    int looks = 0;
    for (; last < settings.poll_max_ms; looks++) {
        when_it_finds_nothing();
        wants(RELAY_WANT_SLEEP);
        relay_take_sleep(relay, STATUS_OK, false, now);
        wants(RELAY_WANT_OUTCOMES);
        cr_assert_geq(relay_wait_ms(relay), last);
        last = relay_wait_ms(relay);
        cr_assert(looks > 40 || last == settings.poll_min_ms);
        now += last;
        if (relay_next(relay, now) == RELAY_WANT_CHECKPOINT) {
            relay_take_checkpoint(relay, STATUS_OK, now);
        }
    }
    cr_assert_lt(looks, 60);   // a transaction that stays open is not asked for every 2 ms
    given_rows("EEEEEEEE", 1); // a full batch
    given_all_sent();
    wants(RELAY_WANT_ROWS);
}

Test(relay, given_it_sleeps_when_the_lease_is_lost_then_its_word_is_taken_back)
{
    given_it_leads();
    when_it_finds_nothing();
    wants(RELAY_WANT_SLEEP);
    relay_take_sleep(relay, STATUS_OK, true, now);
    now += settings.renew_ms;
    wants(RELAY_WANT_RENEW);
    relay_take_renewal(relay, STATUS_FENCED, now);
    wants(RELAY_WANT_WAKE);
    relay_take_wake(relay, STATUS_UNAVAILABLE, now);
    wants(RELAY_WANT_REST);
}

Test(relay, given_a_stop_when_rows_are_in_flight_then_it_waits_checkpoints_and_releases)
{
    given_it_leads();
    given_rows("EEEE", 1);
    wants(RELAY_WANT_SEND);
    relay_take_sent(relay, STATUS_OK, 2, now);
    relay_stop(relay, now);
    wants(RELAY_WANT_OUTCOMES);
    when_outcomes(PUBLISHED, 2);
    wants(RELAY_WANT_CHECKPOINT);
    confirmed_is(2);
    relay_take_checkpoint(relay, STATUS_OK, now);
    wants(RELAY_WANT_RELEASE);
    relay_take_release(relay);
    wants(RELAY_WANT_NOTHING);
}

Test(relay, given_a_stop_when_confirms_do_not_come_then_it_gives_up_in_time)
{
    given_it_leads();
    given_rows("EE", 1);
    given_all_sent();
    relay_stop(relay, now);
    wants(RELAY_WANT_OUTCOMES);
    now += relay_wait_ms(relay);
    if (relay_next(relay, now) == RELAY_WANT_RENEW) {
        relay_take_renewal(relay, STATUS_OK, now);
    }
    wants(RELAY_WANT_RELEASE);
    confirmed_is(0);
}

Test(relay, given_a_stop_when_it_does_not_lead_then_there_is_nothing_left)
{
    relay_stop(relay, now);
    wants(RELAY_WANT_NOTHING);
}

Test(relay, given_settings_out_of_bounds_when_made_then_there_is_no_relay)
{
    settings.batch = RELAY_BATCH_MAX + 1;
    cr_assert_null(relay_new(&settings, 1));
    settings = relay_settings_default();
    settings.poll_max_ms = settings.poll_min_ms - 1;
    cr_assert_null(relay_new(&settings, 1));
}
