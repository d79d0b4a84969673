// SPDX-License-Identifier: Apache-2.0
// Several reservations and receipts on the same few stock items, in any order and with any
// duplicates: stock is never negative, always adds up, and what is released is not held.
#include <criterion/criterion.h>
#include <stdio.h>

#include "domain/inventory/reservation.h"
#include "domain/inventory/stock_item.h"
#include "support/delivery.h"

enum { SKUS = 3, RESERVATIONS = 4 };

static const struct str reservations = {"reservation", 11};
static const struct str stock_items = {"stock_item", 10};

struct shelf {
    struct world world;
    struct delivery delivery;
    char lines[RESERVATIONS][160];
    bool releases[RESERVATIONS], commits[RESERVATIONS];
    char receipts[SKUS][80];
};

static struct uuid reservation_id(int index)
{
    return (struct uuid){{1, 2, 3, 4, 5, 6, 0x80, (unsigned char)index, 0x80}};
}

static struct uuid item_id(const struct world *world, int index)
{
    char sku[2] = {'A', (char)('0' + index)};
    return uuid_named(world->tenant, stock_items, (struct str){sku, 2});
}

// What reservations in this status hold of a SKU.
static int64_t held(struct world *world, enum reservation_status status, int sku)
{
    int64_t sum = 0;
    for (int i = 0; i < RESERVATIONS; i++) {
        const struct reservation *reservation =
            world_stream(world, reservation_id(i), reservations)->state;
        for (size_t j = 0; j < reservation->lines.count && reservation->status == status; j++) {
            const struct line *line = &reservation->lines.items[j];
            sum += line->sku.data[1] == '0' + sku ? line->quantity : 0;
        }
    }
    return sum;
}

static void check_shelf(void *state)
{
    struct shelf *shelf = state;
    for (int sku = 0; sku < SKUS; sku++) {
        const struct stock_item *item =
            world_stream(&shelf->world, item_id(&shelf->world, sku), stock_items)->state;
        cr_assert(item->on_hand >= 0 && item->reserved >= 0 && item->committed >= 0);
        cr_assert_eq(item->received, item->on_hand + item->reserved + item->committed);
        cr_assert_eq(item->reserved, held(&shelf->world, RESERVATION_MADE, sku));
        cr_assert_eq(item->committed, held(&shelf->world, RESERVATION_COMMITTED, sku));
    }
}

static bool add_some(struct delivery *delivery, const char *command, struct uuid target,
                     const char *body, int percent)
{
    if (!chance_percent(delivery->chance, percent)) {
        return false;
    }
    for (uint64_t copies = 1 + chance_below(delivery->chance, 2); copies > 0; copies--) {
        delivery_add(delivery, command, target, "saga:s", body);
    }
    return true;
}

static void write_lines(struct chance *chance, char *text, size_t size)
{
    size_t at = (size_t)snprintf(text, size, "{\"lines\":[");
    uint64_t mask = 1 + chance_below(chance, (1 << SKUS) - 1); // at least one of them
    bool first = true;
    for (int sku = 0; sku < SKUS; sku++) {
        if ((mask >> sku & 1) != 0) {
            at += (size_t)snprintf(text + at, size - at, "%s{\"sku\":\"A%d\",\"quantity\":%d}",
                                   first ? "" : ",", sku, (int)(1 + chance_below(chance, 6)));
            first = false;
        }
    }
    snprintf(text + at, size - at, "]}");
}

static void fill(struct shelf *shelf, struct chance *chance)
{
    for (int i = 0; i < RESERVATIONS; i++) {
        struct uuid id = reservation_id(i);
        write_lines(chance, shelf->lines[i], sizeof(shelf->lines[i]));
        add_some(&shelf->delivery, "inventory.reserve_reservation", id, shelf->lines[i], 95);
        shelf->releases[i] =
            add_some(&shelf->delivery, "inventory.release_reservation", id, shelf->lines[i], 40);
        shelf->commits[i] =
            add_some(&shelf->delivery, "inventory.commit_reservation", id, shelf->lines[i], 40);
    }
    for (int sku = 0; sku < SKUS; sku++) {
        snprintf(shelf->receipts[sku], sizeof(shelf->receipts[sku]),
                 "{\"sku\":\"A%d\",\"quantity\":%d,\"receipt\":\"r\"}", sku,
                 (int)(1 + chance_below(chance, 10)));
        delivery_add(&shelf->delivery, "inventory.receive_stock_item", item_id(&shelf->world, sku),
                     "operator", shelf->receipts[sku]);
    }
}

static void settle_once(struct chance *chance)
{
    static struct shelf shelf;
    shelf = (struct shelf){
        .delivery = {
            .world = &shelf.world, .chance = chance, .check = check_shelf, .state = &shelf}};
    world_init(&shelf.world);
    fill(&shelf, chance);
    delivery_run(&shelf.delivery);
    for (int i = 0; i < RESERVATIONS; i++) {
        struct uuid id = reservation_id(i);
        const struct world_stream *stream = world_stream(&shelf.world, id, reservations);
        const struct reservation *reservation = stream->state;
        cr_assert(!shelf.releases[i] || reservation->status != RESERVATION_MADE, "seed %lu",
                  chance->seed);
        cr_assert_leq(world_count(&shelf.world, id, reservations, "ReservationReleased") +
                          world_count(&shelf.world, id, reservations, "ReservationCommitted"),
                      1, "seed %lu", chance->seed);
        cr_assert(world_folds_alike(&shelf.world, stream));
    }
    for (int sku = 0; sku < SKUS; sku++) {
        struct uuid id = item_id(&shelf.world, sku);
        cr_assert(world_folds_alike(&shelf.world, world_stream(&shelf.world, id, stock_items)));
    }
    world_free(&shelf.world);
}

Test(inventory_property, given_any_order_and_duplicates_when_all_is_delivered_then_stock_adds_up)
{
    struct chance chance = chance_begin("inventory_property");
    for (int round = 0; round < 500; round++) {
        settle_once(&chance);
    }
}
