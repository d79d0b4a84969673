// SPDX-License-Identifier: Apache-2.0
// The search: thirty worlds, many seeds each, and at rest everything must hold. Then the classical
// mistakes are planted, one a time, and each must be found.
//
// COMANDA_SEARCH_SEEDS: seeds a world (40); COMANDA_SEARCH_FIRST: the first of them (1).
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/saga_fixture.h"
#include "support/saga_world.h"

enum { STEPS = 220, MISTAKE_SEEDS_MAX = 5000 };

static int setting(const char *name, int fallback)
{
    const char *text = getenv(name);
    return text == NULL ? fallback : atoi(text);
}

static struct saga_world_options world(int number, uint64_t seed, enum saga_mistake mistake)
{
    return (struct saga_world_options){.card = (enum saga_card)(number % SAGA_CARDS),
                                       .carrier =
                                           (enum saga_carrier)(number / SAGA_CARDS % SAGA_CARRIERS),
                                       .stock_short = number / (SAGA_CARDS * SAGA_CARRIERS) == 1,
                                       .mistake = mistake,
                                       .seed = seed,
                                       .steps = STEPS};
}

enum { WORLDS = SAGA_CARDS * SAGA_CARRIERS * 2 };

static struct saga_verdict play(struct saga_world_options options)
{
    struct arena arena;
    arena_init(&arena, 1 << 20, 64 << 20);
    struct saga_definition definition = saga_fixture_order_fulfilment(&arena);
    struct saga_verdict verdict = saga_world_play(&definition, &options, &arena);
    static char text[256];
    snprintf(text, sizeof text, "%.*s", STR_FMT(verdict.violation));
    verdict.violation = str_from(text);
    arena_free(&arena);
    return verdict;
}

Test(saga_search, given_thirty_worlds_when_anything_happens_in_any_order_then_all_holds_at_rest,
     .timeout = 300)
{
    int seeds = setting("COMANDA_SEARCH_SEEDS", 40);
    int first = setting("COMANDA_SEARCH_FIRST", 1);
    int confirmed = 0;
    int cancelled = 0;
    int rejected = 0;
    long steps = 0;
    for (int number = 0; number < WORLDS; number++) {
        for (int seed = first; seed < first + seeds; seed++) {
            struct saga_verdict verdict = play(world(number, (uint64_t)seed, MISTAKE_NONE));
            cr_assert_eq(verdict.violation.len, 0, "world %d, seed %d: %.*s", number, seed,
                         STR_FMT(verdict.violation));
            confirmed += verdict.confirmed;
            cancelled += verdict.cancelled;
            rejected += verdict.rejected;
            steps += verdict.steps;
        }
    }
    cr_log_info("%d runs, %ld steps: %d confirmed, %d rejected, %d cancelled", WORLDS * seeds,
                steps, confirmed, rejected, cancelled);
    cr_assert(confirmed > 0 && cancelled > 0 && rejected > 0, "a search that reaches every end");
}

static bool violates(int number, int seed, enum saga_mistake mistake)
{
    struct saga_verdict verdict = play(world(number, (uint64_t)seed, mistake));
    if (verdict.violation.len > 0) {
        cr_log_info("%s: world %d, seed %d: %.*s", saga_mistake_name(mistake), number, seed,
                    STR_FMT(verdict.violation));
    }
    return verdict.violation.len > 0;
}

// World 0, where everybody is willing, gets furthest, so it is tried ten times as often.
static bool is_caught(enum saga_mistake mistake)
{
    for (int seed = 1; seed <= MISTAKE_SEEDS_MAX; seed++) {
        int last = seed % 10 == 0 ? WORLDS : 1;
        for (int number = 0; number < last; number++) {
            if (violates(number, seed, mistake)) {
                return true;
            }
        }
    }
    return false;
}

#define MISTAKE_TEST(name, mistake)                               \
    Test(saga_search, mistake_##name##_is_caught, .timeout = 300) \
    {                                                             \
        cr_assert(is_caught(mistake), "planted and not found");   \
    }

MISTAKE_TEST(same_command_id, MISTAKE_SAME_COMMAND_ID)
MISTAKE_TEST(confirm_times_out, MISTAKE_CONFIRM_TIMES_OUT)
MISTAKE_TEST(in_flight_uncovered, MISTAKE_IN_FLIGHT_UNCOVERED)
MISTAKE_TEST(no_version_check, MISTAKE_NO_VERSION_CHECK)
MISTAKE_TEST(key_per_attempt, MISTAKE_KEY_PER_ATTEMPT)
MISTAKE_TEST(blind_confirm, MISTAKE_BLIND_CONFIRM)
MISTAKE_TEST(old_timer_fires, MISTAKE_OLD_TIMER_FIRES)
MISTAKE_TEST(any_reply_counts, MISTAKE_ANY_REPLY_COUNTS)
MISTAKE_TEST(provider_not_asked, MISTAKE_PROVIDER_NOT_ASKED)
MISTAKE_TEST(stream_unmarked, MISTAKE_STREAM_UNMARKED)
MISTAKE_TEST(provider_unmarked, MISTAKE_PROVIDER_UNMARKED)
MISTAKE_TEST(refund_half, MISTAKE_REFUND_HALF)
MISTAKE_TEST(second_ok_refunded, MISTAKE_SECOND_OK_REFUNDED)
MISTAKE_TEST(put_off_lost, MISTAKE_PUT_OFF_LOST)
MISTAKE_TEST(waiting_uncovered, MISTAKE_WAITING_UNCOVERED)
MISTAKE_TEST(patience_at_confirm, MISTAKE_PATIENCE_AT_CONFIRM)
