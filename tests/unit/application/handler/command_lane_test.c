// SPDX-License-Identifier: Apache-2.0
// Which lane a command goes by, with the contexts of the shop.
#include "application/handler/command_lane.h"

#include <criterion/criterion.h>

static struct arena arena;

static void set_up(void)
{
    arena_init(&arena, 4096, 1 << 20);
}

static void tear_down(void)
{
    arena_free(&arena);
}

TestSuite(command_lane, .init = set_up, .fini = tear_down);

static uint16_t lane(const char *command, unsigned char target, const char *payload)
{
    struct uuid stream = {.bytes = {target}};
    return command_lane(str_from(command), STR("main"), stream, str_from(payload), &arena);
}

#define ONE(sku) "{\"lines\":[{\"sku\":\"" sku "\",\"quantity\":1}]}"
#define TWO(sku, other) \
    "{\"lines\":[{\"sku\":\"" sku "\",\"quantity\":1},{\"sku\":\"" other "\",\"quantity\":2}]}"

Test(command_lane, given_commands_for_one_item_then_they_have_one_lane_whatever_they_do_to_it)
{
    uint16_t first = lane("inventory.reserve_reservation", 1, ONE("A"));
    cr_assert_neq(first, COMMAND_LANE_NONE);
    cr_assert_eq(lane("inventory.reserve_reservation", 2, ONE("A")), first);
    cr_assert_eq(lane("inventory.release_reservation", 3, ONE("A")), first);
    cr_assert_eq(lane("inventory.commit_reservation", 4, ONE("A")), first);
}

Test(command_lane, given_other_items_then_lanes_are_spread)
{
    bool met[8] = {false};
    size_t spread = 0;
    for (char sku = 'A'; sku <= 'Z'; sku++) {
        struct str payload =
            arena_printf(&arena, "{\"lines\":[{\"sku\":\"%c\",\"quantity\":1}]}", sku);
        uint16_t found = command_lane(STR("inventory.reserve_reservation"), STR("main"),
                                      (struct uuid){.bytes = {1}}, payload, &arena);
        spread += !met[found % 8];
        met[found % 8] = true;
    }
    cr_assert_geq(spread, 7);
}

Test(command_lane, given_several_items_then_one_of_them_decides_in_whatever_order_they_stand)
{
    uint16_t both = lane("inventory.reserve_reservation", 1, TWO("A", "B"));
    cr_assert_eq(lane("inventory.reserve_reservation", 1, TWO("B", "A")), both);
    uint16_t a = lane("inventory.reserve_reservation", 1, ONE("A"));
    uint16_t b = lane("inventory.reserve_reservation", 1, ONE("B"));
    cr_assert(both == a || both == b);
}

Test(command_lane, given_commands_that_share_no_stream_then_they_have_none)
{
    cr_assert_eq(lane("payments.void_payment", 1, "{}"), COMMAND_LANE_NONE);
    cr_assert_eq(
        lane("inventory.receive_stock_item", 1, "{\"sku\":\"A\",\"quantity\":1,\"receipt\":\"r\"}"),
        COMMAND_LANE_NONE);
}

Test(command_lane, given_what_cannot_be_read_then_it_has_none)
{
    cr_assert_eq(lane("inventory.reserve_reservation", 1, "{}"), COMMAND_LANE_NONE);
    cr_assert_eq(lane("inventory.reserve_reservation", 1, "{\"lines\":[]}"), COMMAND_LANE_NONE);
    cr_assert_eq(lane("nobody.knows_this", 1, "{}"), COMMAND_LANE_NONE);
}

// The flag and what the bodies declare are two sayings of one thing.
Test(command_lane, given_the_registry_then_only_the_commands_of_reservations_are_contended)
{
    const struct context_registry *registry = context_registry();
    for (size_t at = 0; at < registry->count; at++) {
        const struct bounded_context *context = registry->contexts[at];
        for (size_t each = 0; each < context->command_count; each++) {
            const struct command_type *type = &context->commands[each];
            cr_assert_eq(type->contended, str_eq(type->category, STR("reservation")), "%.*s",
                         STR_FMT(type->type));
        }
        cr_assert_eq(context_is_contended(context), str_eq(context->name, STR("inventory")));
    }
}
