// SPDX-License-Identifier: Apache-2.0
// Shipments under any order and any duplicates of their commands, with a carrier that may refuse or
// stay silent, while their order is confirmed or rejected: they settle, here and at the carrier.
#include <criterion/criterion.h>

#include "domain/shipping/shipment.h"
#include "support/delivery.h"

static const struct str shipments = {"shipment", 8};
static const struct uuid order_id = {{1, 2, 3, 4, 5, 6, 0x70, 7, 0x80, 9}};

struct carrier {
    struct delivery *delivery;
    bool refuses;
    bool known, scheduled, cancelled;
    int cancels_asked;
};

static struct effect_answer schedule(struct carrier *carrier)
{
    if (!carrier->known) {
        carrier->known = true;
        carrier->scheduled = !carrier->refuses && !carrier->cancelled;
    }
    return (struct effect_answer){.outcome = carrier->scheduled ? EFFECT_DONE : EFFECT_REFUSED,
                                  .code = STR("no_route"),
                                  .detail = STR("no van goes there")};
}

static struct effect_answer cancel(struct carrier *carrier)
{
    carrier->cancelled = true;
    carrier->cancels_asked++;
    return (struct effect_answer){.outcome = EFFECT_DONE};
}

static struct effect_answer perform(struct world *world, const struct effect_request *request)
{
    struct carrier *carrier = world->other_side;
    bool before = chance_percent(carrier->delivery->chance, 50);
    if (before && delivery_disturb(carrier->delivery)) {
        return (struct effect_answer){.outcome = EFFECT_NOT_ASKED};
    }
    struct effect_answer answer =
        str_eq(request->operation, STR("carrier.schedule")) ? schedule(carrier) : cancel(carrier);
    if (!before && delivery_disturb(carrier->delivery)) {
        return (struct effect_answer){.outcome = EFFECT_NOT_ASKED};
    }
    return answer;
}

static bool add_some(struct delivery *delivery, const char *command, struct uuid target,
                     const char *body, int percent)
{
    if (!chance_percent(delivery->chance, percent)) {
        return false;
    }
    for (uint64_t copies = 1 + chance_below(delivery->chance, 3); copies > 0; copies--) {
        delivery_add(delivery, command, target, "saga:s", body);
    }
    return true;
}

static void given_an_order(struct world *world, bool confirmed)
{
    world_given(world, order_id, STR("order"), "OrderPlaced", "{\"customer\":\"ana\"}");
    if (confirmed) {
        world_given(world, order_id, STR("order"), "OrderConfirmed", "{}");
    }
}

#define SCHEDULE                                                           \
    "{\"ship_to\":{\"name\":\"Ana\",\"street\":\"Rua A\",\"city\":\"SP\"," \
    "\"postal_code\":\"01310-100\",\"country\":\"BR\"}}"
#define DISPATCH "{\"order_id\":\"01020304-0506-7007-8009-000000000000\"}"

static void assert_settled(struct world *world, const struct uuid id, const struct carrier *carrier,
                           bool cancelled, bool confirmed, uint64_t seed)
{
    const struct shipment *shipment = world_stream(world, id, shipments)->state;
    bool left = world_count(world, id, shipments, "ShipmentDispatched") > 0;
    bool called_off = world_count(world, id, shipments, "ShipmentCancelled") > 0;
    cr_assert(!left || confirmed, "seed %lu: left before the order was confirmed", seed);
    cr_assert(!left || !called_off, "seed %lu: dispatched and cancelled", seed);
    if (cancelled && !left) {
        cr_assert(carrier->cancelled, "seed %lu", seed);
        cr_assert(shipment->status == SHIPMENT_CANCELLED || shipment->status == SHIPMENT_REFUSED,
                  "seed %lu: status %d", seed, shipment->status);
    }
    if (!cancelled) {
        bool held = shipment->status == SHIPMENT_SCHEDULED ||
                    shipment->status == SHIPMENT_DISPATCHED ||
                    shipment->status == SHIPMENT_DELIVERED;
        cr_assert_eq(held, carrier->scheduled, "seed %lu", seed);
    }
}

// Cancel and dispatch do not meet on a confirmed order, so each world has one of them at most where
// the carrier's side is looked at; where both are, the first wins.
static void settle_once(struct chance *chance)
{
    struct world world;
    struct uuid id = uuid_derive(order_id, STR("shipment"));
    struct delivery delivery = {.world = &world, .chance = chance};
    struct carrier carrier = {.delivery = &delivery, .refuses = chance_percent(chance, 20)};
    bool confirmed = chance_percent(chance, 50);
    world_init(&world);
    world.perform = perform;
    world.other_side = &carrier;
    given_an_order(&world, confirmed);
    add_some(&delivery, "shipping.schedule_shipment", id, SCHEDULE, 90);
    bool cancelled = add_some(&delivery, "shipping.cancel_shipment", id, "{}", 50);
    add_some(&delivery, "shipping.dispatch_shipment", id, DISPATCH, 50);
    add_some(&delivery, "shipping.deliver_shipment", id, "{}", 30);
    if (delivery.count > 0) {
        delivery_run(&delivery);
        assert_settled(&world, id, &carrier, cancelled, confirmed, chance->seed);
        int version = world_stream(&world, id, shipments)->version;
        cr_assert_leq(version, 4); // each event at most once
        (void)delivery_repeat(&delivery);
        cr_assert(!cancelled || world_stream(&world, id, shipments)->version <= version + 1);
        assert_settled(&world, id, &carrier, cancelled, confirmed, chance->seed);
        cr_assert(world_folds_alike(&world, world_stream(&world, id, shipments)));
    }
    world_free(&world);
}

Test(shipping_property, given_any_order_and_duplicates_when_all_is_delivered_then_shipments_settle)
{
    struct chance chance = chance_begin("shipping_property");
    for (int round = 0; round < 1500; round++) {
        settle_once(&chance);
    }
}
