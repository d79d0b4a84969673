// SPDX-License-Identifier: Apache-2.0
// A message bus under test, in memory or on RabbitMQ, and what its contract's suites do with it.
#pragma once

#include "base/arena.h"
#include "base/monotonic.h"
#include "counting_context.h"
#include "infrastructure/memory/message_bus_memory.h"
#include "infrastructure/rabbitmq/connection.h"
#include "infrastructure/rabbitmq/message_bus_rabbitmq.h"
#include "infrastructure/rabbitmq/topology_link.h"
#include "test_vhost.h"

enum { WINDOW = 64, PREFETCH = 40, WAIT_MS = 30000, LINGER_MS = 50, RETRY_MS = 300 };

// The broker under test with one bus; more can be opened beside it.
struct subject {
    struct arena arena;
    struct topology topology;
    struct memory_broker *memory; // NULL: RabbitMQ
    struct test_vhost vhost;
    struct rabbitmq_settings settings; // of that virtual host
    struct message_bus_memory *memory_buses[4];
    struct message_bus_rabbitmq *rabbitmq_buses[4];
    size_t bus_count;
};

void open_memory(struct subject *subject);
void open_rabbitmq(struct subject *subject);
void close_subject(struct subject *subject);

struct message_bus *open_bus(struct subject *subject, const char *queue);
// As when its process dies: nothing more is acknowledged.
void close_bus(struct subject *subject, size_t at);

struct uuid id_of(uint32_t number);
struct message event(uint32_t number, const char *key);
void publish_all(struct message_bus *bus, const struct message *messages, size_t count);
void publish_events(struct message_bus *bus, uint32_t from, uint32_t to, const char *key);
struct message *receive(struct subject *subject, struct message_bus *bus, size_t max, int wait_ms,
                        size_t *count);
// Exactly so many, however many calls it takes.
struct message *receive_exactly(struct subject *subject, struct message_bus *bus, size_t wanted);
void assert_nothing_comes(struct subject *subject, struct message_bus *bus);

// Each promise once for each adapter.
#define PROMISE(promise)                \
    Test(message_bus_memory, promise)   \
    {                                   \
        struct subject subject;         \
        open_memory(&subject);          \
        promise(&subject);              \
        close_subject(&subject);        \
    }                                   \
    Test(message_bus_rabbitmq, promise) \
    {                                   \
        struct subject subject;         \
        open_rabbitmq(&subject);        \
        promise(&subject);              \
        close_subject(&subject);        \
    }
