// SPDX-License-Identifier: Apache-2.0
// Port: whoever moves the money. Blocking, in batches; every operation is idempotent by key.
//
// The provider's promises (SAGA.md): a refusal is final and remembered under its key; no answer,
// 5xx and "key in progress" are transient, never a refusal; undo is total: it voids or refunds what
// any of the payment's keys did, and an unknown key is remembered so that it cannot succeed later.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

struct arena;

enum payment_operation { PAYMENT_AUTHORIZE, PAYMENT_CAPTURE, PAYMENT_UNDO };

struct payment_call {
    enum payment_operation operation;
    struct str payment; // the payment's stream id as text; undo undoes all its keys
    struct str key;     // of this operation; for undo: undo's own
    struct str token;   // authorize: how the customer pays
    int64_t amount;     // minor units
    struct str currency;
};

enum payment_outcome {
    PAYMENT_NO_ANSWER, // transient: ask again later with the same key
    PAYMENT_DONE,
    PAYMENT_REFUSED,
};

// What the provider says happened; undo tells which of the two it undid.
struct payment_result {
    enum payment_outcome outcome;
    struct str code; // "payment_declined"
    struct str detail;
    bool captured_before_undo; // undo: money had been captured, so it was a refund
};

struct payment_provider;

// Performs all calls, independently of each other, within timeout_ms altogether; a call without an
// answer by then is PAYMENT_NO_ANSWER and holds up no other. Fails only when nothing was asked.
typedef enum status payment_provider_perform_fn(struct payment_provider *provider,
                                                const struct payment_call *calls, size_t count,
                                                int timeout_ms, struct arena *arena,
                                                struct payment_result *results) MUST_CHECK;

struct payment_provider_ops {
    payment_provider_perform_fn *perform;
};

struct payment_provider {
    const struct payment_provider_ops *ops;
};

static inline enum status payment_provider_perform(struct payment_provider *provider,
                                                   const struct payment_call *calls, size_t count,
                                                   int timeout_ms, struct arena *arena,
                                                   struct payment_result *results)
{
    return provider->ops->perform(provider, calls, count, timeout_ms, arena, results);
}
