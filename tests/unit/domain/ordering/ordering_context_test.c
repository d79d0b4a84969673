// SPDX-License-Identifier: Apache-2.0
// Orders through the seam: bodies, faults, prices, ownership, documents.
#define _GNU_SOURCE // memmem
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "domain/bounded_context.h"
#include "support/world.h"

static const struct str order_category = {"order", 5};
static const struct str products = {"product", 7};
static const struct uuid order = {
    {0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, 0x70, 1, 0x80, 1, 2, 3, 4, 5, 6, 7}};

#define SHIP_TO                                                                      \
    "\"ship_to\":{\"name\":\"Ana\",\"street\":\"Rua A, 1\",\"city\":\"São Paulo\"," \
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

Test(ordering_context,
     given_a_placed_order_when_recorded_then_the_event_keeps_the_token_and_the_document_never)
{
    struct world *world = new_world();
    place(world, BODY);
    struct str event = world_stream(world, order, order_category)->first->view.data;
    struct str document = world_document(world, order, STR("orders"));
    cr_assert_not_null(memmem(event.data, event.len, "\"payment_token\":\"tok_ok\"", 24));
    cr_assert_null(memmem(document.data, document.len, "tok_ok", 6));
    world_free(world);
}

// A body, and the pointers of all its faults.
struct bad_body {
    const char *body;
    const char *pointers[6];
};

#define LINE1 "{\"sku\":\"SKU-1\",\"quantity\":2}"
#define WITH_LINES(lines) "{\"currency\":\"BRL\",\"lines\":[" lines "]" REST
#define WITH_SHIP_TO(ship_to)                 \
    "{\"currency\":\"BRL\",\"lines\":[" LINE1 \
    "],\"payment_token\":\"tok_ok\",\"ship_to\":{" ship_to "}}"

static const struct bad_body bad_bodies[] = {
    {"[]", {""}},
    {"null", {""}},
    {"{}", {"/currency", "/lines", "/payment_token", "/ship_to"}},
    {"{\"currency\":\"brl\",\"lines\":[" LINE1 "]" REST, {"/currency"}},
    {"{\"currency\":\"XXX\",\"lines\":[" LINE1 "]" REST, {"/currency"}},
    {"{\"currency\":986,\"lines\":[" LINE1 "]" REST, {"/currency"}},
    {"{\"currency\":\"USD\",\"lines\":[" LINE1 "]" REST, {"/currency"}},
    {"{\"a/b~c\":1,\"currency\":\"BRL\",\"lines\":[" LINE1 "]" REST, {"/a~1b~0c"}},
    {WITH_LINES(""), {"/lines"}},
    {"{\"currency\":\"BRL\",\"lines\":{}" REST, {"/lines"}},
    {WITH_LINES("7"), {"/lines/0"}},
    {WITH_LINES("{}"), {"/lines/0/sku", "/lines/0/quantity"}},
    {WITH_LINES("{\"sku\":\"SKU-1\",\"quantity\":0}"), {"/lines/0/quantity"}},
    {WITH_LINES("{\"sku\":\"SKU-1\",\"quantity\":1001}"), {"/lines/0/quantity"}},
    {WITH_LINES("{\"sku\":\"SKU-1\",\"quantity\":1.5}"), {"/lines/0/quantity"}},
    {WITH_LINES("{\"sku\":\"SKU-1\",\"quantity\":1.0}"), {"/lines/0/quantity"}},
    {WITH_LINES("{\"sku\":\"SKU-1\",\"quantity\":1e2}"), {"/lines/0/quantity"}},
    {WITH_LINES("{\"sku\":\"SKU-1\",\"quantity\":\"2\"}"), {"/lines/0/quantity"}},
    {WITH_LINES("{\"sku\":\"SKU-1\",\"quantity\":-1}"), {"/lines/0/quantity"}},
    {WITH_LINES("{\"sku\":\"SKU-1\",\"quantity\":1,\"price\":1}"), {"/lines/0/price"}},
    {WITH_LINES(LINE1 "," LINE1), {"/lines/1/sku"}},
    {WITH_LINES("{\"sku\":\"no such\",\"quantity\":1}"), {"/lines/0/sku"}},
    {WITH_LINES("{\"sku\":\"NONE\",\"quantity\":1}"), {"/lines/0/sku"}},
    {WITH_LINES(LINE1 ",{\"sku\":\"SKU-USD\",\"quantity\":1}"), {"/currency"}},
    {WITH_LINES("{\"sku\":\"SKU-DEAR\",\"quantity\":2}"), {"/lines/0"}},
    {WITH_LINES(LINE1 ",{\"sku\":\"SKU-DEAR\",\"quantity\":1}"), {"/lines"}},
    // shape and catalogue together
    {WITH_LINES("{\"sku\":\"SKU-1\",\"quantity\":0},{\"sku\":\"NONE\",\"quantity\":1}"),
     {"/lines/0/quantity", "/lines/1/sku"}},
    {"{\"currency\":\"BRL\",\"lines\":[{\"sku\":\"NONE\",\"quantity\":1}],"
     "\"payment_token\":\"two words\"," SHIP_TO "}",
     {"/payment_token", "/lines/0/sku"}},
    {"{\"currency\":\"BRL\",\"lines\":[" LINE1 "],\"payment_token\":\"\"," SHIP_TO "}",
     {"/payment_token"}},
    {WITH_SHIP_TO(""),
     {"/ship_to/name", "/ship_to/street", "/ship_to/city", "/ship_to/postal_code",
      "/ship_to/country"}},
    {WITH_SHIP_TO("\"name\":\" \",\"street\":\"a\\u0007\",\"city\":\"\",\"postal_code\":\"1\","
                  "\"country\":\"BR\""),
     {"/ship_to/name", "/ship_to/street", "/ship_to/city", "/ship_to/postal_code"}},
    {WITH_SHIP_TO("\"name\":\"A\",\"street\":\"S\",\"city\":\"C\",\"postal_code\":\"01310-100\","
                  "\"country\":\"Brasil\""),
     {"/ship_to/country"}},
    {WITH_SHIP_TO("\"name\":\"A\",\"street\":\"S\",\"city\":\"C\",\"postal_code\":\"01310/100\","
                  "\"country\":\"XX\""),
     {"/ship_to/country", "/ship_to/postal_code"}},
    {WITH_SHIP_TO("\"name\":\"A\",\"street\":\"S\",\"city\":\"C\",\"postal_code\":\"01310-100\","
                  "\"country\":\"BR\",\"planet\":\"Earth\""),
     {"/ship_to/planet"}},
};

