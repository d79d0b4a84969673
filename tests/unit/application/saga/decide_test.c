// SPDX-License-Identifier: Apache-2.0
// Every row of the saga's table.
#include "support/saga_table.h"

TestSuite(saga_decide, .init = open_fixture, .fini = close_fixture);

// row: none

Test(saga_decide, given_nothing_when_an_order_is_placed_then_it_authorizes)
{
    struct saga_decision decision = when_cue(none(), SAGA_ON_START);
    cr_assert_eq(decision.move, SAGA_MOVE_BEGIN);
    cr_assert(str_eq(decision.next.step, STR("authorize")));
    cr_assert_eq(decision.next.direction, SAGA_FORWARD);
    cr_assert_eq(decision.next.attempt, 1);
}

Test(saga_decide, given_nothing_when_the_cancellation_comes_first_then_it_only_rejects)
{
    struct saga_decision decision = when_cue(none(), SAGA_ON_CANCEL);
    cr_assert_eq(decision.move, SAGA_MOVE_BEGIN);
    cr_assert(str_eq(decision.next.step, STR("reject")));
    cr_assert_eq(decision.next.direction, SAGA_COMPENSATE);
    then_because(decision, "cancelled");
}

Test(saga_decide, given_nothing_when_a_reply_or_a_timer_comes_then_it_is_ignored)
{
    struct saga_at place = at("authorize", SAGA_FORWARD, 1);
    then_ignored(when(none(), (struct saga_input){.cue = SAGA_ON_OK, .at = place}));
    then_ignored(when(none(), (struct saga_input){.cue = SAGA_ON_REFUSED, .at = place}));
    then_ignored(when(none(), (struct saga_input){.cue = SAGA_ON_TIMER, .at = place}));
}

Test(saga_decide, given_a_saga_that_a_cancellation_started_when_the_order_is_placed_then_nothing)
{
    then_ignored(when_cue(undoing(0, 1), SAGA_ON_START));
}

// rows: F1 to F4

Test(saga_decide, given_a_forward_step_when_it_is_done_then_the_next_is_issued)
{
    for (int step = 1; step <= 4; step++) {
        then_forward(when_ok(forward(step, 1)), step + 1);
        then_forward(when_ok(forward(step, 3)), step + 1);
    }
}

Test(saga_decide, given_a_forward_step_when_it_is_refused_then_what_was_before_it_is_undone)
{
    for (int step = 1; step <= 4; step++) {
        struct saga_decision decision = when_refused(forward(step, 1));
        then_undoes(decision, step - 1);
        then_because(decision, "shipment_refused");
        cr_assert(str_eq(decision.detail, STR("no such street")));
    }
}

Test(saga_decide, given_a_forward_step_when_it_is_silent_then_it_is_asked_again_three_times)
{
    for (int step = 1; step <= 4; step++) {
        then_issues(when_timer(forward(step, 1)), F[step], SAGA_FORWARD, 2);
        then_issues(when_timer(forward(step, 2)), F[step], SAGA_FORWARD, 3);
    }
}

Test(saga_decide, given_the_last_attempt_when_it_is_silent_then_the_step_itself_is_undone_too)
{
    for (int step = 1; step <= 4; step++) {
        struct saga_decision decision = when_timer(forward(step, 3));
        then_undoes(decision, step);
        then_because(decision, "timed_out");
    }
}

Test(saga_decide, given_a_forward_step_when_the_order_is_cancelled_then_it_turns_back_at_once)
{
    for (int step = 1; step <= 4; step++) {
        for (int attempt = 1; attempt <= 3; attempt++) {
            struct saga_decision decision = when_cue(forward(step, attempt), SAGA_ON_CANCEL);
            then_undoes(decision, step);
            then_because(decision, "cancelled");
        }
    }
}

Test(saga_decide, given_a_forward_step_when_an_operator_aborts_then_it_turns_back)
{
    for (int step = 1; step <= 4; step++) {
        struct saga_decision decision = when_cue(forward(step, 1), SAGA_ON_ABORT);
        then_undoes(decision, step);
        then_because(decision, "aborted");
    }
}

Test(saga_decide, given_a_running_saga_when_its_order_is_placed_again_then_nothing)
{
    for (int step = 1; step <= 6; step++) {
        then_ignored(when_cue(forward(step, 1), SAGA_ON_START));
    }
}

// row: F5 confirm

