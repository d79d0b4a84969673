// SPDX-License-Identifier: Apache-2.0
// The expected wait: nothing when nothing is known, the queue's length, and a server that stopped.
#include <criterion/criterion.h>

#include "application/limit/wait_estimate.h"

static struct wait_estimate given_batches_of(size_t commands, double ms)
{
    struct wait_estimate estimate = {0};
    for (int i = 0; i < 50; i++) {
        wait_estimate_add(&estimate, commands, ms, STATUS_OK);
    }
    return estimate;
}

Test(wait_estimate, given_no_batch_yet_then_nothing_is_expected)
{
    struct wait_estimate estimate = {0};
    cr_assert_eq(wait_estimate_ms(&estimate, 1000, -1), 0);
}

Test(wait_estimate, given_a_queue_then_each_command_before_adds_its_share)
{
    struct wait_estimate estimate = given_batches_of(10, 5);
    cr_assert_float_eq(wait_estimate_ms(&estimate, 1, -1), 5.5, 0.001);
    cr_assert_float_eq(wait_estimate_ms(&estimate, 1000, -1), 505, 0.001);
}

Test(wait_estimate, given_slow_batches_and_nothing_at_work_then_the_next_one_may_measure_anew)
{
    struct wait_estimate estimate = given_batches_of(10, 2000);
    cr_assert_eq(wait_estimate_ms(&estimate, 0, -1), 0);
    cr_assert_geq(wait_estimate_ms(&estimate, 0, 1), 2000);
}

Test(wait_estimate, given_a_batch_half_way_then_its_rest_is_waited_for)
{
    struct wait_estimate estimate = given_batches_of(10, 5);
    cr_assert_float_eq(wait_estimate_ms(&estimate, 0, 2), 8, 0.001);
}

Test(wait_estimate, given_a_server_that_stopped_then_the_expected_wait_grows_with_its_silence)
{
    struct wait_estimate estimate = given_batches_of(10, 5);
    cr_assert_geq(wait_estimate_ms(&estimate, 0, 800), 800);
}

Test(wait_estimate, given_one_slow_batch_among_many_then_the_average_moves_little)
{
    struct wait_estimate estimate = given_batches_of(10, 5);
    wait_estimate_add(&estimate, 10, 85, STATUS_REFUSED);
    cr_assert_float_eq(estimate.batch_ms, 15, 0.001);
}

Test(wait_estimate, given_only_lone_commands_then_a_crowd_is_not_measured_by_their_price)
{
    struct wait_estimate estimate = given_batches_of(1, 100);
    cr_assert_float_eq(wait_estimate_ms(&estimate, 200, -1), 100, 0.001);
}

Test(wait_estimate, given_lone_commands_and_then_a_crowd_then_its_price_counts)
{
    struct wait_estimate estimate = given_batches_of(1, 100);
    wait_estimate_add(&estimate, 100, 400, STATUS_OK);
    cr_assert_geq(wait_estimate_ms(&estimate, 1000, -1), 4000);
}

Test(wait_estimate, given_a_connection_that_breaks_at_once_then_the_server_is_no_faster_for_it)
{
    struct wait_estimate estimate = given_batches_of(10, 200);
    for (int i = 0; i < 50; i++) {
        wait_estimate_add(&estimate, 10, 0.1, STATUS_UNKNOWN);
        wait_estimate_add(&estimate, 10, 0.1, STATUS_UNAVAILABLE);
    }
    cr_assert_float_eq(wait_estimate_ms(&estimate, 0, 1), 399, 0.001);
    wait_estimate_add(&estimate, 10, 9000, STATUS_UNAVAILABLE);
    cr_assert_float_eq(wait_estimate_ms(&estimate, 0, 1), 399, 0.001, "it was never sent");
    wait_estimate_add(&estimate, 10, 2000, STATUS_TIMEOUT);
    cr_assert_geq(wait_estimate_ms(&estimate, 0, 1), 800, "silence counts");
}