Test(ordering_context, given_a_bad_body_when_placed_then_all_its_faults_are_named)
{
    for (size_t i = 0; i < sizeof(bad_bodies) / sizeof(bad_bodies[0]); i++) {
        struct world *world = new_world();
        const struct world_result *result = place(world, bad_bodies[i].body);
        size_t expected = 0;
        for (; expected < 6 && bad_bodies[i].pointers[expected] != NULL; expected++) {
            cr_assert(world_has_fault(result, bad_bodies[i].pointers[expected]),
                      "%s: no fault at %s", bad_bodies[i].body, bad_bodies[i].pointers[expected]);
        }
        cr_assert_eq(result->faults.total, expected, "%s: %zu faults", bad_bodies[i].body,
                     result->faults.total);
        cr_assert_eq(result->decision.outcome, DECISION_INVALID);
        cr_assert_eq(world_stream(world, order, order_category)->version, 0);
        world_free(world);
    }
}

static const struct world_result *place_lines(struct world *world, int count)
{
    static char body[8192];
    size_t at = (size_t)snprintf(body, sizeof(body), "{\"currency\":\"BRL\",\"lines\":[");
    for (int i = 0; i < count; i++) {
        char sku[16];
        snprintf(sku, sizeof(sku), "L-%d", i);
        list_product(world, sku, 1, "BRL");
        at += (size_t)snprintf(body + at, sizeof(body) - at, "%s{\"sku\":\"%s\",\"quantity\":1000}",
                               i == 0 ? "" : ",", sku);
    }
    snprintf(body + at, sizeof(body) - at, "]" REST);
    return place(world, body);
}

Test(ordering_context, given_fifty_lines_when_placed_then_they_fit_and_fifty_one_do_not)
{
    struct world *world = new_world();
    cr_assert_eq(place_lines(world, 50)->decision.outcome, DECISION_ACCEPTED);
    world_free(world);
    world = new_world();
    const struct world_result *result = place_lines(world, 51);
    cr_assert_eq(result->faults.total, 1);
    cr_assert(world_has_fault(result, "/lines"));
    world_free(world);
}

Test(ordering_context, given_a_retired_product_when_placed_then_its_sku_is_unknown)
{
    struct world *world = new_world();
    world_given(world, uuid_named(world->tenant, products, STR("SKU-1")), products,
                "ProductRetired", "{}");
    cr_assert(world_has_fault(place(world, BODY), "/lines/0/sku"));
    world_free(world);
}

#define CANCEL "{\"reason\":\"changed my mind\"}"

static const struct world_result *cancel(struct world *world, const char *actor)
{
    return world_when(world, "ordering.cancel_order", order, actor, CANCEL);
}

Test(ordering_context, given_someone_elses_order_when_cancelled_then_there_is_no_such_order)
{
    struct world *world = new_world();
    cr_assert_eq(cancel(world, "ana")->decision.outcome, DECISION_NOT_FOUND);
    place(world, BODY);
    cr_assert_eq(cancel(world, "bob")->decision.outcome, DECISION_NOT_FOUND);
    cr_assert_eq(cancel(world, "")->decision.outcome, DECISION_NOT_FOUND);
    cr_assert_eq(cancel(world, "ana")->decision.event_count, 1);
    world_free(world);
}

