// SPDX-License-Identifier: Apache-2.0
// How often the saga daemon looks whether it has every definition in use, when a look takes long.
//
// links: workers/saga/versions.c
#include "saga/versions.h"

#include <criterion/criterion.h>

#include "infrastructure/postgres/saga_watch.h"
#include "saga/saga_metrics.h"

// --- a clock, and a store that takes its time

static struct {
    int64_t now_ms;
    int64_t took_ms;
    size_t lacking;
    int looks;
    bool ready;
} world;

int64_t runtime_monotonic_ms(void)
{
    return world.now_ms;
}

void readiness_need(struct runtime *runtime, const char *name)
{
    (void)runtime;
    cr_assert_str_eq(name, "sagas");
}

void readiness_set(struct runtime *runtime, const char *name, bool ready, const char *detail)
{
    (void)runtime;
    (void)name;
    (void)detail;
    world.ready = ready;
}

bool parts_ready(struct runtime *runtime, void *parts)
{
    (void)runtime;
    (void)parts;
    return true;
}

void saga_metrics_not_loaded(int64_t sagas)
{
    cr_assert_eq(sagas, (int64_t)world.lacking);
}

enum status saga_watch_in_use(struct postgres *postgres, struct arena *arena,
                              struct saga_in_use **used, size_t *count)
{
    static struct saga_in_use unknown = {.name = {"unknown", 7}, .version = 9, .count = 1};
    (void)postgres;
    (void)arena;
    world.looks++;
    world.now_ms += world.took_ms;
    *used = &unknown;
    *count = world.lacking;
    return STATUS_OK;
}

// --- looks

static const struct saga_definitions none = {0};
static struct parts parts;
static struct saga_versions versions;

static void open_world(void)
{
    world.now_ms = 1000000;
    world.took_ms = 1000;
    saga_versions_init(&versions, NULL, &parts, &none);
    cr_assert(saga_versions_ready(NULL, &versions));
    cr_assert_eq(world.looks, 1);
}

TestSuite(saga_versions, .init = open_world);

// Asks after each 100 ms, as a busy consumer does, for so many milliseconds.
static int looks_in(int64_t ms, bool doubtful)
{
    int before = world.looks;
    for (int64_t end = world.now_ms + ms; world.now_ms < end; world.now_ms += 100) {
        if (doubtful) {
            saga_versions_doubt(&versions);
        }
        (void)saga_versions_ready(NULL, &versions);
    }
    return world.looks - before;
}

Test(saga_versions, given_looks_that_take_a_second_when_nothing_is_in_doubt_then_one_in_fifty)
{
    cr_assert_eq(looks_in(49000, false), 0);
    cr_assert_eq(looks_in(2000, false), 1);
}

Test(saga_versions, given_doubt_without_end_when_looks_take_a_second_then_a_tenth_of_the_time)
{
    int looks = looks_in(110000, true);
    cr_assert(looks >= 9 && looks <= 10, "%d looks", looks);
}

Test(saga_versions, given_doubt_when_looks_are_fast_then_the_next_question_looks)
{
    world.took_ms = 1;
    cr_assert_eq(looks_in(60000, false), 1);
    cr_assert_geq(looks_in(1000, true), 9);
}

Test(saga_versions, given_a_definition_that_is_lacking_when_its_sagas_end_then_it_is_ready_again)
{
    world.lacking = 1;
    world.now_ms += 60000;
    cr_assert_not(saga_versions_ready(NULL, &versions));
    cr_assert_not(world.ready);
    world.lacking = 0;
    cr_assert_not(saga_versions_ready(NULL, &versions), "a look takes a tenth of the time");
    cr_assert_eq(looks_in(11000, false), 1);
    cr_assert(world.ready);
}
