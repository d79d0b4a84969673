// SPDX-License-Identifier: Apache-2.0
// Shipments through the seam: what is asked of the carrier, and whose order must be confirmed.
#include <criterion/criterion.h>

#include "domain/bounded_context.h"
#include "support/world.h"

static const struct str shipments = {"shipment", 8};
static const struct uuid order = {{1, 2, 3, 4, 5, 6, 0x70, 7, 0x80, 9}};
static struct world world;
static struct uuid shipment;
static struct str id; // of the shipment, as text

#define ADDRESS                                                                             \
    "{\"name\":\"Ana\",\"street\":\"Rua A\",\"city\":\"SP\",\"postal_code\":\"01310-100\"," \
    "\"country\":\"BR\"}"
#define SCHEDULE "{\"ship_to\":" ADDRESS "}"
#define DISPATCH "{\"order_id\":\"01020304-0506-7007-8009-000000000000\"}"

static void begin(void)
{
    static char text[UUID_TEXT_LEN];
    world_init(&world);
    shipment = uuid_derive(order, STR("shipment"));
    uuid_format(shipment, text);
    id = (struct str){text, UUID_TEXT_LEN};
}

static void end(void)
{
    world_free(&world);
}

TestSuite(shipping_context, .init = begin, .fini = end);

static struct effect_answer refuse(struct world *of, const struct effect_request *request)
{
    (void)of;
    (void)request;
    return (struct effect_answer){
        .outcome = EFFECT_REFUSED, .code = STR("no_route"), .detail = STR("no van goes there")};
}

static const struct world_result *when(const char *command, const char *body)
{
    return world_when(&world, command, shipment, "saga:order_fulfilment", body);
}

static void given_an_order(const char *then)
{
    world_given(&world, order, STR("order"), "OrderPlaced", "{\"customer\":\"ana\"}");
    if (then != NULL) {
        world_given(&world, order, STR("order"), then, "{}");
    }
}

Test(shipping_context, given_no_shipment_when_scheduled_then_the_carrier_is_asked_under_its_key)
{
    const struct world_result *result = when("shipping.schedule_shipment", SCHEDULE);
    struct str key = arena_printf(&world.arena, "%.*s:schedule", STR_FMT(id));
    struct str body = arena_printf(
        &world.arena, "{\"shipment\":\"%.*s\",\"country\":\"BR\",\"postal_code\":\"01310-100\"}",
        STR_FMT(id));
    cr_assert(str_eq(result->request.operation, STR("carrier.schedule")));
    cr_assert(str_eq(result->request.key, key));
    cr_assert(str_eq(result->request.body, body));
    cr_assert(
        str_eq(world_stream(&world, shipment, shipments)->last->view.data,
               STR("{\"ship_to\":" ADDRESS ",\"scheduled_at\":\"2023-11-14T22:13:20.000Z\"}")));
    cr_assert(!when("shipping.schedule_shipment", SCHEDULE)->asked);
}

Test(shipping_context, given_a_carrier_that_refuses_when_scheduled_then_it_is_remembered)
{
    world.perform = refuse;
    const struct world_result *first = when("shipping.schedule_shipment", SCHEDULE);
    cr_assert(str_eq(first->decision.code, STR("shipment_refused")));
    cr_assert_eq(first->decision.event_count, 1);
    const struct world_result *again = when("shipping.schedule_shipment", SCHEDULE);
    cr_assert(!again->asked);
    cr_assert(str_eq(again->decision.code, first->decision.code));
    cr_assert(str_eq(again->decision.detail, first->decision.detail));
    cr_assert(str_eq(world_state(&world, shipment, shipments),
                     STR("{\"status\":\"refused\",\"refusal_detail\":\"no van goes there\"}")));
}

Test(shipping_context,
     given_nothing_known_when_cancelled_then_the_carrier_is_asked_and_a_tombstone_stays)
{
    const struct world_result *result = when("shipping.cancel_shipment", "{}");
    cr_assert(str_eq(result->request.operation, STR("carrier.cancel")));
    cr_assert(str_eq(result->request.key, arena_printf(&world.arena, "%.*s:cancel", STR_FMT(id))));
    cr_assert_eq(result->decision.event_count, 1);
    cr_assert(str_eq(when("shipping.schedule_shipment", SCHEDULE)->decision.code,
                     STR("shipment_cancelled")));
    const struct world_result *again = when("shipping.cancel_shipment", "{}");
    cr_assert(again->asked);
    cr_assert_eq(again->decision.outcome, DECISION_ACCEPTED);
    cr_assert_eq(again->decision.event_count, 0);
}

