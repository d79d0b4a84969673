// SPDX-License-Identifier: Apache-2.0
// Which rows of the log a replay publishes again, and a place in the log as people write it.
#pragma once

#include <stdbool.h>

#include "application/ports/event_store.h"
#include "base/arena.h"

struct replay_filter {
    instant_us since;       // recorded then or later; 0: from the beginning
    instant_us until;       // recorded then or before; 0: to the end
    struct str category;    // empty: all
    struct str type;        // empty: all
    struct log_cursor end;  // nothing after it
    int64_t transaction_us; // what a transaction may last: the order of the log is not quite that
                            // of recorded_at
};

// Would the relay have published this row, and is it asked for?
bool replay_wants(const struct replay_filter *filter, const struct recorded_event *row);

// Does nothing that is asked for come after this row?
bool replay_is_past(const struct replay_filter *filter, const struct recorded_event *row);

// "<epoch>.<tx>.<position>", as messages carry it. False leaves *at alone.
bool replay_place_parse(struct str text, struct log_cursor *at);
struct str replay_place_format(struct log_cursor at, struct arena *arena);