Test(ordering_context, given_a_confirmed_order_when_cancelled_then_it_is_a_conflict_by_name)
{
    struct world *world = new_world();
    place(world, BODY);
    world_when(world, "ordering.confirm_order", order, "saga:order_fulfilment", "{}");
    const struct world_result *result = cancel(world, "ana");
    cr_assert_eq(result->decision.outcome, DECISION_REJECTED);
    cr_assert(str_eq(result->decision.code, STR("order-not-cancellable")));
    world_free(world);
}

Test(ordering_context, given_a_bad_reason_when_cancelled_then_it_is_named)
{
    static const char *const bodies[] = {"{}", "{\"reason\":\"\"}", "{\"reason\":7}",
                                         "{\"reason\":\"  \"}"};
    struct world *world = new_world();
    place(world, BODY);
    for (size_t i = 0; i < 4; i++) {
        cr_assert(world_has_fault(
            world_when(world, "ordering.cancel_order", order, "ana", bodies[i]), "/reason"));
    }
    cr_assert(world_has_fault(
        world_when(world, "ordering.cancel_order", order, "ana", "{\"reason\":\"x\",\"extra\":1}"),
        "/extra"));
    world_free(world);
}

Test(ordering_context, given_a_customer_when_confirming_or_rejecting_then_there_is_no_such_thing)
{
    struct world *world = new_world();
    place(world, BODY);
    cr_assert_eq(world_when(world, "ordering.confirm_order", order, "ana", "{}")->decision.outcome,
                 DECISION_NOT_FOUND);
    cr_assert_eq(world_when(world, "ordering.reject_order", order, "ana",
                            "{\"code\":\"aborted\",\"detail\":\"\"}")
                     ->decision.outcome,
                 DECISION_NOT_FOUND);
    world_free(world);
}

Test(ordering_context, given_a_rejected_order_when_shown_then_it_says_why_and_when)
{
    struct world *world = new_world();
    place(world, BODY);
    world_when(world, "ordering.reject_order", order, "saga:order_fulfilment",
               "{\"code\":\"stock_short\",\"detail\":\"SKU-1 is short\",\"more\":1}");
    struct str document = world_document(world, order, STR("orders"));
    static const char end[] =
        "\"created_at\":\"2023-11-14T22:13:20.000Z\","
        "\"updated_at\":\"2023-11-14T22:13:20.001Z\","
        "\"rejection\":{\"code\":\"stock_short\",\"detail\":\"SKU-1 is short\"}}";
    cr_assert(document.len > sizeof(end));
    cr_assert_arr_eq(document.data + document.len - sizeof(end) + 1, end, sizeof(end) - 1);
    world_free(world);
}

Test(ordering_context, given_any_document_when_decoded_and_encoded_then_the_bytes_are_the_same)
{
    struct world *world = new_world();
    const struct projection *projection = context_projection(STR("orders"));
    place(world, WITH_LINES(LINE1 ",{\"sku\":\"SKU-2\",\"quantity\":1000}"));
    for (int step = 0; step < 3; step++) {
        struct str bytes = world_document(world, order, STR("orders"));
        struct buffer again;
        void *document;
        buffer_init(&again, &world->arena, 65536);
        cr_assert_eq(projection->document.decode(bytes, &world->arena, &document), STATUS_OK);
        cr_assert_eq(projection->document.encode(document, &again), STATUS_OK);
        cr_assert(str_eq(bytes, buffer_view(&again)));
        if (step == 0) {
            cancel(world, "ana");
        } else {
            world_when(world, "ordering.reject_order", order, "saga:s",
                       "{\"code\":\"timed_out\",\"detail\":\"x\"}");
        }
    }
    world_free(world);
}

Test(ordering_context, given_an_unknown_event_when_folded_then_only_the_version_moves)
{
    struct world *world = new_world();
    place(world, BODY);
    struct str state = world_state(world, order, order_category);
    world_given(world, order, order_category, "OrderGiftWrapped", "{\"paper\":\"red\"}");
    cr_assert(str_eq(state, world_state(world, order, order_category)));
    struct str document = world_document(world, order, STR("orders"));
    cr_assert_not_null(
        memmem(document.data, document.len, "\"status\":\"placed\",\"version\":2", 29));
    world_free(world);
}

Test(ordering_context, given_documents_when_indexed_then_the_customer_owns_them_by_id_and_status)
{
    struct world *world = new_world();
    const struct projection *projection = context_projection_of(order_category);
    void *document;
    struct document_index index;
    place(world, BODY);
    struct str bytes = world_document(world, order, STR("orders"));
    cr_assert_eq(projection->document.decode(bytes, &world->arena, &document), STATUS_OK);
    cr_assert_eq(projection->index(document, &world->arena, &index), STATUS_OK);
    cr_assert(str_eq(index.key, STR("018bcfe5-6800-7001-8001-020304050607")));
    cr_assert(str_eq(index.owner, STR("ana")));
    cr_assert(str_eq(index.filter, STR("placed")));
    cr_assert(str_eq(index.sort, index.key));
    cr_assert(index.listed);
    cr_assert(projection->newest_first);
    world_free(world);
}
