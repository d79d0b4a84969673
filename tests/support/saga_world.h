// SPDX-License-Identifier: Apache-2.0
// A world for searching the saga: the real engine and deciders over the store in memory, a provider
// and a carrier as models, messages in any order and twice, timers at any moment, with the step's
// patience over or not, workers that crash or stall between load, call and append. Everything
// follows from the seed.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "application/handler/message_handler.h"
#include "application/ports/event_store.h"
#include "application/saga/definition.h"
#include "base/arena.h"

enum saga_card { CARD_OK, CARD_DECLINED, CARD_CAPTURE_FAILS, CARD_SILENT, CARD_SILENT_AT_CAPTURE };
enum saga_carrier { CARRIER_TAKES, CARRIER_DECLINES, CARRIER_SILENT };

enum { SAGA_CARDS = 5, SAGA_CARRIERS = 3 };

// A mistake to be caught, planted by wrapping; the product knows nothing of it.
enum saga_mistake {
    MISTAKE_NONE,
    MISTAKE_SAME_COMMAND_ID,     // a retry runs under the first attempt's id
    MISTAKE_CONFIRM_TIMES_OUT,   // a timeout compensates confirm
    MISTAKE_IN_FLIGHT_UNCOVERED, // the step in flight is not undone
    MISTAKE_NO_VERSION_CHECK,    // the saga appends whatever stands there
    MISTAKE_KEY_PER_ATTEMPT,     // the provider gets a new key for each attempt
    MISTAKE_BLIND_CONFIRM,       // confirm does not see that the order is being cancelled
    MISTAKE_OLD_TIMER_FIRES,     // an old timer counts as if its step were still out
    MISTAKE_ANY_REPLY_COUNTS,    // a reply counts for whatever step is out
    MISTAKE_PROVIDER_NOT_ASKED,  // a compensation trusts its stream
    MISTAKE_STREAM_UNMARKED,     // a void of nothing leaves no mark in the stream
    MISTAKE_PROVIDER_UNMARKED,   // a void of nothing leaves no mark at the provider
    MISTAKE_REFUND_HALF,         // refund undoes the capture alone, and void then asks nobody
    MISTAKE_SECOND_OK_REFUNDED,  // a second ok of capture counts as a success to be undone
    MISTAKE_PUT_OFF_LOST,        // a timer that is put off is not set anew
    MISTAKE_WAITING_UNCOVERED,   // a step that waited too long is taken for one never issued
    MISTAKE_PATIENCE_AT_CONFIRM, // the end of patience compensates confirm
    MISTAKE_COUNT,
};

const char *saga_mistake_name(enum saga_mistake mistake);

struct saga_world_options {
    enum saga_card card;
    bool stock_short;
    enum saga_carrier carrier;
    enum saga_mistake mistake;
    uint64_t seed;
    int steps; // of chaos, before everything is delivered
};

// What a run came to.
struct saga_verdict {
    struct str violation; // empty: everything held
    bool confirmed;
    bool cancelled;
    bool rejected;
    int steps;
};

// Plays one world to its rest. The verdict's text lives in the arena. definition: as it ships.
struct saga_verdict saga_world_play(const struct saga_definition *definition,
                                    const struct saga_world_options *options, struct arena *arena);
