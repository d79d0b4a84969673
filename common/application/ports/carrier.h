// SPDX-License-Identifier: Apache-2.0
// Port: whoever carries the parcels. Blocking, in batches; every operation is idempotent by key,
// with the promises of payment_provider.h: refusals are remembered, cancel is total.
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "base/str.h"

struct arena;

enum carrier_operation { CARRIER_SCHEDULE, CARRIER_CANCEL };

struct carrier_call {
    enum carrier_operation operation;
    struct str shipment; // the shipment's stream id as text; cancel undoes its schedule
    struct str key;      // of this operation
    struct str country;
    struct str postal_code;
};

enum carrier_outcome { CARRIER_NO_ANSWER, CARRIER_DONE, CARRIER_REFUSED };

struct carrier_result {
    enum carrier_outcome outcome;
    struct str code; // "shipment_refused"
    struct str detail;
};

struct carrier;

// As payment_provider_perform.
typedef enum status carrier_perform_fn(struct carrier *carrier, const struct carrier_call *calls,
                                       size_t count, int timeout_ms, struct arena *arena,
                                       struct carrier_result *results) MUST_CHECK;

struct carrier_ops {
    carrier_perform_fn *perform;
};

struct carrier {
    const struct carrier_ops *ops;
};

static inline enum status carrier_perform(struct carrier *carrier, const struct carrier_call *calls,
                                          size_t count, int timeout_ms, struct arena *arena,
                                          struct carrier_result *results)
{
    return carrier->ops->perform(carrier, calls, count, timeout_ms, arena, results);
}
