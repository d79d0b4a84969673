// SPDX-License-Identifier: Apache-2.0
// A carrier in this process, with the sandbox's marked postal code; for tests without servers.
#include "infrastructure/psp/carrier_memory.h"

#include <stdlib.h>

#include "base/arena.h"
#include "infrastructure/psp/answer_book.h"

struct carrier_memory {
    struct carrier port;
    struct answer_book *book;
};

enum { CANCELLED = 1 };

static struct carrier_result schedule(const struct answer_subject *shipment,
                                      const struct carrier_call *call)
{
    if (shipment->flags & CANCELLED) {
        return (struct carrier_result){CARRIER_REFUSED, STR("shipment_cancelled"),
                                       STR("the shipment was cancelled before")};
    }
    if (str_eq(call->postal_code, STR("00000-000"))) {
        return (struct carrier_result){CARRIER_REFUSED, STR("shipment_refused"),
                                       STR("the carrier does not deliver there")};
    }
    return (struct carrier_result){CARRIER_DONE, STR(""), STR("")};
}

static struct carrier_result ask(struct answer_subject *shipment, const struct carrier_call *call)
{
    if (call->operation == CARRIER_CANCEL) {
        shipment->flags |= CANCELLED;
        return (struct carrier_result){CARRIER_DONE, STR(""), STR("")};
    }
    const struct answer *known = answer_of(shipment, call->key);
    if (known != NULL) {
        return (struct carrier_result){known->done ? CARRIER_DONE : CARRIER_REFUSED, known->code,
                                       known->detail};
    }
    struct carrier_result result = schedule(shipment, call);
    bool kept = answer_keep(shipment, call->key, result.outcome == CARRIER_DONE, result.code,
                            result.detail);
    return kept ? result : (struct carrier_result){.outcome = CARRIER_NO_ANSWER};
}

static enum status perform(struct carrier *carrier, const struct carrier_call *calls, size_t count,
                           int timeout_ms, struct arena *arena, struct carrier_result *results)
{
    (void)timeout_ms;
    (void)arena;
    struct answer_book *book = ((struct carrier_memory *)carrier)->book;
    for (size_t at = 0; at < count; at++) {
        struct answer_subject *shipment = answer_book_subject(book, calls[at].shipment);
        results[at] = shipment == NULL ? (struct carrier_result){.outcome = CARRIER_NO_ANSWER}
                                       : ask(shipment, &calls[at]);
    }
    return STATUS_OK;
}

struct carrier *carrier_memory_new(size_t shipments_max)
{
    static const struct carrier_ops ops = {.perform = perform};
    struct carrier_memory *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return NULL;
    }
    made->port.ops = &ops;
    made->book = answer_book_new(shipments_max);
    if (made->book == NULL) {
        free(made);
        return NULL;
    }
    return &made->port;
}

void carrier_memory_free(struct carrier *carrier)
{
    if (carrier != NULL) {
        answer_book_free(((struct carrier_memory *)carrier)->book);
        free(carrier);
    }
}
