// SPDX-License-Identifier: Apache-2.0
// What the relay has sent and not heard of yet, oldest first: a part of relay.c, pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "application/ports/event_store.h"

enum { RELAY_IN_FLIGHT_MAX = 4096 }; // sent and without an outcome

struct relay_flight {
    struct log_cursor ends[RELAY_IN_FLIGHT_MAX]; // how far the log is done once each is confirmed
    size_t first;
    size_t count;
    size_t given_up; // outcomes that are still to come, of what was sent before a failure
};

// There must be room.
void relay_flight_add(struct relay_flight *flight, struct log_cursor end);

// Takes the oldest out; there must be one.
struct log_cursor relay_flight_take(struct relay_flight *flight);

// Rows behind the last one are done with it; there must be one.
void relay_flight_extend(struct relay_flight *flight, struct log_cursor end);

// None counts any more; their outcomes come all the same.
void relay_flight_give_up(struct relay_flight *flight);

// The connection is gone, and every outcome with it.
void relay_flight_lose(struct relay_flight *flight);

// The row that the outcome `at` of those heard is about is the first one after *before; confirmed:
// up to where the log is done. False: it is about none that counts.
bool relay_flight_heard(const struct relay_flight *flight, size_t at, struct log_cursor confirmed,
                        struct log_cursor *before);

// Does left stand behind right in the log?
bool relay_flight_is_past(struct log_cursor left, struct log_cursor right);
