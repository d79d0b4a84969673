// SPDX-License-Identifier: Apache-2.0
// The seam with a context that is no shop: the same finders, folds and decisions.
// registry: tests/contexts/registry.c
#include <criterion/criterion.h>

#include "domain/bounded_context.h"
#include "support/world.h"

static const struct uuid counter = {{1, 2, 3, 4, 5, 6, 0x70, 7, 0x80, 9}};

static const struct world_result *add(struct world *world, const char *actor, const char *body)
{
    return world_when(world, "counting.add_counter", counter, actor, body);
}

Test(counting, given_an_open_counter_when_added_to_then_the_document_counts)
{
    struct world world;
    world_init(&world);
    world_when(&world, "counting.open_counter", counter, "ana", "{\"start\":40}");
    add(&world, "ana", "{\"amount\":2}");
    cr_assert(str_eq(world_document(&world, counter, STR("counters")),
                     STR("{\"id\":\"01020304-0506-7007-8009-000000000000\",\"version\":2,"
                         "\"owner\":\"ana\",\"value\":42}")));
    cr_assert(world_folds_alike(&world, world_stream(&world, counter, STR("counter"))));
    world_free(&world);
}

Test(counting, given_someone_elses_counter_when_added_to_then_there_is_none)
{
    struct world world;
    world_init(&world);
    cr_assert_eq(add(&world, "ana", "{\"amount\":1}")->decision.outcome, DECISION_NOT_FOUND);
    world_when(&world, "counting.open_counter", counter, "ana", "{\"start\":0}");
    cr_assert_eq(add(&world, "bob", "{\"amount\":1}")->decision.outcome, DECISION_NOT_FOUND);
    world_free(&world);
}

Test(counting, given_a_full_counter_when_added_to_then_it_says_no)
{
    struct world world;
    world_init(&world);
    world_when(&world, "counting.open_counter", counter, "ana", "{\"start\":1000000}");
    cr_assert_eq(add(&world, "ana", "{\"amount\":1}")->decision.outcome, DECISION_REJECTED);
    cr_assert(world_has_fault(add(&world, "ana", "{\"amount\":0}"), "/amount"));
    world_free(&world);
}

Test(counting, given_the_registry_when_asked_for_the_shop_then_there_is_none)
{
    cr_assert_eq(context_registry()->count, 1);
    cr_assert_null(context_command(STR("ordering.place_order")));
    cr_assert_not_null(context_command(STR("counting.open_counter")));
}
