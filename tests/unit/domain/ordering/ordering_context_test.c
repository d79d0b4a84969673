// SPDX-License-Identifier: Apache-2.0
// Orders through the seam: bodies, faults, prices, ownership, documents.
#include <criterion/criterion.h>
#include <stdio.h>

#include "domain/bounded_context.h"
#include "world.h"

static const struct str orders = {"order", 5};
static const struct str products = {"product", 7};
static const struct uuid order = {{0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, 0x70, 1, 0x80, 1, 2, 3, 4, 5, 6, 7}};

#define SHIP_TO                                                                                    \
    "\"ship_to\":{\"name\":\"Ana\",\"street\":\"Rua A, 1\",\"city\":\"São Paulo\","               \
    "\"postal_code\":\"01310-100\",\"country\":\"BR\"}"
#define REST ",\"payment_token\":\"tok_ok\"," SHIP_TO "}"
#define BODY "{\"currency\":\"BRL\",\"lines\":[{\"sku\":\"SKU-1\",\"quantity\":2}]" REST

static void list_product(struct world *world, const char *sku, long long amount,
                         const char *currency)
{
    char data[256];
    snprintf(data, sizeof(data),
             "{\"sku\":\"%s\",\"name\":\"Thing\",\"price\":{\"amount\":%lld,\"currency\":\"%s\"}}",
             sku, amount, currency);
    world_given(world, uuid_named(world->tenant, products, str_from(sku)), products,
                "ProductListed", data);
}

static struct world *new_world(void)
{
    static struct world world;
    world_init(&world);
    list_product(&world, "SKU-1", 1990, "BRL");
    list_product(&world, "SKU-2", 500, "BRL");
    list_product(&world, "SKU-USD", 500, "USD");
    list_product(&world, "SKU-DEAR", JSON_INTEGER_MAX, "BRL");
    return &world;
}

static const struct world_result *place(struct world *world, const char *body)
{
    return world_when(world, "ordering.place_order", order, "ana", body);
}

Test(ordering_context, given_a_catalogue_when_placed_then_prices_come_from_it)
{
    struct world *world = new_world();
    const struct world_result *result = place(world, BODY);
    cr_assert_eq(result->decision.outcome, DECISION_ACCEPTED);
    struct str document = world_document(world, order, STR("orders"));
    static const char expected[] =
        "{\"id\":\"018bcfe5-6800-7001-8001-020304050607\",\"status\":\"placed\",\"version\":1,"
        "\"customer\":\"ana\",\"currency\":\"BRL\",\"lines\":[{\"sku\":\"SKU-1\",\"quantity\":2,"
        "\"unit_price\":{\"amount\":1990,\"currency\":\"BRL\"},"
        "\"total\":{\"amount\":3980,\"currency\":\"BRL\"}}],"
        "\"total\":{\"amount\":3980,\"currency\":\"BRL\"}," SHIP_TO
        ",\"created_at\":\"2023-11-14T22:13:20.000Z\","
        "\"updated_at\":\"2023-11-14T22:13:20.000Z\"}";
    cr_assert_eq(document.len, sizeof(expected) - 1);
    cr_assert_arr_eq(document.data, expected, document.len, "%.*s", STR_FMT(document));
    world_free(world);
}
