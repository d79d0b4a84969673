// SPDX-License-Identifier: Apache-2.0
// The payment provider and the carrier as models for the search: idempotent by key, refusals
// remembered, undo total; each with a journal of what it really did.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "application/ports/effect_runner.h"
#include "base/arena.h"
#include "saga_world.h"

enum { PARTY_KEYS_MAX = 64 };

struct party_key {
    struct str key;
    bool done; // else refused
};

struct saga_parties {
    enum saga_card card;
    enum saga_carrier carrier;
    bool forgets_undo_of_nothing; // a mistake: what was never there may still come
    unsigned silent_one_in;       // so often an answer is lost, whatever the card; 0: never
    uint64_t *random;
    struct arena *arena;
    struct party_key keys[PARTY_KEYS_MAX];
    int key_count;
    bool payment_undone;
    bool capture_undone; // by the mistake that undoes the capture alone
    bool authorized;
    int captures; // each moves the money once more
    int refunds;
    bool shipment_cancelled;
    bool scheduled;
};

uint64_t saga_random(uint64_t *state);

// The operations of the real ones; and of a mistake, "payment.undo_capture", which leaves what is
// authorized as it is.
struct effect_result saga_parties_perform(struct saga_parties *parties,
                                          const struct effect_request *request);
