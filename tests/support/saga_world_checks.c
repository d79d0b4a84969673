// SPDX-License-Identifier: Apache-2.0
// What must hold in the world, always and at rest.
#include "saga_world_parts.h"

// --- what must hold

static bool last_is(const struct play *play, const char *category, const char *type)
{
    for (int i = play->row_count - 1; i >= 0; i--) {
        const struct recorded_event *row = &play->rows[i];
        if (row->kind == RECORD_EVENT && str_eq(row->category, str_from(category))) {
            return str_eq(row->type, str_from(type));
        }
    }
    return type[0] == '\0';
}

const char *world_check_always(const struct play *play)
{
    if (play->parties.captures > 1 || world_count_of(play, "PaymentCaptured") > 1) {
        return "captured twice";
    }
    if (play->parties.refunds > play->parties.captures ||
        world_count_of(play, "PaymentRefunded") > world_count_of(play, "PaymentCaptured")) {
        return "refunded more than captured";
    }
    if (world_has(play, "OrderConfirmed") &&
        (world_has(play, "OrderCancelled") || world_has(play, "OrderRejected"))) {
        return "confirmed and cancelled or rejected";
    }
    if (world_has(play, "OrderConfirmed") && world_has(play, "OrderCancelRequested")) {
        return "confirmed, although its cancellation was accepted";
    }
    int reserved = world_count_of(play, "StockReserved");
    if (reserved > 1 ||
        reserved < world_count_of(play, "StockReleased") + world_count_of(play, "StockCommitted")) {
        return "stock moved more than once";
    }
    return NULL;
}

static const char *confirmed_rest(const struct play *play)
{
    const struct saga_parties *parties = &play->parties;
    if (parties->captures != 1 || parties->refunds != 0 ||
        !last_is(play, "payment", "PaymentCaptured")) {
        return "confirmed, but not captured exactly once and kept";
    }
    if (!last_is(play, "reservation", "ReservationCommitted") ||
        world_count_of(play, "StockCommitted") != 1) {
        return "confirmed, but the reservation is not committed";
    }
    if (!parties->scheduled || !last_is(play, "shipment", "ShipmentScheduled")) {
        return "confirmed, but no shipment is scheduled";
    }
    return world_has(play, "SagaCompleted") ? NULL : "confirmed, but the saga is not complete";
}

static const char *undone_rest(const struct play *play)
{
    const struct saga_parties *parties = &play->parties;
    if (parties->authorized || last_is(play, "payment", "PaymentAuthorized") ||
        last_is(play, "payment", "PaymentCaptured")) {
        return "rejected or cancelled, but something is authorized";
    }
    if (parties->captures != parties->refunds ||
        world_count_of(play, "PaymentCaptured") != world_count_of(play, "PaymentRefunded")) {
        return "rejected or cancelled, but captured and refunded differ";
    }
    if (last_is(play, "reservation", "ReservationMade") ||
        last_is(play, "reservation", "ReservationCommitted") ||
        world_count_of(play, "StockReserved") != world_count_of(play, "StockReleased")) {
        return "rejected or cancelled, but stock is held";
    }
    if (parties->scheduled || last_is(play, "shipment", "ShipmentScheduled")) {
        return "rejected or cancelled, but a shipment goes out";
    }
    return world_has(play, "SagaCompensated") ? NULL
                                              : "rejected or cancelled, but the saga goes on";
}

const char *world_check_at_rest(const struct play *play)
{
    if (world_has(play, "OrderConfirmed")) {
        return confirmed_rest(play);
    }
    if (world_has(play, "OrderRejected") || world_has(play, "OrderCancelled")) {
        return undone_rest(play);
    }
    return "the saga has ended, the order has not";
}
