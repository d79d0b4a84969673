// SPDX-License-Identifier: Apache-2.0
// A message bus under test, in memory or on RabbitMQ, and what its contract's suites do with it.
#include "bus_subject.h"

#include <criterion/criterion.h>
#include <string.h>

static void open_subject(struct subject *subject)
{
    *subject = (struct subject){0};
    arena_init(&subject->arena, 64 * 1024, 64 * 1024 * 1024);
    struct topology_options options = {
        .registry = &counting_registry,
        .retry_ms = {RETRY_MS, 60000, 60000},
    };
    cr_assert_eq(topology_make(&options, &subject->arena, &subject->topology), STATUS_OK);
}

void open_memory(struct subject *subject)
{
    open_subject(subject);
    subject->memory = memory_broker_new(&subject->topology);
}

void open_rabbitmq(struct subject *subject)
{
    open_subject(subject);
    struct rabbitmq_connection *connection;
    char cause[RABBITMQ_CAUSE_MAX] = "";
    struct str fault;
    test_vhost_make(&subject->vhost);
    cr_assert_eq(rabbitmq_settings_read(str_from(subject->vhost.url), &subject->arena,
                                        &subject->settings, &fault),
                 STATUS_OK);
    subject->settings.window = WINDOW;
    subject->settings.prefetch = PREFETCH;
    cr_assert_eq(rabbitmq_connection_open(&subject->settings, "declare", &connection, cause),
                 STATUS_OK, "%s", cause);
    struct topology_report report;
    cr_assert_eq(topology_declare(connection, &subject->topology, &report), STATUS_OK, "%s",
                 report.cause);
    rabbitmq_connection_close(connection);
}

struct message_bus *open_bus(struct subject *subject, const char *queue)
{
    size_t at = subject->bus_count++;
    if (subject->memory != NULL) {
        subject->memory_buses[at] =
            message_bus_memory_new(subject->memory, str_from(queue), WINDOW, PREFETCH);
        cr_assert_not_null(subject->memory_buses[at]);
        return message_bus_memory_port(subject->memory_buses[at]);
    }
    subject->rabbitmq_buses[at] = message_bus_rabbitmq_new(&subject->settings, str_from(queue));
    cr_assert_not_null(subject->rabbitmq_buses[at]);
    return message_bus_rabbitmq_port(subject->rabbitmq_buses[at]);
}

// As when its process dies: nothing more is acknowledged.
void close_bus(struct subject *subject, size_t at)
{
    message_bus_memory_free(subject->memory_buses[at]);
    message_bus_rabbitmq_free(subject->rabbitmq_buses[at]);
    subject->memory_buses[at] = NULL;
    subject->rabbitmq_buses[at] = NULL;
}

void close_subject(struct subject *subject)
{
    for (size_t i = 0; i < subject->bus_count; i++) {
        close_bus(subject, i);
    }
    if (subject->memory == NULL) {
        test_vhost_drop(&subject->vhost);
    }
    memory_broker_free(subject->memory);
    arena_free(&subject->arena);
}

struct uuid id_of(uint32_t number)
{
    struct uuid id = {.bytes = {1, 2, 3, 4, 5, 6, 0x70, 8, 0x80}};
    memcpy(id.bytes + 12, &number, sizeof(number));
    return id;
}

struct message event(uint32_t number, const char *key)
{
    return (struct message){
        .id = id_of(number),
        .exchange = STR("comanda.events"),
        .routing_key = str_from(key),
        .content_type = STR("application/cloudevents+json"),
        .body = STR("{\"a\":\"\xc3\xa9\"}"),
    };
}

void publish_all(struct message_bus *bus, const struct message *messages, size_t count)
{
    enum publish_outcome outcomes[512];
    cr_assert_eq(message_bus_publish(bus, messages, count, WAIT_MS, outcomes), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(outcomes[i], PUBLISHED);
    }
}

void publish_events(struct message_bus *bus, uint32_t from, uint32_t to, const char *key)
{
    for (uint32_t number = from; number < to; number++) {
        struct message message = event(number, key);
        publish_all(bus, &message, 1);
    }
}

struct message *receive(struct subject *subject, struct message_bus *bus, size_t max, int wait_ms,
                        size_t *count)
{
    struct message *messages = NULL;
    *count = 0;
    cr_assert_eq(
        message_bus_receive(bus, max, wait_ms, LINGER_MS, &subject->arena, &messages, count),
        STATUS_OK);
    return messages;
}

// Exactly so many, however many calls it takes.
struct message *receive_exactly(struct subject *subject, struct message_bus *bus, size_t wanted)
{
    struct message *all = arena_array(&subject->arena, wanted + 1, sizeof(*all));
    size_t have = 0;
    for (int tries = 0; tries < 20 && have < wanted; tries++) {
        size_t count;
        struct message *some = receive(subject, bus, wanted - have, WAIT_MS, &count);
        for (size_t i = 0; i < count; i++) {
            all[have++] = some[i];
        }
    }
    cr_assert_eq(have, wanted, "%zu of %zu came", have, wanted);
    return all;
}

void assert_nothing_comes(struct subject *subject, struct message_bus *bus)
{
    size_t count;
    receive(subject, bus, 10, 300, &count);
    cr_assert_eq(count, 0);
}
