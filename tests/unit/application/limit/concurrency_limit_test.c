// SPDX-License-Identifier: Apache-2.0
// The adaptive limit before a simulated server of fixed capacity, by a test clock: 1.4 times what
// it can do is offered, and what is let through stays near it, whatever else goes on.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "application/limit/concurrency_limit.h"

static const int64_t ms = 1000000;
static const int64_t second = 1000 * 1000000;

enum { IN_FLIGHT_MAX = 20000, PLACES_MAX = 256 };

struct request {
    int64_t entered_ns;
    int64_t over_ns;
    uint32_t slot;
    bool reached; // the server; else it was answered before
};

// k places, each serves one at a time, the queue before them is one.
struct world {
    struct concurrency_limit limit;
    struct concurrency_claim claim;
    int places;
    int64_t service_ns;  // mean
    bool exponential;    // else each takes the mean
    double offered;      // times the capacity
    double unreached;    // share of further requests that are answered before the server
    uint32_t first_slot; // the worker processes
    uint32_t slot_count;
    uint64_t seed;
    int64_t now_ns;
    int64_t next_ns;
    int64_t free_ns[PLACES_MAX];
    struct request flying[IN_FLIGHT_MAX];
    int flying_count;
    // Since the last count:
    int64_t through;
    int64_t refused;
    int64_t latency_sum_ns;
};

static double chance(struct world *world)
{
    world->seed = world->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(world->seed >> 11) / (double)(UINT64_C(1) << 53);
}

static int64_t exponential(struct world *world, double mean)
{
    return (int64_t)(-mean * log(1 - chance(world)));
}

static double capacity(const struct world *world)
{
    return world->places * 1e9 / (double)world->service_ns;
}

static struct world *given_a_server(int places, int64_t service_ns)
{
    struct world *world = calloc(1, sizeof(*world));
    *world = (struct world){.claim = {.budget_ns = 5 * second},
                            .places = places,
                            .service_ns = service_ns,
                            .exponential = true,
                            .offered = 1.4,
                            .slot_count = 2,
                            .seed = 20261201,
                            .now_ns = second};
    return world;
}

static void serve(struct world *world, struct request *request)
{
    int place = 0;
    for (int i = 1; i < world->places; i++) {
        place = world->free_ns[i] < world->free_ns[place] ? i : place;
    }
    int64_t begin = world->free_ns[place] > world->now_ns ? world->free_ns[place] : world->now_ns;
    int64_t takes =
        world->exponential ? exponential(world, (double)world->service_ns) : world->service_ns;
    world->free_ns[place] = request->over_ns = begin + takes;
}

static void arrive(struct world *world)
{
    bool reached = chance(world) >= world->unreached;
    if (!concurrency_limit_allows(&world->limit, world->claim, world->now_ns)) {
        world->refused += reached;
        return;
    }
    struct request request = {.entered_ns = world->now_ns,
                              .over_ns = world->now_ns + ms / 20,
                              .slot =
                                  world->first_slot + (uint32_t)(chance(world) * world->slot_count),
                              .reached = reached};
    concurrency_limit_enter(&world->limit, request.slot, world->now_ns);
    if (reached) {
        serve(world, &request);
        world->through++;
    }
    cr_assert_lt(world->flying_count, IN_FLIGHT_MAX);
    world->flying[world->flying_count++] = request;
}

static void finish(struct world *world, int at)
{
    struct request request = world->flying[at];
    world->flying[at] = world->flying[--world->flying_count];
    if (request.reached) {
        world->latency_sum_ns += request.over_ns - request.entered_ns;
        concurrency_limit_sample(&world->limit, world->claim, request.entered_ns,
                                 CONCURRENCY_ANSWERED, world->now_ns);
    }
    concurrency_limit_leave(&world->limit, request.slot);
}

static int first_over(const struct world *world)
{
    int first = -1;
    for (int i = 0; i < world->flying_count; i++) {
        if (first < 0 || world->flying[i].over_ns < world->flying[first].over_ns) {
            first = i;
        }
    }
    return first;
}

static void when_time_goes_on(struct world *world, int64_t ns)
{
    int64_t end = world->now_ns + ns;
    double rate = capacity(world) * world->offered / (1 - world->unreached);
    while (world->now_ns < end) {
        int at = first_over(world);
        if (world->next_ns <= world->now_ns) {
            world->next_ns = world->now_ns + 1 + exponential(world, 1e9 / rate);
        }
        if (at >= 0 && world->flying[at].over_ns <= world->next_ns) {
            world->now_ns = world->flying[at].over_ns;
            finish(world, at);
        } else {
            world->now_ns = world->next_ns;
            arrive(world);
        }
    }
}

// What got through in this time, as a share of the capacity.
static double share_through(struct world *world, int64_t ns)
{
    world->through = world->refused = world->latency_sum_ns = 0;
    when_time_goes_on(world, ns);
    return (double)world->through / (capacity(world) * (double)ns / 1e9);
}

