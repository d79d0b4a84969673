// SPDX-License-Identifier: Apache-2.0
// The message bus on RabbitMQ: one connection that publishes, one that consumes, each made when it
// is first needed and again when it is lost.
#include "infrastructure/rabbitmq/message_bus_rabbitmq.h"

#include <stdlib.h>

#include "infrastructure/rabbitmq/consumer.h"
#include "infrastructure/rabbitmq/publisher.h"

struct message_bus_rabbitmq {
    struct message_bus port;
    struct rabbitmq_publisher *publisher;
    struct rabbitmq_consumer *consumer; // NULL: publishes only
    bool has_published;
};

static struct message_bus_rabbitmq *self(struct message_bus *bus)
{
    return (struct message_bus_rabbitmq *)bus;
}

static enum status publish(struct message_bus *bus, const struct message *messages, size_t count,
                           int timeout_ms, enum publish_outcome *outcomes)
{
    self(bus)->has_published = true;
    return rabbitmq_publisher_publish(self(bus)->publisher, messages, count, timeout_ms, outcomes);
}

static enum status offer(struct message_bus *bus, const struct message *messages, size_t count,
                         size_t *taken)
{
    self(bus)->has_published = true;
    return rabbitmq_publisher_offer(self(bus)->publisher, messages, count, taken);
}

static enum status settle(struct message_bus *bus, int wait_ms, size_t max,
                          enum publish_outcome *outcomes, size_t *count)
{
    return rabbitmq_publisher_settle(self(bus)->publisher, wait_ms, max, outcomes, count);
}

static enum status receive(struct message_bus *bus, size_t max, int wait_ms, int linger_ms,
                           struct arena *arena, struct message **messages, size_t *count)
{
    struct rabbitmq_consumer *consumer = self(bus)->consumer;
    return consumer == NULL ? STATUS_INVALID
                            : rabbitmq_consumer_receive(consumer, max, wait_ms, linger_ms, arena,
                                                        messages, count);
}

static enum status also(struct message_bus *bus, const struct str *queues, size_t count)
{
    struct rabbitmq_consumer *consumer = self(bus)->consumer;
    return consumer == NULL ? STATUS_INVALID : rabbitmq_consumer_also(consumer, queues, count);
}

static enum status ack(struct message_bus *bus, uint64_t delivery_tag, bool multiple)
{
    struct rabbitmq_consumer *consumer = self(bus)->consumer;
    return consumer == NULL ? STATUS_INVALID
                            : rabbitmq_consumer_ack(consumer, delivery_tag, multiple);
}

static enum status requeue(struct message_bus *bus, uint64_t delivery_tag, bool multiple)
{
    struct rabbitmq_consumer *consumer = self(bus)->consumer;
    return consumer == NULL ? STATUS_INVALID
                            : rabbitmq_consumer_requeue(consumer, delivery_tag, multiple);
}

static void pause(struct message_bus *bus)
{
    if (self(bus)->consumer != NULL) {
        rabbitmq_consumer_pause(self(bus)->consumer);
    }
}

// A consumer that has never published opens no connection for it.
static enum status tick(struct message_bus *bus)
{
    struct rabbitmq_consumer *consumer = self(bus)->consumer;
    enum status published = STATUS_OK;
    if (self(bus)->has_published || consumer == NULL) {
        published = rabbitmq_publisher_tick(self(bus)->publisher);
    }
    enum status consumed = consumer == NULL ? STATUS_OK : rabbitmq_consumer_tick(consumer);
    return published == STATUS_OK ? consumed : published;
}

static const struct message_bus_ops ops = {
    .publish = publish,
    .offer = offer,
    .settle = settle,
    .receive = receive,
    .also = also,
    .ack = ack,
    .requeue = requeue,
    .pause = pause,
    .tick = tick,
};

struct message_bus_rabbitmq *message_bus_rabbitmq_new(const struct rabbitmq_settings *settings,
                                                      struct str queue)
{
    if (settings->window < 1 || settings->window > RABBITMQ_WINDOW_MAX || settings->prefetch < 1 ||
        settings->prefetch > RABBITMQ_PREFETCH_MAX) {
        return NULL;
    }
    struct message_bus_rabbitmq *bus = calloc(1, sizeof(*bus));
    if (bus == NULL) {
        return NULL;
    }
    bus->port.ops = &ops;
    bus->publisher = rabbitmq_publisher_new(settings);
    bus->consumer = queue.len == 0 ? NULL : rabbitmq_consumer_new(settings, queue);
    if (bus->publisher == NULL || (queue.len > 0 && bus->consumer == NULL)) {
        message_bus_rabbitmq_free(bus);
        return NULL;
    }
    return bus;
}

void message_bus_rabbitmq_free(struct message_bus_rabbitmq *bus)
{
    if (bus != NULL) {
        rabbitmq_publisher_free(bus->publisher);
        rabbitmq_consumer_free(bus->consumer);
        free(bus);
    }
}

struct message_bus *message_bus_rabbitmq_port(struct message_bus_rabbitmq *bus)
{
    return &bus->port;
}

struct message_bus_health message_bus_rabbitmq_health(const struct message_bus_rabbitmq *bus)
{
    const char *publisher = rabbitmq_publisher_cause(bus->publisher);
    const char *consumer = bus->consumer == NULL ? "" : rabbitmq_consumer_cause(bus->consumer);
    return (struct message_bus_health){
        .publishing = rabbitmq_publisher_connected(bus->publisher),
        .consuming = bus->consumer != NULL && rabbitmq_consumer_connected(bus->consumer),
        .blocked = rabbitmq_publisher_blocked(bus->publisher),
        .cause = consumer[0] != '\0' ? consumer : publisher,
    };
}
