// SPDX-License-Identifier: Apache-2.0
// Every row of the saga's table, and each mistake that the search over its model caught.
#include <criterion/criterion.h>

#include "application/saga/decide.h"
#include "support/saga_fixture.h"

static struct arena arena;
static struct saga_definition order;

static void open_fixture(void)
{
    arena_init(&arena, 65536, 8 << 20);
    order = saga_fixture_order_fulfilment(&arena);
}

static void close_fixture(void)
{
    arena_free(&arena);
}

TestSuite(saga_decide, .init = open_fixture, .fini = close_fixture);

// The steps by their numbers in the specification: F1 to F6, C1 to C4, C0.
static const char *const F[] = {"",        "authorize", "reserve", "schedule",
                                "capture", "confirm",   "commit"};
static const char *const C[] = {"reject", "void", "release", "unschedule", "refund"};

static struct saga_state forward(int step, int attempt)
{
    return saga_fixture_at(&order, F[step], SAGA_FORWARD, attempt);
}

static struct saga_state undoing(int step, int attempt)
{
    struct saga_state state = saga_fixture_at(&order, C[step], SAGA_COMPENSATE, attempt);
    state.code = STR("stock_short");
    return state;
}

static struct saga_state parked(struct saga_state state)
{
    state.phase = SAGA_PARKED;
    return state;
}

static struct saga_state ended(enum saga_phase phase)
{
    struct saga_state state = phase == SAGA_DONE ? forward(6, 1) : undoing(0, 1);
    state.phase = phase;
    return state;
}

static struct saga_state none(void)
{
    return (struct saga_state){.phase = SAGA_NONE, .at = {.step = STR("")}};
}

static struct saga_decision when(struct saga_state state, struct saga_input input)
{
    return saga_decide(&order, &state, &input, &arena);
}

static struct saga_decision when_cue(struct saga_state state, enum saga_cue cue)
{
    return when(state, (struct saga_input){.cue = cue, .code = STR(""), .detail = STR("")});
}

static struct saga_at at(const char *step, enum saga_direction direction, int attempt)
{
    return (struct saga_at){.step = str_from(step), .direction = direction, .attempt = attempt};
}

static struct saga_decision when_ok(struct saga_state state)
{
    return when(state, (struct saga_input){.cue = SAGA_ON_OK, .at = state.at});
}

static struct saga_decision when_refused(struct saga_state state)
{
    return when(state, (struct saga_input){.cue = SAGA_ON_REFUSED,
                                           .at = state.at,
                                           .code = STR("shipment_refused"),
                                           .detail = STR("no such street")});
}

static struct saga_decision when_timer(struct saga_state state)
{
    return when(state, (struct saga_input){.cue = SAGA_ON_TIMER, .at = state.at});
}

static void then_issues(struct saga_decision decision, const char *step,
                        enum saga_direction direction, int attempt)
{
    cr_assert_eq(decision.move, SAGA_MOVE_ISSUE, "%s: move %d", step, decision.move);
    cr_assert(str_eq(decision.next.step, str_from(step)), "wants %s, issues %.*s", step,
              STR_FMT(decision.next.step));
    cr_assert_eq(decision.next.direction, direction);
    cr_assert_eq(decision.next.attempt, attempt, "%s: attempt %d", step, decision.next.attempt);
    cr_assert(str_eq(decision.call->name, str_from(step)));
}

static void then_forward(struct saga_decision decision, int step)
{
    then_issues(decision, F[step], SAGA_FORWARD, 1);
    cr_assert_not(decision.has_cause);
}

static void then_undoes(struct saga_decision decision, int step)
{
    then_issues(decision, C[step], SAGA_COMPENSATE, 1);
}

static void then_because(struct saga_decision decision, const char *code)
{
    cr_assert(decision.has_cause);
    cr_assert(str_eq(decision.code, str_from(code)), "code %.*s", STR_FMT(decision.code));
}

static void then_ignored(struct saga_decision decision)
{
    cr_assert_eq(decision.move, SAGA_MOVE_IGNORE, "move %d to %.*s", decision.move,
                 STR_FMT(decision.next.step));
}

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

// matching

Test(saga_decide, given_a_step_when_another_steps_reply_comes_then_it_is_ignored)
{
    for (int step = 1; step <= 6; step++) {
        for (int other = 1; other <= 6; other++) {
            struct saga_input ok = {.cue = SAGA_ON_OK, .at = at(F[other], SAGA_FORWARD, 1)};
            struct saga_input no = {.cue = SAGA_ON_REFUSED, .at = at(F[other], SAGA_FORWARD, 1)};
            if (other != step) {
                then_ignored(when(forward(step, 1), ok));
                then_ignored(when(forward(step, 1), no));
            }
            then_ignored(when(undoing(1, 1), ok));
            then_ignored(when(undoing(4, 1), no));
        }
    }
}

