// SPDX-License-Identifier: Apache-2.0
// Every exchange, queue and binding as one table, made from the registry of contexts and what the
// sagas listen to; ARCHITECTURE.md, "Messages", shows it for the shop.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "base/str.h"
#include "domain/bounded_context.h"

enum {
    TOPOLOGY_RETRIES = 3,
    TOPOLOGY_UNROUTABLE_MAX = 10000,
    TOPOLOGY_RETRY_MAX = 1000000,
    TOPOLOGY_WORK_MAX = 1000000, // a work queue's and a dead-letter queue's
    // Queues of a role with contended commands beside its own: always as many, whatever is in use,
    // so that nobody has to find out how many there are.
    TOPOLOGY_LANES = 8,
};

#define TOPOLOGY_RETRY_EXCHANGE STR("comanda.retry")
#define TOPOLOGY_DEAD_EXCHANGE STR("comanda.dead")

// Copies of commands and replies that the broker could route to nobody, the newest.
#define TOPOLOGY_UNROUTABLE STR("comanda.unroutable")

// The alternate exchange of the log's three. Nothing of ours is bound to it any more; the argument
// stays, since RabbitMQ lets nobody change an exchange's, and programs of before name it too. The
// queue of that name is theirs (ADR 21).
#define TOPOLOGY_UNROUTED STR("comanda.unrouted")

struct topology_exchange {
    struct str name;
    struct str type;      // "topic", "direct", "fanout"
    struct str alternate; // where what nobody wants goes; empty: nowhere
};

enum topology_role { QUEUE_WORK, QUEUE_LANE, QUEUE_RETRY, QUEUE_DEAD, QUEUE_UNROUTABLE };

struct topology_queue {
    struct str name;
    enum topology_role role;
    int32_t length_max;    // messages; what is full refuses more, the unroutable drops its oldest
    int32_t ttl_ms;        // QUEUE_RETRY: how long a message rests
    struct str work_queue; // QUEUE_RETRY: where it goes then; QUEUE_LANE: its role's own
    int lane;              // QUEUE_LANE: 0 to TOPOLOGY_LANES - 1; one consumer is active
};

struct topology_binding {
    struct str exchange;
    struct str queue;
    struct str key;
};

struct topology {
    const struct topology_exchange *exchanges;
    size_t exchange_count;
    const struct topology_queue *queues;
    size_t queue_count;
    const struct topology_binding *bindings;
    size_t binding_count;
};

// An event that some saga starts on or is cancelled by.
struct topology_event {
    struct str category;
    struct str type;
};

struct topology_options {
    const struct context_registry *registry;
    const struct topology_event *saga_events;
    size_t saga_event_count;
    int32_t retry_ms[TOPOLOGY_RETRIES]; // delays of the failure ladder, each above 0
};

// Makes the table; its memory is the arena's. Views of the options are kept.
// STATUS_INVALID: a delay of 0 or below.
enum status topology_make(const struct topology_options *options, struct arena *arena,
                          struct topology *topology) MUST_CHECK;

// Is the maximum an argument of the queue? That of work and dead-letter queues is a policy
// (permissions.h), since no argument of a queue that exists can be changed.
bool topology_queue_carries_maximum(const struct topology_queue *queue);

// The retry or the dead-letter exchange?
bool topology_is_ladder(struct str exchange);

// Would a queue of ours take it? Judged by the table, not by the broker.
bool topology_routes(const struct topology *topology, struct str exchange, struct str key);

// The role whose queue it is, of a work queue or a lane's: "inventory"; empty: no queue of ours.
struct str topology_role_of(struct str queue);

// The first queue that takes it; false: none.
bool topology_queue_of(const struct topology *topology, struct str exchange, struct str key,
                       struct str *queue);

// A lane's queue: "comanda.inventory.lane.0"; data NULL: no memory.
struct str topology_lane_queue(struct str work_queue, int lane, struct arena *arena);

// The routing key of a command by a lane: "0.inventory.reserve_reservation", which no context's own
// binding matches. data NULL: no memory.
struct str topology_lane_key(struct str command, int lane, struct arena *arena);

// Does a topic pattern ('*' one word, '#' any number of them) match a key?
bool topology_pattern_matches(struct str pattern, struct str key);

// The table as JSON: {"exchanges":[…],"queues":[…],"bindings":[…]}, each queue with its arguments.
enum status topology_print(const struct topology *topology, struct buffer *out) MUST_CHECK;