Test(saga_decide, given_confirm_when_it_is_done_then_commit_is_issued)
{
    then_forward(when_ok(forward(5, 1)), 6);
}

Test(saga_decide, given_confirm_when_it_is_refused_then_it_refunds)
{
    struct saga_decision decision = when_refused(forward(5, 1));
    then_undoes(decision, 4);
    then_because(decision, "shipment_refused");
}

Test(saga_decide, given_confirm_when_it_is_silent_then_it_is_asked_without_limit)
{
    for (int attempt = 1; attempt < 100; attempt++) {
        then_issues(when_timer(forward(5, attempt)), F[5], SAGA_FORWARD, attempt + 1);
    }
}

Test(saga_decide, given_confirm_when_the_order_is_cancelled_then_it_waits_for_the_refusal)
{
    then_ignored(when_cue(forward(5, 1), SAGA_ON_CANCEL));
}

Test(saga_decide, given_confirm_when_an_operator_aborts_then_he_is_refused)
{
    struct saga_decision decision = when_cue(forward(5, 1), SAGA_ON_ABORT);
    cr_assert_eq(decision.move, SAGA_MOVE_REFUSE);
    cr_assert_gt(decision.refusal.len, 0);
}

Test(saga_decide, given_confirm_when_its_patience_is_over_then_it_is_asked_all_the_same)
{
    then_issues(when_spent(forward(5, 1)), F[5], SAGA_FORWARD, 2);
    then_issues(when_spent(forward(5, 9)), F[5], SAGA_FORWARD, 10);
}

// row: F6 commit

Test(saga_decide, given_commit_when_it_is_done_then_the_saga_is)
{
    cr_assert_eq(when_ok(forward(6, 1)).move, SAGA_MOVE_COMPLETE);
    cr_assert_eq(when_ok(forward(6, 9)).move, SAGA_MOVE_COMPLETE);
}

Test(saga_decide, given_commit_when_it_is_refused_then_it_is_parked_and_never_undone)
{
    cr_assert_eq(when_refused(forward(6, 1)).move, SAGA_MOVE_PARK);
}

Test(saga_decide, given_commit_when_it_is_silent_then_it_is_asked_without_limit)
{
    for (int attempt = 1; attempt < 100; attempt++) {
        then_issues(when_timer(forward(6, attempt)), F[6], SAGA_FORWARD, attempt + 1);
    }
}

Test(saga_decide, given_commit_when_cancelled_or_aborted_then_it_goes_on)
{
    then_ignored(when_cue(forward(6, 1), SAGA_ON_CANCEL));
    cr_assert_eq(when_cue(forward(6, 1), SAGA_ON_ABORT).move, SAGA_MOVE_REFUSE);
}

// rows: C4 to C1

Test(saga_decide, given_a_compensation_when_it_is_done_then_the_one_below_is_issued)
{
    for (int step = 1; step <= 4; step++) {
        struct saga_decision decision = when_ok(undoing(step, 2));
        then_undoes(decision, step - 1);
        cr_assert_not(decision.has_cause, "the first reason stands");
    }
}

Test(saga_decide, given_a_compensation_when_it_is_refused_then_it_is_tried_again_then_parked)
{
    for (int step = 1; step <= 4; step++) {
        then_issues(when_refused(undoing(step, 1)), C[step], SAGA_COMPENSATE, 2);
        then_issues(when_refused(undoing(step, 2)), C[step], SAGA_COMPENSATE, 3);
        cr_assert_eq(when_refused(undoing(step, 3)).move, SAGA_MOVE_PARK);
    }
}

Test(saga_decide, given_a_compensation_when_it_is_silent_then_it_is_tried_again_then_parked)
{
    for (int step = 1; step <= 4; step++) {
        then_issues(when_timer(undoing(step, 1)), C[step], SAGA_COMPENSATE, 2);
        then_issues(when_timer(undoing(step, 2)), C[step], SAGA_COMPENSATE, 3);
        cr_assert_eq(when_timer(undoing(step, 3)).move, SAGA_MOVE_PARK);
    }
}

Test(saga_decide, given_a_compensation_when_the_order_is_cancelled_then_nothing_changes)
{
    for (int step = 0; step <= 4; step++) {
        then_ignored(when_cue(undoing(step, 1), SAGA_ON_CANCEL));
        cr_assert_eq(when_cue(undoing(step, 1), SAGA_ON_ABORT).move, SAGA_MOVE_REFUSE);
    }
}

