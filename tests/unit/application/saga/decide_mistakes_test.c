// SPDX-License-Identifier: Apache-2.0
// What a saga must not take for its own: other replies, old timers, and each mistake that the
// search over its model caught, as far as it is the saga's; the participants' are theirs.
#include "support/saga_table.h"

TestSuite(saga_mistakes, .init = open_fixture, .fini = close_fixture);

// matching

Test(saga_mistakes, given_a_step_when_another_steps_reply_comes_then_it_is_ignored)
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

Test(saga_mistakes, given_the_third_attempt_when_the_first_is_answered_then_it_counts)
{
    struct saga_input ok = {.cue = SAGA_ON_OK, .at = at("reserve", SAGA_FORWARD, 1)};
    then_forward(when(forward(2, 3), ok), 3);
}

Test(saga_mistakes, given_a_step_when_the_timer_of_an_older_attempt_fires_then_nothing_changes)
{
    struct saga_input timer = {.cue = SAGA_ON_TIMER, .at = at("reserve", SAGA_FORWARD, 1)};
    then_ignored(when(forward(2, 2), timer));
    struct saga_state afresh = undoing(1, 1);
    afresh.at.retry = 1;
    timer.at = at("void", SAGA_COMPENSATE, 1);
    then_ignored(when(afresh, timer));
}

// counting

Test(saga_mistakes,
     given_asks_without_limit_when_they_are_many_then_it_counts_as_parked_and_goes_on)
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

Test(saga_mistakes, given_a_saga_that_asks_for_long_when_retried_then_it_asks_afresh)
{
    struct saga_decision decision = when_cue(forward(6, order.parked_after + 1), SAGA_ON_RETRY);
    then_forward(decision, 6);
    cr_assert_eq(decision.next.retry, 1);
    cr_assert_eq(when_cue(forward(6, 1), SAGA_ON_RETRY).move, SAGA_MOVE_REFUSE);
    cr_assert_eq(when_cue(forward(1, 1), SAGA_ON_RETRY).move, SAGA_MOVE_REFUSE);
    cr_assert_eq(when_cue(none(), SAGA_ON_RETRY).move, SAGA_MOVE_REFUSE);
    cr_assert_eq(when_cue(none(), SAGA_ON_ABORT).move, SAGA_MOVE_REFUSE);
}

// mistakes

Test(saga_mistakes, mistake_a_retry_runs_under_the_same_command_id)
{
    struct uuid saga = uuid_named(STR("t"), STR("saga"), STR("s"));
    struct saga_at first = at("authorize", SAGA_FORWARD, 1);
    struct saga_decision decision = when_timer(forward(1, 1));
    cr_assert_not(uuid_eq(saga_command_id(saga, &first), saga_command_id(saga, &decision.next)));
}

Test(saga_mistakes, mistake_a_timeout_compensates_confirm)
{
    for (int attempt = 1; attempt < 50; attempt++) {
        cr_assert_eq(when_timer(forward(5, attempt)).next.direction, SAGA_FORWARD);
    }
}

Test(saga_mistakes, mistake_the_step_in_flight_is_not_covered)
{
    for (int step = 1; step <= 4; step++) {
        then_undoes(when_cue(forward(step, 1), SAGA_ON_CANCEL), step);
        then_undoes(when_timer(forward(step, 3)), step);
    }
}

Test(saga_mistakes, mistake_an_old_timer_fires_at_confirm)
{
    for (int step = 1; step <= 4; step++) {
        struct saga_input old = {.cue = SAGA_ON_TIMER, .at = at(F[step], SAGA_FORWARD, 3)};
        then_ignored(when(forward(5, 1), old));
    }
}

Test(saga_mistakes, mistake_a_second_ok_of_capture_is_taken_for_a_late_success_and_refunded)
{
    struct saga_input again = {.cue = SAGA_ON_OK, .at = at("capture", SAGA_FORWARD, 2)};
    then_ignored(when(forward(5, 1), again));
    then_ignored(when(forward(6, 1), again));
    then_ignored(when(ended(SAGA_DONE), again));
    then_ignored(when(undoing(3, 1), again));
}

Test(saga_mistakes, mistake_a_compensations_reply_is_taken_for_the_steps)
{
    struct saga_input voided = {.cue = SAGA_ON_OK, .at = at("void", SAGA_COMPENSATE, 1)};
    then_ignored(when(forward(1, 1), voided));
    // Not even if both bore one name.
    struct saga_input same_name = {.cue = SAGA_ON_OK, .at = at("authorize", SAGA_COMPENSATE, 1)};
    then_ignored(when(forward(1, 1), same_name));
    struct saga_input step = {.cue = SAGA_ON_OK, .at = at("authorize", SAGA_FORWARD, 1)};
    then_ignored(when(undoing(1, 1), step));
}
