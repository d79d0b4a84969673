// SPDX-License-Identifier: Apache-2.0
// Inventory through the seam: one append for a reservation and all its stock items.
#include <criterion/criterion.h>
#include <stdio.h>

#include "domain/bounded_context.h"
#include "domain/inventory/stock_item.h"
#include "domain/values/line.h"
#include "support/world.h"

static const struct str reservations = {"reservation", 11};
static const struct str stock_items = {"stock_item", 10};
static const struct uuid reservation = {{1, 2, 3, 4, 5, 6, 0x80, 7, 0x80, 9}};
static struct world world;

#define LINES "{\"lines\":[{\"sku\":\"A\",\"quantity\":2},{\"sku\":\"B\",\"quantity\":3}]}"

static struct uuid item(const char *sku)
{
    return uuid_named(world.tenant, stock_items, str_from(sku));
}

static const struct world_result *receive(const char *sku, int quantity)
{
    char body[128];
    snprintf(body, sizeof(body), "{\"sku\":\"%s\",\"quantity\":%d,\"receipt\":\"load 1\"}", sku,
             quantity);
    return world_when(&world, "inventory.receive_stock_item", item(sku), "operator", body);
}

static const struct world_result *when(const char *command, const char *body)
{
    return world_when(&world, command, reservation, "saga:order_fulfilment", body);
}

static void begin(void)
{
    world_init(&world);
    receive("A", 5);
    receive("B", 5);
}

static void end(void)
{
    world_free(&world);
}

TestSuite(inventory_context, .init = begin, .fini = end);

static void assert_stock(const char *sku, const char *expected)
{
    struct str state = world_state(&world, item(sku), stock_items);
    cr_assert(str_eq(state, str_from(expected)), "%.*s", STR_FMT(state));
}

Test(inventory_context, given_enough_stock_when_reserved_then_each_item_moves_with_it)
{
    const struct world_result *result = when("inventory.reserve_reservation", LINES);
    cr_assert_eq(result->decision.outcome, DECISION_ACCEPTED);
    cr_assert_eq(result->streams.count, 3);
    cr_assert(uuid_eq(result->streams.items[0].id, reservation));
    cr_assert(uuid_eq(result->streams.items[2].id, item("B")));
    cr_assert_eq(result->decision.event_count, 3);
    assert_stock("A", "{\"received\":5,\"on_hand\":3,\"reserved\":2,\"committed\":0}");
    assert_stock("B", "{\"received\":5,\"on_hand\":2,\"reserved\":3,\"committed\":0}");
    cr_assert(
        str_eq(world_stream(&world, item("A"), stock_items)->last->view.data,
               STR("{\"quantity\":2,\"reservation\":\"01020304-0506-8007-8009-000000000000\"}")));
}

Test(inventory_context, given_one_item_short_when_reserved_then_nothing_moves_and_it_is_remembered)
{
    receive("C", 1);
    const char *body =
        "{\"lines\":[{\"sku\":\"A\",\"quantity\":1},{\"sku\":\"C\",\"quantity\":2}]}";
    const struct world_result *result = when("inventory.reserve_reservation", body);
    cr_assert_eq(result->decision.outcome, DECISION_REJECTED);
    cr_assert(str_eq(result->decision.code, STR("stock_short")));
    cr_assert(str_eq(result->decision.detail, STR("there is not enough of C")));
    cr_assert_eq(result->decision.event_count, 1);
    assert_stock("A", "{\"received\":5,\"on_hand\":5,\"reserved\":0,\"committed\":0}");
    receive("C", 10); // too late: the answer stays no
    const struct world_result *again = when("inventory.reserve_reservation", body);
    cr_assert(str_eq(again->decision.code, STR("stock_short")));
    cr_assert(str_eq(again->decision.detail, result->decision.detail));
    cr_assert_eq(again->decision.event_count, 0);
}

Test(inventory_context, given_a_sku_that_never_came_when_reserved_then_it_is_short)
{
    cr_assert(str_eq(
        when("inventory.reserve_reservation", "{\"lines\":[{\"sku\":\"NONE\",\"quantity\":1}]}")
            ->decision.code,
        STR("stock_short")));
}

Test(inventory_context, given_a_reservation_when_committed_then_the_stock_is_gone)
{
    when("inventory.reserve_reservation", LINES);
    cr_assert_eq(when("inventory.commit_reservation", LINES)->decision.event_count, 3);
    assert_stock("A", "{\"received\":5,\"on_hand\":3,\"reserved\":0,\"committed\":2}");
    cr_assert_eq(when("inventory.commit_reservation", LINES)->decision.event_count, 0);
    const struct world_result *late = when("inventory.release_reservation", LINES);
    cr_assert(str_eq(late->decision.code, STR("reservation_committed")));
}

Test(inventory_context, given_a_reservation_when_released_then_the_stock_is_back_once)
{
    when("inventory.reserve_reservation", LINES);
    when("inventory.release_reservation", LINES);
    when("inventory.release_reservation", LINES);
    assert_stock("A", "{\"received\":5,\"on_hand\":5,\"reserved\":0,\"committed\":0}");
    cr_assert(str_eq(when("inventory.commit_reservation", LINES)->decision.code,
                     STR("reservation_released")));
}

