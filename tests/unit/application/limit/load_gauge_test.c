// SPDX-License-Identifier: Apache-2.0
// The expected time behind what is at work: idle, busy, stopped, recovered, a killed process.
#include <criterion/criterion.h>

#include "application/limit/load_gauge.h"

static const int64_t ms = 1000000;

// A server of one place that needs 10 ms a request, offered `width` at a time.
static int64_t given_a_busy_server(struct load_gauge *gauge, int width, int rounds)
{
    int64_t now = 1000 * ms;
    for (int round = 0; round < rounds; round++) {
        int64_t begun = now;
        for (int i = 0; i < width; i++) {
            load_gauge_begin(gauge, 0, now);
        }
        for (int i = 0; i < width; i++) {
            now += 10 * ms;
            load_gauge_end(gauge, 0, begun, now);
        }
    }
    return now;
}

Test(load_gauge, given_nothing_measured_then_nothing_is_refused)
{
    struct load_gauge gauge = {0};
    load_gauge_begin(&gauge, 0, 1000 * ms);
    cr_assert_eq(load_gauge_wait(&gauge, 1000 * ms), 0);
}

Test(load_gauge, given_many_in_flight_then_each_adds_one_service_time)
{
    struct load_gauge gauge = {0};
    int64_t now = given_a_busy_server(&gauge, 20, 20);
    for (int i = 0; i < 49; i++) {
        load_gauge_begin(&gauge, 0, now);
    }
    cr_assert_float_eq((double)load_gauge_wait(&gauge, now), 500e6, 1e6);
}

Test(load_gauge, given_an_idle_night_then_the_morning_is_not_slow)
{
    struct load_gauge gauge = {0};
    int64_t now = given_a_busy_server(&gauge, 1, 50) + 36000000 * ms;
    cr_assert_eq(load_gauge_wait(&gauge, now), 0);
    load_gauge_begin(&gauge, 0, now);
    cr_assert_leq(load_gauge_wait(&gauge, now + 5 * ms), 21 * ms);
    load_gauge_end(&gauge, 0, now, now + 10 * ms);
    load_gauge_begin(&gauge, 0, now + 10 * ms);
    cr_assert_leq(load_gauge_wait(&gauge, now + 10 * ms), 21 * ms);
}

Test(load_gauge, given_a_server_that_stopped_then_its_silence_counts)
{
    struct load_gauge gauge = {0};
    int64_t now = given_a_busy_server(&gauge, 4, 20);
    load_gauge_begin(&gauge, 0, now);
    cr_assert_geq(load_gauge_wait(&gauge, now + 2000 * ms), 1990 * ms);
}

Test(load_gauge, given_a_killed_process_when_its_slot_begins_anew_then_nothing_is_in_flight)
{
    struct load_gauge gauge = {0};
    int64_t now = given_a_busy_server(&gauge, 4, 20);
    load_gauge_begin(&gauge, 3, now);
    load_gauge_reset_slot(&gauge, 3);
    cr_assert_eq(load_gauge_wait(&gauge, now + 2000 * ms), 0);
}
