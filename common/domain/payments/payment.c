// SPDX-License-Identifier: Apache-2.0
// A payment as a decider: what may be asked of the provider, and what it said has happened.
#include "domain/payments/payment.h"

static struct payment_decision accept_nothing_new(void)
{
    return (struct payment_decision){.refusal = PAYMENT_ACCEPTED};
}

static struct payment_decision accept(struct payment_event event)
{
    return (struct payment_decision){
        .refusal = PAYMENT_ACCEPTED, .event_count = 1, .events = {event}};
}

static struct payment_decision refuse(enum payment_refusal refusal)
{
    return (struct payment_decision){.refusal = refusal};
}

static struct payment_decision refuse_with(enum payment_refusal refusal, struct str code,
                                           struct str detail)
{
    return (struct payment_decision){.refusal = refusal, .code = code, .detail = detail};
}

bool payment_authorize_asks(const struct payment *payment)
{
    return payment->status == PAYMENT_NONE;
}

static bool is_covered(const struct payment *payment, struct money amount)
{
    return currency_eq(amount.currency, payment->authorized.currency) &&
           amount.amount <= payment->authorized.amount;
}

bool payment_capture_asks(const struct payment *payment, struct money amount)
{
    return payment->status == PAYMENT_AUTHORIZED && is_covered(payment, amount);
}

static struct payment_decision authorize_first_time(const struct authorize_payment *command,
                                                    const struct provider_answer *answer)
{
    if (!answer->asked) {
        return refuse(PAYMENT_WANTS_PROVIDER_FIRST);
    }
    if (answer->done) {
        return accept(
            (struct payment_event){.type = PAYMENT_EVENT_AUTHORIZED, .amount = command->amount});
    }
    struct payment_decision decision =
        refuse_with(PAYMENT_IS_DECLINED, answer->code, answer->detail);
    decision.event_count = 1;
    decision.events[0] = (struct payment_event){
        .type = PAYMENT_EVENT_DECLINED, .code = answer->code, .detail = answer->detail};
    return decision;
}

struct payment_decision payment_authorize(const struct payment *payment,
                                          const struct authorize_payment *command,
                                          const struct provider_answer *answer)
{
    switch (payment->status) {
    case PAYMENT_NONE:
        return authorize_first_time(command, answer);
    case PAYMENT_AUTHORIZED:
    case PAYMENT_CAPTURED:
        return accept_nothing_new();
    case PAYMENT_DECLINED:
        return refuse_with(PAYMENT_IS_DECLINED, payment->decline_code, payment->decline_detail);
    case PAYMENT_VOIDED:
    case PAYMENT_REFUNDED:
        break;
    }
    return refuse(PAYMENT_IS_UNDONE);
}

static struct payment_decision capture_first_time(const struct payment *payment,
                                                  struct money amount,
                                                  const struct provider_answer *answer)
{
    if (!is_covered(payment, amount)) {
        return refuse(PAYMENT_EXCEEDS);
    }
    if (!answer->asked) {
        return refuse(PAYMENT_WANTS_PROVIDER_FIRST);
    }
    if (!answer->done) {
        return refuse_with(PAYMENT_IS_DECLINED, answer->code, answer->detail);
    }
    return accept((struct payment_event){.type = PAYMENT_EVENT_CAPTURED, .amount = amount});
}

struct payment_decision payment_capture(const struct payment *payment, struct money amount,
                                        const struct provider_answer *answer)
{
    switch (payment->status) {
    case PAYMENT_AUTHORIZED:
        return capture_first_time(payment, amount, answer);
    case PAYMENT_CAPTURED:
        return accept_nothing_new();
    case PAYMENT_VOIDED:
    case PAYMENT_REFUNDED:
        return refuse(PAYMENT_IS_UNDONE);
    case PAYMENT_NONE:
    case PAYMENT_DECLINED:
        break;
    }
    return refuse(PAYMENT_IS_NOT_AUTHORIZED);
}

// What our stream has captured is refunded even if the provider should have forgotten it.
static struct payment_decision end(const struct payment *payment,
                                   const struct provider_answer *answer)
{
    bool knows_capture = payment->status == PAYMENT_CAPTURED;
    if (!answer->captured && !knows_capture) {
        return accept((struct payment_event){.type = PAYMENT_EVENT_VOIDED});
    }
    struct money amount = knows_capture ? payment->captured : payment->authorized;
    struct payment_event refunded = {.type = PAYMENT_EVENT_REFUNDED, .amount = amount};
    if (knows_capture) {
        return accept(refunded);
    }
    struct payment_decision decision = accept((struct payment_event){
        .type = PAYMENT_EVENT_CAPTURED, .amount = amount}); // a capture whose append was lost
    decision.events[decision.event_count++] = refunded;
    return decision;
}

struct payment_decision payment_undo(const struct payment *payment,
                                     const struct provider_answer *answer)
{
    if (!answer->asked) {
        return refuse(PAYMENT_WANTS_PROVIDER_FIRST);
    }
    if (!answer->done) {
        return refuse_with(PAYMENT_UNDO_REFUSED, answer->code, answer->detail);
    }
    switch (payment->status) {
    case PAYMENT_NONE:
    case PAYMENT_AUTHORIZED:
    case PAYMENT_CAPTURED:
        return end(payment, answer);
    case PAYMENT_DECLINED:
    case PAYMENT_VOIDED:
    case PAYMENT_REFUNDED:
        break;
    }
    return accept_nothing_new();
}

struct payment payment_evolve(struct payment payment, const struct payment_event *event)
{
    switch (event->type) {
    case PAYMENT_EVENT_AUTHORIZED:
        payment.status = PAYMENT_AUTHORIZED;
        payment.authorized = event->amount;
        payment.captured = (struct money){0, event->amount.currency};
        payment.refunded = payment.captured;
        break;
    case PAYMENT_EVENT_DECLINED:
        payment.status = PAYMENT_DECLINED;
        payment.decline_code = event->code;
        payment.decline_detail = event->detail;
        break;
    case PAYMENT_EVENT_CAPTURED:
        payment.status = PAYMENT_CAPTURED;
        payment.captured = event->amount;
        break;
    case PAYMENT_EVENT_VOIDED:
        payment.status = PAYMENT_VOIDED;
        break;
    case PAYMENT_EVENT_REFUNDED:
        payment.status = PAYMENT_REFUNDED;
        payment.refunded = event->amount;
        break;
    }
    return payment;
}
