// SPDX-License-Identifier: Apache-2.0
// Orders under any order and any duplicates of their commands: of confirm and cancel the first
// wins, an end is an end, and totals never overflow.
#include <criterion/criterion.h>

#include "domain/ordering/order.h"
#include "support/delivery.h"

static const struct str category = {"order", 5};
static const struct uuid order_id = {{1, 2, 3, 4, 5, 6, 0x70, 7, 0x80, 9}};

static int count(struct world *world, const char *type)
{
    return world_count(world, order_id, category, type);
}

// The first of the events that exclude each other.
static const char *first_of(struct world *world, const char *one, const char *other)
{
    const struct world_stream *stream = world_stream(world, order_id, category);
    for (const struct world_event *event = stream->first; event != NULL; event = event->next) {
        if (str_eq(event->view.type, str_from(one))) {
            return one;
        }
        if (str_eq(event->view.type, str_from(other))) {
            return other;
        }
    }
    return NULL;
}

static void check_ends(void *state)
{
    struct world *world = state;
    cr_assert_leq(count(world, "OrderConfirmed") + count(world, "OrderRejected") +
                      count(world, "OrderCancelled"),
                  1);
    cr_assert_leq(count(world, "OrderCancelRequested"), 1);
    cr_assert_leq(count(world, "OrderConfirmed") + count(world, "OrderCancelRequested"), 1);
}

static bool add_some(struct delivery *delivery, const char *command, const char *actor,
                     const char *body)
{
    uint64_t copies = chance_below(delivery->chance, 4);
    for (uint64_t i = 0; i < copies; i++) {
        delivery_add(delivery, command, order_id, actor, body);
    }
    return copies > 0;
}

static void settle_once(struct chance *chance)
{
    struct world world;
    struct delivery delivery = {
        .world = &world, .chance = chance, .check = check_ends, .state = &world};
    world_init(&world);
    world_given(&world, order_id, category, "OrderPlaced",
                "{\"customer\":\"ana\",\"placed_at\":\"2026-11-24T00:00:00.000Z\"}");
    bool cancels = add_some(&delivery, "ordering.cancel_order", "ana", "{\"reason\":\"x\"}");
    bool confirms = add_some(&delivery, "ordering.confirm_order", "saga:s", "{}");
    bool rejects = add_some(&delivery, "ordering.reject_order", "saga:s",
                            "{\"code\":\"timed_out\",\"detail\":\"\"}");
    if (delivery.count > 0) {
        delivery_run(&delivery);
        const char *winner = first_of(&world, "OrderConfirmed", "OrderCancelRequested");
        const struct order *order = world_stream(&world, order_id, category)->state;
        cr_assert_eq(delivery_repeat(&delivery), 0, "seed %lu", chance->seed);
        cr_assert(!cancels || !confirms || rejects || winner != NULL);
        cr_assert(!rejects || order->status == ORDER_CONFIRMED || order->status == ORDER_REJECTED ||
                  order->status == ORDER_CANCELLED);
        cr_assert_eq(winner != NULL && str_eq(str_from(winner), STR("OrderConfirmed")),
                     order->status == ORDER_CONFIRMED, "seed %lu", chance->seed);
        cr_assert(world_folds_alike(&world, world_stream(&world, order_id, category)));
    }
    world_free(&world);
}

Test(ordering_property, given_any_order_and_duplicates_when_all_is_delivered_then_the_first_wins)
{
    struct chance chance = chance_begin("ordering_property");
    for (int round = 0; round < 1500; round++) {
        settle_once(&chance);
    }
}

// Mostly small, sometimes near where numbers end.
static int64_t any_price(struct chance *chance)
{
    int64_t most = MONEY_AMOUNT_MAX >> chance_below(chance, 53);
    return 1 + (int64_t)chance_below(chance, (uint64_t)most);
}

Test(ordering_property, given_any_prices_when_placed_then_the_total_is_exact_or_refused)
{
    static const char skus[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    struct chance chance = chance_begin("ordering_property totals");
    for (int round = 0; round < 20000; round++) {
        struct place_order command = {.currency = {"BRL"}};
        struct offer offers[LINES_MAX];
        struct order_pricing pricing;
        __int128 exact = 0;
        command.lines.count = 1 + chance_below(&chance, LINES_MAX);
        for (size_t i = 0; i < command.lines.count; i++) {
            int32_t quantity = (int32_t)(1 + chance_below(&chance, 1000));
            offers[i] = (struct offer){true, {any_price(&chance), {"BRL"}}};
            command.lines.items[i] = (struct line){{skus + i, 1}, quantity};
            exact += (__int128)offers[i].price.amount * quantity;
        }
        order_place(&command, offers, STR("ana"), &pricing);
        cr_assert_eq(pricing.accepted, exact <= MONEY_AMOUNT_MAX, "seed %lu", chance.seed);
        cr_assert(!pricing.accepted || pricing.placed.total.amount == (int64_t)exact);
    }
}