static void then_it_stays_near_the_capacity(struct world *world)
{
    for (int i = 0; i < 3; i++) {
        double share = share_through(world, 20 * second);
        cr_assert(share >= 0.85 && share <= 1.15, "%d places: %.3f of the capacity gets through",
                  world->places, share);
    }
}

static double mean_latency_ns(const struct world *world)
{
    return (double)world->latency_sum_ns / (double)world->through;
}

// ---- At 1.4 times the capacity ------------------------------------------------------------------

Test(concurrency_limit, given_more_than_any_server_can_do_then_what_gets_through_is_what_it_can_do)
{
    static const int places[] = {1, 2, 4, 10, 100};
    for (size_t i = 0; i < 2 * sizeof(places) / sizeof(places[0]); i++) {
        struct world *world = given_a_server(places[i / 2], 20 * ms);
        world->exponential = i % 2 == 0;
        when_time_goes_on(world, 20 * second);
        then_it_stays_near_the_capacity(world);
        cr_assert_leq(mean_latency_ns(world), 8 * 20e6, "%d places: no long queue", places[i / 2]);
        free(world);
    }
}

Test(concurrency_limit, given_a_flood_of_refused_tokens_then_it_teaches_nothing)
{
    struct world *world = given_a_server(8, 20 * ms);
    world->unreached = 0.95;
    when_time_goes_on(world, 20 * second);
    then_it_stays_near_the_capacity(world);
}

Test(concurrency_limit, given_try_files_that_answers_half_of_them_then_that_teaches_nothing)
{
    struct world *world = given_a_server(8, 20 * ms);
    world->unreached = 0.5;
    when_time_goes_on(world, 20 * second);
    then_it_stays_near_the_capacity(world);
}

Test(concurrency_limit, given_a_hundred_processes_then_they_share_one_limit)
{
    struct world *world = given_a_server(8, 20 * ms);
    world->first_slot = CONCURRENCY_SLOTS - 100;
    world->slot_count = 100;
    when_time_goes_on(world, 20 * second);
    then_it_stays_near_the_capacity(world);
    world->offered = 0;
    cr_assert_geq(concurrency_limit_in_flight(&world->limit), 1);
    while (world->flying_count > 0) {
        finish(world, 0);
    }
    cr_assert_eq(concurrency_limit_in_flight(&world->limit), 0);
}

// New processes in other slots, while the old ones end what they have; then in the first ones
// again.
Test(concurrency_limit, given_reloads_then_the_limit_stays)
{
    struct world *world = given_a_server(8, 20 * ms);
    when_time_goes_on(world, 20 * second);
    for (int i = 1; i <= 4; i++) {
        world->first_slot = i % 2 ? 2 : 0;
        concurrency_limit_reset_slot(&world->limit, world->first_slot);
        concurrency_limit_reset_slot(&world->limit, world->first_slot + 1);
        then_it_stays_near_the_capacity(world);
    }
}

Test(concurrency_limit, given_a_server_that_becomes_slower_or_larger_then_the_limit_follows)
{
    struct world *world = given_a_server(8, 20 * ms);
    when_time_goes_on(world, 20 * second);
    world->service_ns = 60 * ms;
    when_time_goes_on(world, 30 * second);
    then_it_stays_near_the_capacity(world);
    world->places = 40;
    when_time_goes_on(world, 30 * second);
    then_it_stays_near_the_capacity(world);
    world->places = 4;
    when_time_goes_on(world, 30 * second);
    then_it_stays_near_the_capacity(world);
}

// ---- Below it -----------------------------------------------------------------------------------

Test(concurrency_limit, given_less_than_a_server_can_do_then_hardly_any_is_refused)
{
    static const int places[] = {4, 10, 32};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct world *world = given_a_server(places[i], 20 * ms);
        world->offered = 0.7;
        when_time_goes_on(world, 20 * second);
        share_through(world, 60 * second);
        cr_assert_leq(world->refused * 33, world->through, "%d places: %d of %d refused", places[i],
                      (int)world->refused, (int)(world->refused + world->through));
        free(world);
    }
}

// ---- A few requests -----------------------------------------------------------------------------

static const struct concurrency_claim normal = {.budget_ns = INT64_C(2000000000)};
static const struct concurrency_claim high = {.budget_ns = INT64_C(2000000000), .high = true};

// As many as are allowed, all at once.
static int fill(struct concurrency_limit *limit, struct concurrency_claim claim, int64_t now)
{
    int count = 0;
    for (; count < 2 * CONCURRENCY_MAX && concurrency_limit_allows(limit, claim, now); count++) {
        concurrency_limit_enter(limit, 0, now);
    }
    return count;
}

static void drain(struct concurrency_limit *limit)
{
    while (concurrency_limit_in_flight(limit) > 0) {
        concurrency_limit_leave(limit, 0);
    }
}

