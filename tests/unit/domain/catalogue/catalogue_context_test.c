// SPDX-License-Identifier: Apache-2.0
// The catalogue through the seam: products by SKU and the document that others read prices in.
#include <criterion/criterion.h>

#include "domain/bounded_context.h"
#include "support/world.h"

static const struct str products = {"product", 7};
static struct world world;
static struct uuid apple;

#define LIST "{\"sku\":\"A\",\"name\":\"Apple\",\"price\":{\"amount\":100,\"currency\":\"BRL\"}}"

static void begin(void)
{
    world_init(&world);
    apple = uuid_named(world.tenant, products, STR("A"));
}

static void end(void)
{
    world_free(&world);
}

TestSuite(catalogue_context, .init = begin, .fini = end);

static const struct world_result *when(const char *command, const char *body)
{
    return world_when(&world, command, apple, "operator", body);
}

static struct document_index indexed(void)
{
    const struct projection *projection = context_projection(STR("products"));
    struct str bytes = world_document(&world, apple, STR("products"));
    struct document_index index;
    struct buffer again;
    void *document;
    buffer_init(&again, &world.arena, 4096);
    cr_assert_eq(projection->document.decode(bytes, &world.arena, &document), STATUS_OK);
    cr_assert_eq(projection->document.encode(document, &again), STATUS_OK);
    cr_assert(str_eq(bytes, buffer_view(&again)));
    cr_assert_eq(projection->index(document, &world.arena, &index), STATUS_OK);
    return index;
}

Test(catalogue_context, given_no_product_when_listed_then_its_document_is_public)
{
    cr_assert_eq(when("catalogue.list_product", LIST)->decision.event_count, 1);
    cr_assert(str_eq(world_document(&world, apple, STR("products")), STR(LIST)));
    struct document_index index = indexed();
    cr_assert(str_eq(index.key, STR("A")) && str_eq(index.sort, STR("A")));
    cr_assert(index.owner.len == 0 && index.filter.len == 0 && index.listed);
    cr_assert(!context_projection(STR("products"))->newest_first);
}

Test(catalogue_context, given_a_listed_product_when_loaded_again_then_nothing_new_happens)
{
    when("catalogue.list_product", LIST);
    cr_assert_eq(when("catalogue.list_product", LIST)->decision.event_count, 0);
    const struct world_result *other =
        when("catalogue.list_product",
             "{\"sku\":\"A\",\"name\":\"Apple\",\"price\":{\"amount\":101,\"currency\":\"BRL\"}}");
    cr_assert(str_eq(other->decision.code, STR("product_already_listed")));
}

Test(catalogue_context, given_a_listed_product_when_repriced_then_the_document_says_so)
{
    when("catalogue.list_product", LIST);
    when("catalogue.reprice_product", "{\"price\":{\"amount\":250,\"currency\":\"BRL\"}}");
    cr_assert(str_eq(world_document(&world, apple, STR("products")),
                     STR("{\"sku\":\"A\",\"name\":\"Apple\","
                         "\"price\":{\"amount\":250,\"currency\":\"BRL\"}}")));
    cr_assert(world_folds_alike(&world, world_stream(&world, apple, products)));
}

Test(catalogue_context, given_a_listed_product_when_retired_then_it_is_kept_but_not_shown)
{
    when("catalogue.list_product", LIST);
    when("catalogue.retire_product", "{}");
    cr_assert(!indexed().listed);
    cr_assert_eq(when("catalogue.retire_product", "{}")->decision.event_count, 0);
    cr_assert(
        str_eq(when("catalogue.reprice_product", "{\"price\":{\"amount\":1,\"currency\":\"BRL\"}}")
                   ->decision.code,
               STR("product_not_listed")));
    when("catalogue.list_product", LIST);
    cr_assert(indexed().listed);
    cr_assert(world_folds_alike(&world, world_stream(&world, apple, products)));
}

Test(catalogue_context, given_no_product_when_repriced_or_retired_then_there_is_none)
{
    cr_assert_eq(when("catalogue.retire_product", "{}")->decision.outcome, DECISION_NOT_FOUND);
    cr_assert_eq(
        when("catalogue.reprice_product", "{\"price\":{\"amount\":1,\"currency\":\"BRL\"}}")
            ->decision.outcome,
        DECISION_NOT_FOUND);
}

Test(catalogue_context, given_bad_bodies_when_listed_then_their_faults_are_named)
{
    const struct world_result *result = when(
        "catalogue.list_product",
        "{\"sku\":\"/\",\"name\":\"\",\"price\":{\"amount\":0,\"currency\":\"?\"},\"colour\":1}");
    cr_assert_eq(result->faults.total, 5);
    cr_assert(world_has_fault(result, "/sku") && world_has_fault(result, "/name") &&
              world_has_fault(result, "/price/amount") &&
              world_has_fault(result, "/price/currency") && world_has_fault(result, "/colour"));
    cr_assert(
        world_has_fault(world_when(&world, "catalogue.list_product",
                                   uuid_named(STR("main"), products, STR("B")), "operator", LIST),
                        "/sku"));
}

Test(catalogue_context, given_an_unknown_event_when_folded_then_the_state_stays)
{
    when("catalogue.list_product", LIST);
    struct str before = world_state(&world, apple, products);
    world_given(&world, apple, products, "ProductPainted", "{\"colour\":\"red\"}");
    cr_assert(str_eq(before, world_state(&world, apple, products)));
}