Test(shipping_context, given_a_confirmed_order_when_dispatched_then_the_parcel_leaves_and_arrives)
{
    given_an_order("OrderConfirmed");
    when("shipping.schedule_shipment", SCHEDULE);
    const struct world_result *result = when("shipping.dispatch_shipment", DISPATCH);
    cr_assert_eq(result->decision.outcome, DECISION_ACCEPTED);
    cr_assert_eq(result->streams.items[1].use, STREAM_READ);
    cr_assert(str_eq(result->streams.items[1].category, STR("order")));
    const struct world_result *late = when("shipping.cancel_shipment", "{}");
    cr_assert(!late->asked);
    cr_assert(str_eq(late->decision.code, STR("shipment_dispatched")));
    cr_assert_eq(when("shipping.deliver_shipment", "{}")->decision.event_count, 1);
    cr_assert_eq(when("shipping.deliver_shipment", "{}")->decision.event_count, 0);
}

Test(shipping_context, given_an_order_that_is_not_confirmed_when_dispatched_then_it_refuses)
{
    static const char *const statuses[] = {NULL, "OrderCancelRequested", "OrderCancelled",
                                           "OrderRejected"};
    when("shipping.schedule_shipment", SCHEDULE);
    cr_assert(str_eq(when("shipping.dispatch_shipment", DISPATCH)->decision.code,
                     STR("order_not_confirmed"))); // there is no such order
    for (int i = 0; i < 4; i++) {
        given_an_order(statuses[i]);
        cr_assert(str_eq(when("shipping.dispatch_shipment", DISPATCH)->decision.code,
                         STR("order_not_confirmed")));
    }
}

Test(shipping_context, given_another_order_when_dispatched_then_it_is_named)
{
    when("shipping.schedule_shipment", SCHEDULE);
    cr_assert(world_has_fault(when("shipping.dispatch_shipment",
                                   "{\"order_id\":\"01020304-0506-7007-8009-000000000001\"}"),
                              "/order_id"));
    cr_assert(
        world_has_fault(when("shipping.dispatch_shipment", "{\"order_id\":\"7\"}"), "/order_id"));
    cr_assert(world_has_fault(when("shipping.dispatch_shipment", "{}"), "/order_id"));
}

Test(shipping_context, given_a_carrier_that_refuses_a_cancel_then_it_is_rejected_without_an_event)
{
    when("shipping.schedule_shipment", SCHEDULE);
    world.perform = refuse;
    const struct world_result *result = when("shipping.cancel_shipment", "{}");
    cr_assert(str_eq(result->decision.code, STR("shipment_cancel_refused")));
    cr_assert_eq(result->decision.event_count, 0);
}

Test(shipping_context, given_nothing_dispatched_when_delivered_then_it_refuses)
{
    cr_assert(str_eq(when("shipping.deliver_shipment", "{}")->decision.code,
                     STR("shipment_not_dispatched")));
    given_an_order("OrderConfirmed");
    cr_assert(str_eq(when("shipping.dispatch_shipment", DISPATCH)->decision.code,
                     STR("shipment_not_scheduled")));
}

Test(shipping_context, given_a_bad_address_when_scheduled_then_it_is_named)
{
    const struct world_result *result = when("shipping.schedule_shipment", "{\"ship_to\":{}}");
    cr_assert_eq(result->faults.total, 5);
    cr_assert(world_has_fault(when("shipping.schedule_shipment", "{}"), "/ship_to"));
}

Test(shipping_context, given_an_unknown_event_when_folded_then_the_state_stays)
{
    when("shipping.schedule_shipment", SCHEDULE);
    struct str before = world_state(&world, shipment, shipments);
    world_given(&world, shipment, shipments, "ShipmentDelayed", "{}");
    cr_assert(str_eq(before, world_state(&world, shipment, shipments)));
}
