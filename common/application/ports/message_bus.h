// SPDX-License-Identifier: Apache-2.0
// Port: the broker between the daemons. Blocking; at least once, in no promised order.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "base/uuid.h"

struct arena;

enum { MESSAGE_BODY_MAX = 256 * 1024, MESSAGE_ROUTING_KEY_MAX = 255, MESSAGE_BUS_ALSO_MAX = 16 };

// How a message has fared so far; travels in headers when the failure ladder copies it.
struct message_attempts {
    int32_t count;       // failed attempts before this delivery
    int64_t first_at_us; // of the first failure; 0: none
    int64_t last_at_us;
    struct str cause; // of the last failure
};

struct message {
    struct uuid id; // = event id; nil when the sender gave none that can be read
    struct str exchange;
    struct str routing_key;
    struct str content_type;
    struct str body;
    uint16_t lane; // of a command that has one (command_lane.h), for who publishes it; 0: none
    struct message_attempts attempts;
    bool optional;         // nobody needs to want it: dropped then, which counts as PUBLISHED
    uint64_t delivery_tag; // set by receive
    bool redelivered;
};

enum publish_outcome {
    PUBLISHED, // confirmed by the broker
    RETURNED,  // nobody took it, and it is not optional
    NACKED,    // the broker says no, for now: a queue is full, or it ails
    UNSETTLED, // nobody knows: it may have arrived
};

struct message_bus;

// Publishes (persistent; mandatory but what is optional) and waits for all confirms, at most
// timeout_ms.
// outcomes: one each, after a failure (STATUS_UNAVAILABLE, STATUS_TIMEOUT) as far as they are
// known, the rest UNSETTLED.
typedef enum status message_bus_publish_fn(struct message_bus *bus, const struct message *messages,
                                           size_t count, int timeout_ms,
                                           enum publish_outcome *outcomes) MUST_CHECK;

// Gathers up to `max` messages of the consumed queues: waits wait_ms for the first, then takes what
// is there, lingering at most linger_ms. *count may be 0. Messages live in the arena.
typedef enum status message_bus_receive_fn(struct message_bus *bus, size_t max, int wait_ms,
                                           int linger_ms, struct arena *arena,
                                           struct message **messages, size_t *count) MUST_CHECK;

// Receives from these queues too, beside the bus's own, from now on and no longer from any other;
// what is in hand of one that is left out stays, and is acknowledged as ever. Views of the names
// are kept. Asked again for the same it does nothing. Losing the connection, pausing or any failure
// ends them all: ask again. STATUS_UNAVAILABLE: not connected now; STATUS_NOT_FOUND,
// STATUS_REFUSED: one is not there or may not be read, and the connection was lost over it;
// STATUS_FULL: more than MESSAGE_BUS_ALSO_MAX.
typedef enum status message_bus_also_fn(struct message_bus *bus, const struct str *queues,
                                        size_t count) MUST_CHECK;

// Acknowledges one message, or all up to it. After a reconnect an old tag is ignored.
typedef enum status message_bus_ack_fn(struct message_bus *bus, uint64_t delivery_tag,
                                       bool multiple) MUST_CHECK;

// Gives messages back to the queue (drain at the end).
typedef enum status message_bus_requeue_fn(struct message_bus *bus, uint64_t delivery_tag,
                                           bool multiple) MUST_CHECK;

// Takes no messages until the next receive: all that is in hand or on its way here goes back to the
// queue, for whoever else consumes it.
typedef void message_bus_pause_fn(struct message_bus *bus);

// Lets the connections breathe (heartbeats, blocked, cancel) without doing work. Call it at least
// every few seconds while no other operation runs. Reconnects when due; a paused one stays away.
typedef enum status message_bus_tick_fn(struct message_bus *bus) MUST_CHECK;

// Hands messages over without waiting for their confirms, as many as the window has room for
// (*taken may be 0: blocked by the broker, or the window is full); their bytes are no longer needed
// after. The failures of publish: all that was offered and not yet settled is void, offer it again.
// Must not be mixed with publish while anything is in flight.
typedef enum status message_bus_offer_fn(struct message_bus *bus, const struct message *messages,
                                         size_t count, size_t *taken) MUST_CHECK;

// The outcomes of what was offered, in that order, each once, at most `max`; waits at most wait_ms
// for the first. *count may be 0. Failures as in offer; with nothing in flight it only waits.
typedef enum status message_bus_settle_fn(struct message_bus *bus, int wait_ms, size_t max,
                                          enum publish_outcome *outcomes, size_t *count) MUST_CHECK;

struct message_bus_ops {
    message_bus_publish_fn *publish;
    message_bus_offer_fn *offer;
    message_bus_settle_fn *settle;
    message_bus_receive_fn *receive;
    message_bus_also_fn *also;
    message_bus_ack_fn *ack;
    message_bus_requeue_fn *requeue;
    message_bus_pause_fn *pause;
    message_bus_tick_fn *tick;
};

struct message_bus {
    const struct message_bus_ops *ops;
};

static inline enum status message_bus_publish(struct message_bus *bus,
                                              const struct message *messages, size_t count,
                                              int timeout_ms, enum publish_outcome *outcomes)
{
    return bus->ops->publish(bus, messages, count, timeout_ms, outcomes);
}

static inline enum status message_bus_offer(struct message_bus *bus, const struct message *messages,
                                            size_t count, size_t *taken)
{
    return bus->ops->offer(bus, messages, count, taken);
}

static inline enum status message_bus_settle(struct message_bus *bus, int wait_ms, size_t max,
                                             enum publish_outcome *outcomes, size_t *count)
{
    return bus->ops->settle(bus, wait_ms, max, outcomes, count);
}

static inline enum status message_bus_receive(struct message_bus *bus, size_t max, int wait_ms,
                                              int linger_ms, struct arena *arena,
                                              struct message **messages, size_t *count)
{
    return bus->ops->receive(bus, max, wait_ms, linger_ms, arena, messages, count);
}

static inline enum status message_bus_also(struct message_bus *bus, const struct str *queues,
                                           size_t count)
{
    return bus->ops->also(bus, queues, count);
}

static inline enum status message_bus_ack(struct message_bus *bus, uint64_t tag, bool multiple)
{
    return bus->ops->ack(bus, tag, multiple);
}

static inline enum status message_bus_requeue(struct message_bus *bus, uint64_t tag, bool multiple)
{
    return bus->ops->requeue(bus, tag, multiple);
}

static inline void message_bus_pause(struct message_bus *bus)
{
    bus->ops->pause(bus);
}

static inline enum status message_bus_tick(struct message_bus *bus)
{
    return bus->ops->tick(bus);
}
