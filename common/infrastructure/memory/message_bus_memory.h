// SPDX-License-Identifier: Apache-2.0
// A broker inside the process: exchanges, queues and bindings of a topology, for tests and for
// running everything in one process. Not for several threads.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "application/ports/message_bus.h"
#include "infrastructure/rabbitmq/topology.h"

struct memory_broker;
struct message_bus_memory;

// The topology outlives it. NULL: no memory.
struct memory_broker *memory_broker_new(const struct topology *topology);

// After all its buses.
void memory_broker_free(struct memory_broker *broker);

// Messages that lie in a queue, those in a consumer's hands left out; -1: no such queue.
int64_t memory_broker_depth(const struct memory_broker *broker, struct str queue);

// Lets time go on: messages that have rested long enough leave their retry queues.
void memory_broker_pass(struct memory_broker *broker, int64_t ms);

// queue: the one that receive reads; empty: none. NULL: no memory, or no such queue. window: how
// many offered messages may be unsettled, prefetch: how many received ones unacknowledged.
struct message_bus_memory *message_bus_memory_new(struct memory_broker *broker, struct str queue,
                                                  size_t window, size_t prefetch);

// Unacknowledged messages go back to the queue.
void message_bus_memory_free(struct message_bus_memory *bus);

struct message_bus *message_bus_memory_port(struct message_bus_memory *bus);
