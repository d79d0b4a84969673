// SPDX-License-Identifier: Apache-2.0
// The payment provider and the carrier as models for the search: idempotent by key, refusals
// remembered, undo total; each with a journal of what it really did.
#include "saga_parties.h"

#include <stdlib.h>

// xorshift64*, so that a seed means the same everywhere.
uint64_t saga_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static bool chance(struct saga_parties *parties, unsigned one_in)
{
    return saga_random(parties->random) % one_in == 0;
}

static struct party_key *find_key(struct saga_parties *parties, struct str key)
{
    for (int i = 0; i < parties->key_count; i++) {
        if (str_eq(parties->keys[i].key, key)) {
            return &parties->keys[i];
        }
    }
    return NULL;
}

static bool remember(struct saga_parties *parties, struct str key, bool done)
{
    if (parties->key_count == PARTY_KEYS_MAX) {
        abort();
    }
    parties->keys[parties->key_count++] = (struct party_key){arena_str(parties->arena, key), done};
    return done;
}

static bool authorize(struct saga_parties *parties, struct str key)
{
    bool done = !parties->payment_undone && parties->card != CARD_DECLINED;
    parties->authorized = parties->authorized || done;
    return remember(parties, key, done);
}

static bool capture(struct saga_parties *parties, struct str key)
{
    bool done = !parties->payment_undone && !parties->capture_undone && parties->authorized &&
                parties->card != CARD_CAPTURE_FAILS;
    parties->captures += done;
    return remember(parties, key, done);
}

static bool schedule(struct saga_parties *parties, struct str key)
{
    bool done = !parties->shipment_cancelled && parties->carrier != CARRIER_DECLINES;
    parties->scheduled = parties->scheduled || done;
    return remember(parties, key, done);
}

static struct effect_result answer(bool done, struct str code)
{
    return (struct effect_result){.answered = true,
                                  .answer = {.outcome = done ? EFFECT_DONE : EFFECT_REFUSED,
                                             .code = done ? STR("") : code,
                                             .detail = STR(""),
                                             .body = STR("")}};
}

static struct effect_result undo_capture(struct saga_parties *parties)
{
    parties->refunds = parties->captures; // the whole, however often it is asked
    parties->capture_undone = true;
    parties->authorized = parties->authorized && parties->captures == 0;
    struct effect_result result = answer(true, STR(""));
    result.answer.body =
        parties->captures > 0 ? STR("{\"captured\":true}") : STR("{\"captured\":false}");
    return result;
}

static struct effect_result undo_payment(struct saga_parties *parties)
{
    bool nothing = !parties->authorized && parties->captures == 0;
    if (nothing && parties->forgets_undo_of_nothing) {
        struct effect_result forgotten = answer(true, STR(""));
        forgotten.answer.body = STR("{\"captured\":false}");
        return forgotten;
    }
    parties->payment_undone = true;
    parties->authorized = false;
    return undo_capture(parties);
}

static struct effect_result undo_shipment(struct saga_parties *parties)
{
    parties->shipment_cancelled = true;
    parties->scheduled = false;
    return answer(true, STR(""));
}

// The other side may have done it and said nothing, or done nothing.
static bool falls_silent(struct saga_parties *parties, bool always)
{
    return always || (parties->silent_one_in > 0 && chance(parties, parties->silent_one_in));
}

static struct effect_result forward(struct saga_parties *parties, struct str key,
                                    bool always_silent,
                                    bool (*act)(struct saga_parties *, struct str), struct str code)
{
    bool silent = falls_silent(parties, always_silent);
    if (silent && chance(parties, 2)) {
        return (struct effect_result){.answered = false};
    }
    struct party_key *known = find_key(parties, key);
    bool done = known == NULL ? act(parties, key) : known->done;
    return silent ? (struct effect_result){.answered = false} : answer(done, code);
}

static struct effect_result undo(struct saga_parties *parties,
                                 struct effect_result (*act)(struct saga_parties *))
{
    bool silent = falls_silent(parties, false);
    if (silent && chance(parties, 2)) {
        return (struct effect_result){.answered = false};
    }
    struct effect_result result = act(parties);
    return silent ? (struct effect_result){.answered = false} : result;
}

struct effect_result saga_parties_perform(struct saga_parties *parties,
                                          const struct effect_request *request)
{
    if (str_eq(request->operation, STR("payment.authorize"))) {
        return forward(parties, request->key, parties->card == CARD_SILENT, authorize,
                       STR("payment_declined"));
    }
    if (str_eq(request->operation, STR("payment.capture"))) {
        return forward(parties, request->key, parties->card == CARD_SILENT_AT_CAPTURE, capture,
                       STR("payment_declined"));
    }
    if (str_eq(request->operation, STR("payment.undo"))) {
        return undo(parties, undo_payment);
    }
    if (str_eq(request->operation, STR("payment.undo_capture"))) {
        return undo(parties, undo_capture);
    }
    if (str_eq(request->operation, STR("carrier.schedule"))) {
        return forward(parties, request->key, parties->carrier == CARRIER_SILENT, schedule,
                       STR("shipment_refused"));
    }
    if (str_eq(request->operation, STR("carrier.cancel"))) {
        return undo(parties, undo_shipment);
    }
    abort();
}
