// SPDX-License-Identifier: Apache-2.0
// A shipment as a decider: what may be asked of the carrier, and what has become of the parcel.
//
// Everything here is pure; the carrier's answer and the order's status come in as arguments. Views
// belong to the caller.
#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "domain/values/address.h"

enum shipment_status {
    SHIPMENT_NONE,
    SHIPMENT_SCHEDULED,
    SHIPMENT_REFUSED,   // by the carrier; final
    SHIPMENT_CANCELLED, // final, also of one that was never scheduled
    SHIPMENT_DISPATCHED,
    SHIPMENT_DELIVERED,
};

struct shipment {
    enum shipment_status status;
    struct str refusal_detail; // refused: what is answered again
};

// What the carrier says.
struct carrier_answer {
    bool asked;
    bool done;
    struct str code;
    struct str detail;
};

enum shipment_event_type {
    SHIPMENT_EVENT_SCHEDULED,
    SHIPMENT_EVENT_REFUSED,
    SHIPMENT_EVENT_CANCELLED,
    SHIPMENT_EVENT_DISPATCHED,
    SHIPMENT_EVENT_DELIVERED,
};

struct shipment_event {
    enum shipment_event_type type;
    const struct address *ship_to; // scheduled
    struct str code;               // refused
    struct str detail;
};

enum shipment_refusal {
    SHIPMENT_ACCEPTED,
    SHIPMENT_IS_REFUSED, // by the carrier: detail
    SHIPMENT_IS_CANCELLED,
    SHIPMENT_IS_DISPATCHED,
    SHIPMENT_NOT_SCHEDULED,
    SHIPMENT_NOT_DISPATCHED,
    SHIPMENT_ORDER_NOT_CONFIRMED,
    SHIPMENT_CANCEL_REFUSED, // by the carrier: detail
    SHIPMENT_WANTS_CARRIER_FIRST
};

struct shipment_decision {
    enum shipment_refusal refusal;
    struct str detail;
    int event_count;
    struct shipment_event events[1];
};

// Whether the carrier has to be asked before the decision.
bool shipment_schedule_asks(const struct shipment *shipment);
bool shipment_cancel_asks(const struct shipment *shipment);

// None: as the carrier says, and its refusal is remembered. Scheduled: already so. Else refused.
struct shipment_decision shipment_schedule(const struct shipment *shipment,
                                           const struct address *ship_to,
                                           const struct carrier_answer *answer);

// None, scheduled: cancelled. Refused, cancelled: already so. Of dispatch and cancel the first
// wins. The carrier is always asked but once the parcel has left: its order is confirmed then, and
// asking would take the parcel back from under it.
struct shipment_decision shipment_cancel(const struct shipment *shipment,
                                         const struct carrier_answer *answer);

// Only when scheduled and the order is confirmed. A second time is quiet.
struct shipment_decision shipment_dispatch(const struct shipment *shipment, bool order_confirmed);

// Only when dispatched. A second time is quiet.
struct shipment_decision shipment_deliver(const struct shipment *shipment);

// Applies what has happened. Total.
struct shipment shipment_evolve(struct shipment shipment, const struct shipment_event *event);
