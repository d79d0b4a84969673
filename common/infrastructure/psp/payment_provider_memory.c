// SPDX-License-Identifier: Apache-2.0
// A payment provider in this process, with the sandbox's marked tokens; for tests without servers.
#include "infrastructure/psp/payment_provider_memory.h"

#include <stdlib.h>

#include "base/arena.h"
#include "infrastructure/psp/answer_book.h"

struct payment_provider_memory {
    struct payment_provider port;
    struct answer_book *book;
};

enum { AUTHORIZED = 1, CAPTURED = 2, UNDONE = 4, FAILS_CAPTURE = 8 };

static struct payment_result refuse(const char *code, const char *detail)
{
    return (struct payment_result){
        .outcome = PAYMENT_REFUSED, .code = str_from(code), .detail = str_from(detail)};
}

static struct payment_result done(void)
{
    return (struct payment_result){.outcome = PAYMENT_DONE, .code = STR(""), .detail = STR("")};
}

static struct payment_result authorize(struct answer_subject *payment,
                                       const struct payment_call *call)
{
    if (payment->flags & UNDONE) {
        return refuse("payment_undone", "the payment was undone before");
    }
    if (str_eq(call->token, STR("tok_silent"))) {
        return (struct payment_result){.outcome = PAYMENT_NO_ANSWER};
    }
    if (str_eq(call->token, STR("tok_declined"))) {
        return refuse("payment_declined", "the card was declined");
    }
    payment->flags |= AUTHORIZED;
    payment->flags |= str_eq(call->token, STR("tok_capture_fails")) ? FAILS_CAPTURE : 0;
    payment->amount = call->amount;
    return done();
}

static struct payment_result capture(struct answer_subject *payment,
                                     const struct payment_call *call)
{
    if (payment->flags & UNDONE) {
        return refuse("payment_undone", "the payment was undone before");
    }
    if (!(payment->flags & AUTHORIZED)) {
        return refuse("payment_not_authorized", "nothing was authorized");
    }
    if (call->amount > payment->amount) {
        return refuse("payment_not_authorized", "more than what was authorized");
    }
    if (payment->flags & FAILS_CAPTURE) {
        return refuse("payment_declined", "the card was declined at capture");
    }
    payment->flags |= CAPTURED;
    return done();
}

static struct payment_result undo(struct answer_subject *payment)
{
    struct payment_result result = done();
    result.captured_before_undo = (payment->flags & CAPTURED) != 0;
    payment->flags |= UNDONE;
    return result;
}

static struct payment_result ask(struct answer_subject *payment, const struct payment_call *call)
{
    struct answer *known = answer_of(payment, call->key);
    bool late = call->operation == PAYMENT_AUTHORIZE && str_eq(call->token, STR("tok_late")) &&
                !(payment->flags & UNDONE);
    if (call->operation == PAYMENT_UNDO) {
        return undo(payment);
    }
    struct payment_result result;
    if (known != NULL) {
        result = (struct payment_result){.outcome = known->done ? PAYMENT_DONE : PAYMENT_REFUSED,
                                         .code = known->code,
                                         .detail = known->detail};
    } else {
        result = call->operation == PAYMENT_AUTHORIZE ? authorize(payment, call)
                                                      : capture(payment, call);
    }
    if (known == NULL && result.outcome != PAYMENT_NO_ANSWER &&
        !answer_keep(payment, call->key, result.outcome == PAYMENT_DONE, result.code,
                     result.detail)) {
        late = true; // no room to remember it: better no answer than a forgotten one
    }
    return late ? (struct payment_result){.outcome = PAYMENT_NO_ANSWER} : result;
}

static enum status perform(struct payment_provider *provider, const struct payment_call *calls,
                           size_t count, int timeout_ms, struct arena *arena,
                           struct payment_result *results)
{
    (void)timeout_ms;
    (void)arena;
    struct answer_book *book = ((struct payment_provider_memory *)provider)->book;
    for (size_t at = 0; at < count; at++) {
        struct answer_subject *payment = answer_book_subject(book, calls[at].payment);
        results[at] = payment == NULL ? (struct payment_result){.outcome = PAYMENT_NO_ANSWER}
                                      : ask(payment, &calls[at]);
    }
    return STATUS_OK;
}

struct payment_provider *payment_provider_memory_new(size_t payments_max)
{
    static const struct payment_provider_ops ops = {.perform = perform};
    struct payment_provider_memory *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return NULL;
    }
    made->port.ops = &ops;
    made->book = answer_book_new(payments_max);
    if (made->book == NULL) {
        free(made);
        return NULL;
    }
    return &made->port;
}

void payment_provider_memory_free(struct payment_provider *provider)
{
    if (provider != NULL) {
        answer_book_free(((struct payment_provider_memory *)provider)->book);
        free(provider);
    }
}
