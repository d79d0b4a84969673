// SPDX-License-Identifier: Apache-2.0
// Waits that grow, with jitter, up to a limit.
#include "base/backoff.h"

#include <criterion/criterion.h>

Test(backoff, given_tries_when_waited_then_each_wait_is_at_most_twice_the_last_up_to_the_limit)
{
    struct backoff longest = {.first_ms = 100, .limit_ms = 1000};
    struct backoff shortest = longest;
    const int upper[] = {100, 200, 400, 800, 1000, 1000, 1000};
    for (int at = 0; at < 7; at++) {
        cr_assert_eq(backoff_next_ms(&shortest, 0), upper[at] / 2);
        int span = upper[at] - upper[at] / 2;
        cr_assert_eq(backoff_next_ms(&longest, (uint32_t)span), upper[at]);
    }
}

Test(backoff, given_a_success_when_reset_then_it_begins_anew)
{
    struct backoff backoff = {.first_ms = 100, .limit_ms = 1000};
    (void)backoff_next_ms(&backoff, 0);
    (void)backoff_next_ms(&backoff, 0);
    backoff_reset(&backoff);
    cr_assert_eq(backoff_next_ms(&backoff, 0), 50);
}

Test(backoff, given_many_tries_when_waited_then_nothing_overflows)
{
    struct backoff backoff = {.first_ms = 1, .limit_ms = INT32_MAX};
    for (int at = 0; at < 100; at++) {
        cr_assert_geq(backoff_next_ms(&backoff, UINT32_MAX), 0);
    }
}
