// SPDX-License-Identifier: Apache-2.0
// What the relay has sent and not heard of yet, oldest first: a part of relay.c, pure.
#include "application/relay/relay_flight.h"

static size_t slot(const struct relay_flight *flight, size_t nth)
{
    return (flight->first + nth) % RELAY_IN_FLIGHT_MAX;
}

void relay_flight_add(struct relay_flight *flight, struct log_cursor end)
{
    flight->ends[slot(flight, flight->count++)] = end;
}

struct log_cursor relay_flight_take(struct relay_flight *flight)
{
    struct log_cursor end = flight->ends[flight->first];
    flight->first = slot(flight, 1);
    flight->count--;
    return end;
}

void relay_flight_extend(struct relay_flight *flight, struct log_cursor end)
{
    flight->ends[slot(flight, flight->count - 1)] = end;
}

void relay_flight_give_up(struct relay_flight *flight)
{
    flight->given_up += flight->count;
    flight->count = 0;
}

void relay_flight_lose(struct relay_flight *flight)
{
    flight->count = 0;
    flight->given_up = 0;
}

bool relay_flight_heard(const struct relay_flight *flight, size_t at, struct log_cursor confirmed,
                        struct log_cursor *before)
{
    size_t nth = at - flight->given_up;
    if (at < flight->given_up || nth >= flight->count) {
        return false;
    }
    *before = nth == 0 ? confirmed : flight->ends[slot(flight, nth - 1)];
    return true;
}

bool relay_flight_is_past(struct log_cursor left, struct log_cursor right)
{
    if (left.epoch != right.epoch) {
        return left.epoch > right.epoch;
    }
    return left.tx != right.tx ? left.tx > right.tx : left.position > right.position;
}