Test(saga_decide, given_the_third_attempt_when_the_first_is_answered_then_it_counts)
{
    struct saga_input ok = {.cue = SAGA_ON_OK, .at = at("reserve", SAGA_FORWARD, 1)};
    then_forward(when(forward(2, 3), ok), 3);
}

Test(saga_decide, given_a_step_when_the_timer_of_an_older_attempt_fires_then_nothing_changes)
{
    struct saga_input timer = {.cue = SAGA_ON_TIMER, .at = at("reserve", SAGA_FORWARD, 1)};
    then_ignored(when(forward(2, 2), timer));
    struct saga_state afresh = undoing(1, 1);
    afresh.at.retry = 1;
    timer.at = at("void", SAGA_COMPENSATE, 1);
    then_ignored(when(afresh, timer));
}

// counting

Test(saga_decide, given_asks_without_limit_when_they_are_many_then_it_counts_as_parked_and_goes_on)
{
    int limit = order.parked_after;
    struct saga_state states[] = {forward(5, limit), forward(6, limit), undoing(0, limit)};
    for (int i = 0; i < 3; i++) {
        cr_assert_not(saga_is_parked(&order, &states[i]));
        cr_assert(str_eq(when_timer(states[i]).label, STR("parked")), "counted once");
        states[i].at.attempt++;
        cr_assert(saga_is_parked(&order, &states[i]));
        struct saga_decision decision = when_timer(states[i]);
        cr_assert_eq(decision.move, SAGA_MOVE_ISSUE);
        cr_assert(str_eq(decision.label, STR("asked_again")));
    }
    cr_assert_not(saga_is_parked(&order, &(struct saga_state){.phase = SAGA_DONE}));
}

Test(saga_decide, given_a_saga_that_asks_for_long_when_retried_then_it_asks_afresh)
{
    struct saga_decision decision = when_cue(forward(6, order.parked_after + 1), SAGA_ON_RETRY);
    then_forward(decision, 6);
    cr_assert_eq(decision.next.retry, 1);
    cr_assert_eq(when_cue(forward(6, 1), SAGA_ON_RETRY).move, SAGA_MOVE_REFUSE);
    cr_assert_eq(when_cue(forward(1, 1), SAGA_ON_RETRY).move, SAGA_MOVE_REFUSE);
    cr_assert_eq(when_cue(none(), SAGA_ON_RETRY).move, SAGA_MOVE_REFUSE);
    cr_assert_eq(when_cue(none(), SAGA_ON_ABORT).move, SAGA_MOVE_REFUSE);
}

// mistakes that the search caught, as far as they are the saga's; the participants' are theirs

Test(saga_decide, mistake_a_retry_runs_under_the_same_command_id)
{
    struct uuid saga = uuid_named(STR("t"), STR("saga"), STR("s"));
    struct saga_at first = at("authorize", SAGA_FORWARD, 1);
    struct saga_decision decision = when_timer(forward(1, 1));
    cr_assert_not(uuid_eq(saga_command_id(saga, &first), saga_command_id(saga, &decision.next)));
}

Test(saga_decide, mistake_a_timeout_compensates_confirm)
{
    for (int attempt = 1; attempt < 50; attempt++) {
        cr_assert_eq(when_timer(forward(5, attempt)).next.direction, SAGA_FORWARD);
    }
}

Test(saga_decide, mistake_the_step_in_flight_is_not_covered)
{
    for (int step = 1; step <= 4; step++) {
        then_undoes(when_cue(forward(step, 1), SAGA_ON_CANCEL), step);
        then_undoes(when_timer(forward(step, 3)), step);
    }
}

Test(saga_decide, mistake_an_old_timer_fires_at_confirm)
{
    for (int step = 1; step <= 4; step++) {
        struct saga_input old = {.cue = SAGA_ON_TIMER, .at = at(F[step], SAGA_FORWARD, 3)};
        then_ignored(when(forward(5, 1), old));
    }
}

Test(saga_decide, mistake_a_second_ok_of_capture_is_taken_for_a_late_success_and_refunded)
{
    struct saga_input again = {.cue = SAGA_ON_OK, .at = at("capture", SAGA_FORWARD, 2)};
    then_ignored(when(forward(5, 1), again));
    then_ignored(when(forward(6, 1), again));
    then_ignored(when(ended(SAGA_DONE), again));
    then_ignored(when(undoing(3, 1), again));
}

Test(saga_decide, mistake_a_compensations_reply_is_taken_for_the_steps)
{
    struct saga_input voided = {.cue = SAGA_ON_OK, .at = at("void", SAGA_COMPENSATE, 1)};
    then_ignored(when(forward(1, 1), voided));
    // Not even if both bore one name.
    struct saga_input same_name = {.cue = SAGA_ON_OK, .at = at("authorize", SAGA_COMPENSATE, 1)};
    then_ignored(when(forward(1, 1), same_name));
    struct saga_input step = {.cue = SAGA_ON_OK, .at = at("authorize", SAGA_FORWARD, 1)};
    then_ignored(when(undoing(1, 1), step));
}
