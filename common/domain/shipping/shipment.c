// SPDX-License-Identifier: Apache-2.0
// A shipment as a decider: what may be asked of the carrier, and what has become of the parcel.
#include "domain/shipping/shipment.h"

static struct shipment_decision accept_nothing_new(void)
{
    return (struct shipment_decision){.refusal = SHIPMENT_ACCEPTED};
}

static struct shipment_decision accept(struct shipment_event event)
{
    return (struct shipment_decision){
        .refusal = SHIPMENT_ACCEPTED, .event_count = 1, .events = {event}};
}

static struct shipment_decision refuse(enum shipment_refusal refusal)
{
    return (struct shipment_decision){.refusal = refusal};
}

static struct shipment_decision refuse_with(enum shipment_refusal refusal, struct str detail)
{
    return (struct shipment_decision){.refusal = refusal, .detail = detail};
}

bool shipment_schedule_asks(const struct shipment *shipment)
{
    return shipment->status == SHIPMENT_NONE;
}

bool shipment_cancel_asks(const struct shipment *shipment)
{
    return shipment->status != SHIPMENT_DISPATCHED && shipment->status != SHIPMENT_DELIVERED;
}

static struct shipment_decision schedule_first_time(const struct address *ship_to,
                                                    const struct carrier_answer *answer)
{
    if (!answer->asked) {
        return refuse(SHIPMENT_WANTS_CARRIER_FIRST);
    }
    if (answer->done) {
        return accept(
            (struct shipment_event){.type = SHIPMENT_EVENT_SCHEDULED, .ship_to = ship_to});
    }
    struct shipment_decision decision = refuse_with(SHIPMENT_IS_REFUSED, answer->detail);
    decision.event_count = 1;
    decision.events[0] = (struct shipment_event){
        .type = SHIPMENT_EVENT_REFUSED, .code = answer->code, .detail = answer->detail};
    return decision;
}

struct shipment_decision shipment_schedule(const struct shipment *shipment,
                                           const struct address *ship_to,
                                           const struct carrier_answer *answer)
{
    switch (shipment->status) {
    case SHIPMENT_NONE:
        return schedule_first_time(ship_to, answer);
    case SHIPMENT_SCHEDULED:
        return accept_nothing_new();
    case SHIPMENT_REFUSED:
        return refuse_with(SHIPMENT_IS_REFUSED, shipment->refusal_detail);
    case SHIPMENT_CANCELLED:
        return refuse(SHIPMENT_IS_CANCELLED);
    case SHIPMENT_DISPATCHED:
    case SHIPMENT_DELIVERED:
        break;
    }
    return refuse(SHIPMENT_IS_DISPATCHED);
}

struct shipment_decision shipment_cancel(const struct shipment *shipment,
                                         const struct carrier_answer *answer)
{
    if (!shipment_cancel_asks(shipment)) {
        return refuse(SHIPMENT_IS_DISPATCHED);
    }
    if (!answer->asked) {
        return refuse(SHIPMENT_WANTS_CARRIER_FIRST);
    }
    if (!answer->done) {
        return refuse_with(SHIPMENT_CANCEL_REFUSED, answer->detail);
    }
    bool ended = shipment->status == SHIPMENT_REFUSED || shipment->status == SHIPMENT_CANCELLED;
    return ended ? accept_nothing_new()
                 : accept((struct shipment_event){.type = SHIPMENT_EVENT_CANCELLED});
}

struct shipment_decision shipment_dispatch(const struct shipment *shipment, bool order_confirmed)
{
    switch (shipment->status) {
    case SHIPMENT_SCHEDULED:
        return order_confirmed ? accept((struct shipment_event){.type = SHIPMENT_EVENT_DISPATCHED})
                               : refuse(SHIPMENT_ORDER_NOT_CONFIRMED);
    case SHIPMENT_DISPATCHED:
    case SHIPMENT_DELIVERED:
        return accept_nothing_new();
    case SHIPMENT_CANCELLED:
        return refuse(SHIPMENT_IS_CANCELLED);
    case SHIPMENT_NONE:
    case SHIPMENT_REFUSED:
        break;
    }
    return refuse(SHIPMENT_NOT_SCHEDULED);
}

struct shipment_decision shipment_deliver(const struct shipment *shipment)
{
    switch (shipment->status) {
    case SHIPMENT_DISPATCHED:
        return accept((struct shipment_event){.type = SHIPMENT_EVENT_DELIVERED});
    case SHIPMENT_DELIVERED:
        return accept_nothing_new();
    case SHIPMENT_NONE:
    case SHIPMENT_SCHEDULED:
    case SHIPMENT_REFUSED:
    case SHIPMENT_CANCELLED:
        break;
    }
    return refuse(SHIPMENT_NOT_DISPATCHED);
}

struct shipment shipment_evolve(struct shipment shipment, const struct shipment_event *event)
{
    switch (event->type) {
    case SHIPMENT_EVENT_SCHEDULED:
        shipment.status = SHIPMENT_SCHEDULED;
        break;
    case SHIPMENT_EVENT_REFUSED:
        shipment.status = SHIPMENT_REFUSED;
        shipment.refusal_detail = event->detail;
        break;
    case SHIPMENT_EVENT_CANCELLED:
        shipment.status = SHIPMENT_CANCELLED;
        break;
    case SHIPMENT_EVENT_DISPATCHED:
        shipment.status = SHIPMENT_DISPATCHED;
        break;
    case SHIPMENT_EVENT_DELIVERED:
        shipment.status = SHIPMENT_DELIVERED;
        break;
    }
    return shipment;
}
