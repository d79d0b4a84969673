// SPDX-License-Identifier: Apache-2.0
// The rate limit: bursts, the steady rate, refusals that charge nothing, and the shared table.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "application/limit/limit_table.h"

static const int64_t second = INT64_C(1000000000);
static const struct gcra_rate ten_a_second = {.interval_ns = 100000000, .burst = 3};

static struct limit_table *given_a_table(size_t keys)
{
    size_t size = limit_table_size(keys);
    void *memory = aligned_alloc(64, (size + 63) / 64 * 64);
    for (size_t at = 0; at < size; at++) {
        ((char *)memory)[at] = 0;
    }
    return limit_table_init(memory, size);
}

static int when_so_many_come_at(struct limit_table *table, uint64_t key, int count, int64_t now)
{
    int allowed = 0;
    for (int i = 0; i < count; i++) {
        allowed += limit_table_charge(table, key, ten_a_second, now).allowed;
    }
    return allowed;
}

Test(gcra, given_a_new_key_when_many_come_at_once_then_exactly_the_burst_passes)
{
    cr_assert_eq(when_so_many_come_at(given_a_table(64), 7, 10, second), 3);
}

Test(gcra, given_an_empty_bucket_when_one_interval_passes_then_exactly_one_more_passes)
{
    struct limit_table *table = given_a_table(64);
    when_so_many_come_at(table, 7, 10, second);
    cr_assert_eq(when_so_many_come_at(table, 7, 10, second + ten_a_second.interval_ns - 1), 0);
    cr_assert_eq(when_so_many_come_at(table, 7, 10, second + ten_a_second.interval_ns), 1);
}

Test(gcra, given_a_refusal_then_retry_says_exactly_when_the_next_one_passes)
{
    struct limit_table *table = given_a_table(64);
    when_so_many_come_at(table, 7, 3, second);
    struct gcra_answer refused = limit_table_charge(table, 7, ten_a_second, second);
    cr_assert_not(refused.allowed);
    cr_assert_eq(refused.remaining, 0);
    cr_assert_not(
        limit_table_charge(table, 7, ten_a_second, second + refused.retry_ns - 1).allowed);
    cr_assert(limit_table_charge(table, 7, ten_a_second, second + refused.retry_ns).allowed);
}

Test(gcra, given_a_full_bucket_when_one_comes_then_it_tells_what_remains_and_when_it_is_full_again)
{
    struct gcra_answer answer = limit_table_charge(given_a_table(64), 7, ten_a_second, second);
    cr_assert(answer.allowed);
    cr_assert_eq(answer.remaining, 2);
    cr_assert_eq(answer.reset_ns, ten_a_second.interval_ns);
}

Test(gcra, given_a_time_far_ahead_when_judged_then_it_counts_as_garbage_and_heals)
{
    int64_t next = 0;
    struct gcra_answer answer = gcra_judge(ten_a_second, 1000 * second, second, &next);
    cr_assert_not(answer.allowed);
    cr_assert_leq(answer.retry_ns, ten_a_second.interval_ns);
}

Test(limit_table, given_a_rate_that_is_relaxed_when_it_refuses_then_who_waits_as_told_is_let_in)
{
    static const struct gcra_rate one_a_minute = {.interval_ns = INT64_C(60000000000), .burst = 3};
    struct limit_table *table = given_a_table(64);
    for (int i = 0; i < 3; i++) {
        cr_assert(limit_table_charge(table, 7, one_a_minute, second).allowed);
    }
    struct gcra_answer refused = limit_table_charge(table, 7, ten_a_second, second);
    cr_assert_not(refused.allowed);
    cr_assert_leq(refused.retry_ns, ten_a_second.interval_ns);
    cr_assert(limit_table_charge(table, 7, ten_a_second, second + refused.retry_ns).allowed);
}

Test(limit_table, given_two_keys_then_one_does_not_charge_the_other)
{
    struct limit_table *table = given_a_table(64);
    cr_assert_eq(when_so_many_come_at(table, 7, 10, second), 3);
    cr_assert_eq(when_so_many_come_at(table, 8, 10, second), 3);
}

Test(limit_table, given_more_live_keys_than_places_then_some_are_pushed_out_and_counted)
{
    struct limit_table *table = given_a_table(4);
    for (uint64_t key = 1; key <= 5; key++) {
        when_so_many_come_at(table, key, 3, second);
    }
    cr_assert_eq(limit_table_take_evictions(table), 1);
    cr_assert_eq(limit_table_take_evictions(table), 0, "each is given once");
}

Test(limit_table, given_keys_whose_time_has_passed_then_their_places_are_taken_at_no_loss)
{
    struct limit_table *table = given_a_table(4);
    for (uint64_t key = 1; key <= 4; key++) {
        when_so_many_come_at(table, key, 3, second);
    }
    cr_assert_eq(when_so_many_come_at(table, 9, 10, 2 * second), 3);
    cr_assert_eq(limit_table_take_evictions(table), 0);
}

Test(limit_table, given_a_charge_when_it_is_taken_back_then_one_more_may_come)
{
    struct limit_table *table = given_a_table(64);
    when_so_many_come_at(table, 7, 10, second);
    limit_table_refund(table, 7, ten_a_second);
    cr_assert_eq(when_so_many_come_at(table, 7, 10, second), 1);
}
