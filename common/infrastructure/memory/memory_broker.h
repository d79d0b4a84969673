// SPDX-License-Identifier: Apache-2.0
// Queues and routing of the broker inside the process; for message_bus_memory.c alone.
#pragma once

#include <stdbool.h>

#include "infrastructure/memory/message_bus_memory.h"

struct memory_queue;

// One message in one queue or in one consumer's hands; texts and body lie behind it.
struct memory_copy {
    struct memory_copy *next;
    struct message message;
    int64_t due_ms;            // when it leaves a retry queue
    struct memory_queue *from; // in a consumer's hands: where it was taken
};

struct memory_queue {
    const struct topology_queue *shape;
    struct memory_copy *first;
    struct memory_copy *last;
    int64_t count;
};

struct memory_broker {
    const struct topology *topology;
    struct memory_queue *queues; // one a queue of the topology
    int64_t now_ms;
};

struct memory_queue *memory_broker_queue(const struct memory_broker *broker, struct str name);

// STATUS_NO_MEMORY; else *outcome as a broker would say.
enum status memory_broker_route(struct memory_broker *broker, const struct message *message,
                                enum publish_outcome *outcome) MUST_CHECK;

// NULL: the queue is empty.
struct memory_copy *memory_queue_take(struct memory_queue *queue);
void memory_queue_put_back(struct memory_queue *queue, struct memory_copy *copy);