Test(saga_decide, given_a_step_when_its_patience_is_over_then_its_attempts_are)
{
    for (int step = 1; step <= 4; step++) {
        then_undoes(when_spent(forward(step, 1)), step);
        then_because(when_spent(forward(step, 2)), "timed_out");
        cr_assert_eq(when_spent(undoing(step, 1)).move, SAGA_MOVE_PARK);
    }
}

// row: C0 reject

Test(saga_decide, given_reject_when_it_is_done_then_the_saga_is_compensated)
{
    cr_assert_eq(when_ok(undoing(0, 1)).move, SAGA_MOVE_COMPENSATE);
}

Test(saga_decide, given_reject_when_it_is_refused_then_it_is_tried_again_then_parked)
{
    then_issues(when_refused(undoing(0, 1)), C[0], SAGA_COMPENSATE, 2);
    cr_assert_eq(when_refused(undoing(0, 3)).move, SAGA_MOVE_PARK);
}

Test(saga_decide, given_reject_when_it_is_silent_then_it_is_asked_without_limit)
{
    for (int attempt = 1; attempt < 100; attempt++) {
        then_issues(when_timer(undoing(0, attempt)), C[0], SAGA_COMPENSATE, attempt + 1);
    }
}

// row: parked

Test(saga_decide, given_a_parked_compensation_when_a_late_answer_comes_then_it_goes_on_by_itself)
{
    for (int step = 1; step <= 4; step++) {
        then_undoes(when_ok(parked(undoing(step, 3))), step - 1);
    }
    cr_assert_eq(when_ok(parked(undoing(0, 3))).move, SAGA_MOVE_COMPENSATE);
}

Test(saga_decide, given_a_parked_saga_when_an_operator_retries_then_attempts_are_afresh_and_ids_new)
{
    for (int step = 0; step <= 4; step++) {
        struct saga_state before = parked(undoing(step, 3));
        struct saga_decision decision = when_cue(before, SAGA_ON_RETRY);
        then_undoes(decision, step);
        cr_assert_eq(decision.next.retry, 1);
        struct uuid saga = uuid_named(STR("t"), STR("saga"), STR("s"));
        struct saga_at first = at(C[step], SAGA_COMPENSATE, 1);
        cr_assert_not(
            uuid_eq(saga_command_id(saga, &decision.next), saga_command_id(saga, &first)));
        before.at.retry = 1;
        cr_assert_eq(when_cue(before, SAGA_ON_RETRY).next.retry, 2);
    }
}

Test(saga_decide, given_a_commit_parked_by_a_refusal_when_retried_then_it_is_committed_not_undone)
{
    then_forward(when_cue(parked(forward(6, 1)), SAGA_ON_RETRY), 6);
    cr_assert_eq(when_ok(parked(forward(6, 1))).move, SAGA_MOVE_COMPLETE);
}

Test(saga_decide, given_a_parked_saga_when_refused_timed_or_cancelled_then_nothing)
{
    for (int step = 0; step <= 4; step++) {
        then_ignored(when_refused(parked(undoing(step, 3))));
        then_ignored(when_timer(parked(undoing(step, 3))));
        then_ignored(when_cue(parked(undoing(step, 3)), SAGA_ON_CANCEL));
        then_ignored(when_cue(parked(undoing(step, 3)), SAGA_ON_START));
        cr_assert_eq(when_cue(parked(undoing(step, 3)), SAGA_ON_ABORT).move, SAGA_MOVE_REFUSE);
    }
    then_ignored(when_cue(parked(forward(6, 1)), SAGA_ON_CANCEL));
}

// row: done, compensated, any other message

Test(saga_decide, given_an_ended_saga_when_anything_comes_then_only_its_inbox_row_is_kept)
{
    enum saga_phase phases[] = {SAGA_DONE, SAGA_COMPENSATED};
    for (int i = 0; i < 2; i++) {
        then_ignored(when_ok(ended(phases[i])));
        then_ignored(when_refused(ended(phases[i])));
        then_ignored(when_timer(ended(phases[i])));
        then_ignored(when_cue(ended(phases[i]), SAGA_ON_START));
        then_ignored(when_cue(ended(phases[i]), SAGA_ON_CANCEL));
        cr_assert_eq(when_cue(ended(phases[i]), SAGA_ON_RETRY).move, SAGA_MOVE_REFUSE);
        cr_assert_eq(when_cue(ended(phases[i]), SAGA_ON_ABORT).move, SAGA_MOVE_REFUSE);
    }
}