// One after another, each answered or dropped after so long.
static int64_t when_so_many_come(struct concurrency_limit *limit, int count, int64_t takes,
                                 enum concurrency_outcome outcome, int64_t now)
{
    for (int i = 0; i < count; i++) {
        concurrency_limit_enter(limit, 0, now);
        concurrency_limit_sample(limit, normal, now, outcome, now + takes);
        concurrency_limit_leave(limit, 0);
        now += takes;
    }
    return now;
}

Test(concurrency_limit, given_nothing_measured_then_nothing_is_refused)
{
    struct concurrency_limit limit = {0};
    cr_assert_eq(fill(&limit, normal, second), CONCURRENCY_MAX);
}

Test(concurrency_limit, given_one_answer_then_no_more_than_fit_the_budget_one_after_another)
{
    struct concurrency_limit limit = {0};
    int64_t now = when_so_many_come(&limit, 1, 250 * ms, CONCURRENCY_ANSWERED, second);
    cr_assert_eq(fill(&limit, normal, now), 6);
    cr_assert_eq(fill(&limit, high, now), 2, "a fifth is kept for them");
}

Test(concurrency_limit, given_a_limit_of_one_then_a_high_one_still_has_a_place)
{
    struct concurrency_limit limit = {0};
    int64_t now = when_so_many_come(&limit, 1, 5 * second, CONCURRENCY_ANSWERED, second);
    cr_assert_eq(fill(&limit, normal, now), 1);
    cr_assert_eq(fill(&limit, high, now), 1);
}

Test(concurrency_limit, given_an_idle_night_then_the_morning_is_not_refused)
{
    struct concurrency_limit limit = {0};
    int64_t now = when_so_many_come(&limit, 50, 10 * ms, CONCURRENCY_ANSWERED, second);
    int64_t morning = now + 36000 * second;
    concurrency_limit_enter(&limit, 0, morning);
    cr_assert(concurrency_limit_allows(&limit, normal, morning + ms));
}

Test(concurrency_limit, given_a_server_that_stopped_then_its_silence_counts)
{
    struct concurrency_limit limit = {0};
    int64_t now = when_so_many_come(&limit, 50, 10 * ms, CONCURRENCY_ANSWERED, second);
    concurrency_limit_enter(&limit, 0, now);
    cr_assert(concurrency_limit_allows(&limit, normal, now + 1500 * ms));
    cr_assert_not(concurrency_limit_allows(&limit, normal, now + 1700 * ms));
    cr_assert(concurrency_limit_allows(&limit, high, now + 1700 * ms));
    cr_assert_not(concurrency_limit_allows(&limit, high, now + 2100 * ms));
    drain(&limit);
    cr_assert(concurrency_limit_allows(&limit, normal, now + 2100 * ms), "one tries again");
}

Test(concurrency_limit, given_a_server_that_fails_at_once_then_it_is_neither_silent_nor_fast)
{
    struct concurrency_limit limit = {0};
    int64_t now = when_so_many_come(&limit, 1, 250 * ms, CONCURRENCY_ANSWERED, second);
    concurrency_limit_enter(&limit, 0, now);
    now = when_so_many_come(&limit, 3000, ms, CONCURRENCY_FAILED, now);
    cr_assert(concurrency_limit_allows(&limit, normal, now));
    cr_assert_eq(concurrency_limit_now(&limit), 8);
}

Test(concurrency_limit, given_only_time_outs_then_few_are_let_through_and_answers_raise_it_again)
{
    struct concurrency_limit limit = {0};
    int64_t now = when_so_many_come(&limit, 50, 10 * ms, CONCURRENCY_ANSWERED, second);
    now = when_so_many_come(&limit, 200, second, CONCURRENCY_DROPPED, now);
    cr_assert_eq(concurrency_limit_now(&limit), 1);
    when_so_many_come(&limit, 2000, 10 * ms, CONCURRENCY_ANSWERED, now);
    cr_assert_geq(concurrency_limit_now(&limit), 2);
}

Test(concurrency_limit, given_answers_after_the_budget_then_the_limit_comes_down_to_one)
{
    struct concurrency_limit limit = {0};
    int64_t now = when_so_many_come(&limit, 50, 10 * ms, CONCURRENCY_ANSWERED, second);
    when_so_many_come(&limit, 200, 3 * second, CONCURRENCY_ANSWERED, now);
    cr_assert_eq(concurrency_limit_now(&limit), 1);
}

Test(concurrency_limit, given_a_killed_process_when_its_slot_begins_anew_then_nothing_is_in_flight)
{
    struct concurrency_limit limit = {0};
    concurrency_limit_enter(&limit, 3, second);
    concurrency_limit_enter(&limit, 4, second);
    concurrency_limit_reset_slot(&limit, 3);
    cr_assert_eq(concurrency_limit_in_flight(&limit), 1);
}
