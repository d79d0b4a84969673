// SPDX-License-Identifier: Apache-2.0
// When a batch leaves, and what becomes of one that failed.
#include "application/command/batch_policy.h"

#include <criterion/criterion.h>

Test(batch_policy, given_nothing_in_flight_then_even_one_command_leaves_at_once)
{
    cr_assert(batch_may_leave(1, 0, 0));
    cr_assert_not(batch_may_leave(0, 0, 0));
}

Test(batch_policy, given_a_batch_in_flight_then_the_next_waits_for_half_as_many)
{
    cr_assert_not(batch_may_leave(15, 1, 32));
    cr_assert(batch_may_leave(16, 1, 32));
    cr_assert(batch_may_leave(1, 1, 1));
    cr_assert(batch_may_leave(1, 1, 2));
    cr_assert_not(batch_may_leave(1, 1, 3));
    cr_assert_not(batch_may_leave(0, 1, 0));
}

Test(batch_policy, given_a_bad_item_among_others_then_the_batch_is_halved)
{
    const char *const states[] = {"23514", "22P02", "40P01", "55P03", "57014", "CM001", "P0001"};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        cr_assert_eq(batch_remedy(states[i], 2), BATCH_HALVE, "%s", states[i]);
    }
}

Test(batch_policy, given_one_item_that_met_others_then_it_is_tried_again)
{
    cr_assert_eq(batch_remedy("40001", 1), BATCH_AGAIN);
    cr_assert_eq(batch_remedy("40P01", 1), BATCH_AGAIN);
    cr_assert_eq(batch_remedy("55P03", 1), BATCH_AGAIN);
    cr_assert_eq(batch_remedy("CM001", 1), BATCH_AGAIN);
}

Test(batch_policy, given_one_bad_item_alone_then_it_is_refused)
{
    cr_assert_eq(batch_remedy("23514", 1), BATCH_REFUSE);
    cr_assert_eq(batch_remedy("22021", 1), BATCH_REFUSE);
    cr_assert_eq(batch_remedy("", 1), BATCH_REFUSE);
}

Test(batch_policy, given_a_server_that_refuses_everything_then_nothing_is_halved)
{
    const char *const states[] = {"42501", "42883", "53100", "25006", "26000", "58030", "XX000"};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        cr_assert_eq(batch_remedy(states[i], 100), BATCH_GIVE_UP, "%s", states[i]);
        cr_assert_eq(batch_remedy(states[i], 1), BATCH_GIVE_UP, "%s", states[i]);
    }
}
