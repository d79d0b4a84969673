// SPDX-License-Identifier: Apache-2.0
// A payment as a decider: what may be asked of the provider, and what it said has happened.
//
// Everything here is pure; the provider's answer comes in as an argument. Views belong to the
// caller. Always: refunded <= captured <= authorized.
#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "domain/values/money.h"

enum payment_status {
    PAYMENT_NONE,
    PAYMENT_AUTHORIZED,
    PAYMENT_DECLINED, // final
    PAYMENT_CAPTURED,
    PAYMENT_VOIDED,   // final, also of a payment that was never authorized
    PAYMENT_REFUNDED, // final
};

struct payment {
    enum payment_status status;
    struct money authorized;
    struct money captured;
    struct money refunded;
    struct str decline_code; // declined: what is answered again
    struct str decline_detail;
};

struct authorize_payment {
    struct money amount;
    struct str token;
};

// What the provider says. Without having been asked nothing but the stream decides.
struct provider_answer {
    bool asked;
    bool done;
    bool captured; // of an undo: money had been captured before it
    struct str code;
    struct str detail;
};

enum payment_event_type {
    PAYMENT_EVENT_AUTHORIZED,
    PAYMENT_EVENT_DECLINED,
    PAYMENT_EVENT_CAPTURED,
    PAYMENT_EVENT_VOIDED,
    PAYMENT_EVENT_REFUNDED,
};

struct payment_event {
    enum payment_event_type type;
    struct money amount; // authorized, captured, refunded
    struct str code;     // declined
    struct str detail;
};

enum payment_refusal {
    PAYMENT_ACCEPTED,
    PAYMENT_IS_DECLINED,         // by the provider: code and detail
    PAYMENT_IS_UNDONE,           // voided or refunded
    PAYMENT_IS_NOT_AUTHORIZED,   // nothing to capture
    PAYMENT_EXCEEDS,             // more than was authorized, or in another currency
    PAYMENT_UNDO_REFUSED,        // by the provider: code and detail
    PAYMENT_WANTS_PROVIDER_FIRST // the caller has not asked: no decision yet
};

struct payment_decision {
    enum payment_refusal refusal;
    struct str code;
    struct str detail;
    int event_count;
    struct payment_event events[2];
};

// Whether the provider has to be asked before the decision.
bool payment_authorize_asks(const struct payment *payment);
bool payment_capture_asks(const struct payment *payment, struct money amount);

// N: as the provider says. Authorized, captured: already so. Else refused.
struct payment_decision payment_authorize(const struct payment *payment,
                                          const struct authorize_payment *command,
                                          const struct provider_answer *answer);

// Authorized: as the provider says; its refusal leaves no event. Captured: already so. Else
// refused.
struct payment_decision payment_capture(const struct payment *payment, struct money amount,
                                        const struct provider_answer *answer);

// Void and refund are one thing: the provider is always asked, and its answer says whether the
// whole payment ends voided or refunded, also when the stream knows nothing yet or lacks the
// capture. What has ended stays as it is.
struct payment_decision payment_undo(const struct payment *payment,
                                     const struct provider_answer *answer);

// Applies what has happened. Total.
struct payment payment_evolve(struct payment payment, const struct payment_event *event);