Test(inventory_context, given_a_release_that_comes_first_when_reserved_then_nothing_is_held)
{
    cr_assert_eq(when("inventory.release_reservation", LINES)->decision.event_count, 1);
    cr_assert(str_eq(when("inventory.reserve_reservation", LINES)->decision.code,
                     STR("reservation_released")));
    assert_stock("A", "{\"received\":5,\"on_hand\":5,\"reserved\":0,\"committed\":0}");
}

Test(inventory_context, given_other_lines_when_committed_then_it_refuses)
{
    when("inventory.reserve_reservation", LINES);
    cr_assert(
        str_eq(when("inventory.commit_reservation", "{\"lines\":[{\"sku\":\"A\",\"quantity\":2}]}")
                   ->decision.code,
               STR("reservation_lines_differ")));
    cr_assert(
        str_eq(when("inventory.commit_reservation",
                    "{\"lines\":[{\"sku\":\"C\",\"quantity\":2},{\"sku\":\"B\",\"quantity\":3}]}")
                   ->decision.code,
               STR("reservation_lines_differ")));
}

Test(inventory_context, given_lines_of_an_event_when_reserved_then_what_more_they_say_is_ignored)
{
    cr_assert_eq(when("inventory.reserve_reservation",
                      "{\"lines\":[{\"sku\":\"A\",\"quantity\":2,\"unit_price\":1,\"total\":2}],"
                      "\"other\":true}")
                     ->decision.outcome,
                 DECISION_ACCEPTED);
}

Test(inventory_context, given_fifty_lines_when_reserved_then_all_fit_one_append)
{
    char body[4096];
    size_t at = (size_t)snprintf(body, sizeof(body), "{\"lines\":[");
    for (int i = 0; i < LINES_MAX; i++) {
        char sku[8];
        snprintf(sku, sizeof(sku), "L%d", i);
        receive(sku, 1);
        at += (size_t)snprintf(body + at, sizeof(body) - at, "%s{\"sku\":\"%s\",\"quantity\":1}",
                               i == 0 ? "" : ",", sku);
    }
    snprintf(body + at, sizeof(body) - at, "]}");
    const struct world_result *result = when("inventory.reserve_reservation", body);
    cr_assert_eq(result->decision.event_count, LINES_MAX + 1);
    cr_assert(world_folds_alike(&world, world_stream(&world, reservation, reservations)));
}

Test(inventory_context, given_stock_when_received_then_the_event_says_what_and_by_which_receipt)
{
    cr_assert(str_eq(world_stream(&world, item("A"), stock_items)->last->view.data,
                     STR("{\"sku\":\"A\",\"quantity\":5,\"receipt\":\"load 1\","
                         "\"received_at\":\"2023-11-14T22:13:20.000Z\"}")));
}

Test(inventory_context, given_a_bad_receipt_when_received_then_it_is_named)
{
    cr_assert(world_has_fault(receive("A", 0), "/quantity"));
    cr_assert(world_has_fault(receive("A", RECEIPT_QUANTITY_MAX + 1), "/quantity"));
    cr_assert(world_has_fault(world_when(&world, "inventory.receive_stock_item", item("B"), "o",
                                         "{\"sku\":\"A\",\"quantity\":1,\"receipt\":\"r\"}"),
                              "/sku"));
    cr_assert(
        world_has_fault(world_when(&world, "inventory.receive_stock_item", item("A"), "o",
                                   "{\"sku\":\"A\",\"quantity\":1,\"receipt\":\"r\",\"x\":1}"),
                        "/x"));
}

Test(inventory_context, given_a_number_near_its_end_when_received_then_it_does_not_pass_it)
{
    world_given(&world, item("Z"), stock_items, "StockReceived", "{\"quantity\":9007199254740990}");
    cr_assert_eq(receive("Z", 1)->decision.outcome, DECISION_ACCEPTED);
    cr_assert(world_has_fault(receive("Z", 1), "/quantity"));
}

Test(inventory_context, given_many_events_when_folded_then_the_state_takes_no_more_memory)
{
    const struct aggregate *aggregate = context_aggregate(stock_items);
    struct event_view event = {.type = STR("StockReceived"), .data = STR("{\"quantity\":1}")};
    void *state = aggregate->state.initial(&world.arena);
    size_t used = world.arena.used;
    for (int i = 0; i < 100000; i++) {
        cr_assert_eq(aggregate->state.evolve(state, &event, &world.arena), STATUS_OK);
    }
    cr_assert_eq(world.arena.used, used);
}

Test(inventory_context, given_an_unknown_event_when_folded_then_the_state_stays)
{
    when("inventory.reserve_reservation", LINES);
    struct str before = world_state(&world, item("A"), stock_items);
    struct str held = world_state(&world, reservation, reservations);
    world_given(&world, item("A"), stock_items, "StockCounted", "{\"quantity\":9}");
    world_given(&world, reservation, reservations, "ReservationExtended", "{}");
    cr_assert(str_eq(before, world_state(&world, item("A"), stock_items)));
    cr_assert(str_eq(held, world_state(&world, reservation, reservations)));
}
