// SPDX-License-Identifier: Apache-2.0
// A broker inside the process: exchanges, queues and bindings of a topology, for tests and for
// running everything in one process. Not for several threads.
#include "infrastructure/memory/message_bus_memory.h"

#include <stdlib.h>

#include "base/arena.h"
#include "infrastructure/memory/memory_broker.h"

struct message_bus_memory {
    struct message_bus port;
    struct memory_broker *broker;
    struct memory_queue *queue; // NULL: publishes only
    struct memory_queue *also[MESSAGE_BUS_ALSO_MAX];
    size_t also_count;
    struct memory_copy *unacked; // oldest first
    uint64_t last_tag;
    size_t unacked_count;
    size_t prefetch;
    enum publish_outcome *outcomes; // of what was offered and not settled
    size_t window;
    size_t outcome_count;
};

static struct message_bus_memory *self(struct message_bus *bus)
{
    return (struct message_bus_memory *)bus;
}

static enum status publish(struct message_bus *bus, const struct message *messages, size_t count,
                           int timeout_ms, enum publish_outcome *outcomes)
{
    (void)timeout_ms;
    for (size_t i = 0; i < count; i++) {
        outcomes[i] = UNSETTLED;
    }
    for (size_t i = 0; i < count; i++) {
        enum status status = memory_broker_route(self(bus)->broker, &messages[i], &outcomes[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status offer(struct message_bus *bus, const struct message *messages, size_t count,
                         size_t *taken)
{
    struct message_bus_memory *memory = self(bus);
    size_t offered = 0;
    while (offered < count && memory->outcome_count < memory->window) {
        enum status status = memory_broker_route(memory->broker, &messages[offered],
                                                 &memory->outcomes[memory->outcome_count]);
        if (status != STATUS_OK) {
            memory->outcome_count = 0;
            return status;
        }
        memory->outcome_count++;
        offered++;
    }
    *taken = offered;
    return STATUS_OK;
}

static enum status settle(struct message_bus *bus, int wait_ms, size_t max,
                          enum publish_outcome *outcomes, size_t *count)
{
    (void)wait_ms;
    struct message_bus_memory *memory = self(bus);
    size_t settled = memory->outcome_count < max ? memory->outcome_count : max;
    for (size_t i = 0; i < settled; i++) {
        outcomes[i] = memory->outcomes[i];
    }
    for (size_t i = settled; i < memory->outcome_count; i++) {
        memory->outcomes[i - settled] = memory->outcomes[i];
    }
    memory->outcome_count -= settled;
    *count = settled;
    return STATUS_OK;
}

static void hold(struct message_bus_memory *memory, struct memory_copy *copy)
{
    struct memory_copy **last = &memory->unacked;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = copy;
    copy->message.delivery_tag = ++memory->last_tag;
    memory->unacked_count++;
}

static bool copy_texts(struct arena *arena, struct message *message)
{
    message->exchange = arena_str(arena, message->exchange);
    message->routing_key = arena_str(arena, message->routing_key);
    message->content_type = arena_str(arena, message->content_type);
    message->body = arena_str(arena, message->body);
    message->attempts.cause = arena_str(arena, message->attempts.cause);
    return message->exchange.data != NULL && message->routing_key.data != NULL &&
           message->content_type.data != NULL && message->body.data != NULL &&
           message->attempts.cause.data != NULL;
}

static size_t count_waiting(const struct message_bus_memory *memory)
{
    int64_t waiting = memory->queue->count;
    for (size_t at = 0; at < memory->also_count; at++) {
        waiting += memory->also[at]->count;
    }
    return (size_t)waiting;
}

// NULL: all are empty.
static struct memory_queue *first_waiting(const struct message_bus_memory *memory)
{
    struct memory_queue *found = memory->queue->first == NULL ? NULL : memory->queue;
    for (size_t at = 0; at < memory->also_count && found == NULL; at++) {
        found = memory->also[at]->first == NULL ? NULL : memory->also[at];
    }
    return found;
}

static enum status receive(struct message_bus *bus, size_t max, int wait_ms, int linger_ms,
                           struct arena *arena, struct message **messages, size_t *count)
{
    (void)wait_ms;
    (void)linger_ms;
    struct message_bus_memory *memory = self(bus);
    if (memory->queue == NULL) {
        return STATUS_INVALID;
    }
    max = max > count_waiting(memory) ? count_waiting(memory) : max;
    struct message *gathered = arena_array(arena, max, sizeof(*gathered));
    size_t taken = 0;
    struct memory_queue *queue;
    while (gathered != NULL && taken < max && memory->unacked_count < memory->prefetch &&
           (queue = first_waiting(memory)) != NULL) {
        struct message message = queue->first->message;
        if (!copy_texts(arena, &message)) {
            break;
        }
        hold(memory, memory_queue_take(queue));
        message.delivery_tag = memory->last_tag;
        gathered[taken++] = message;
    }
    if (gathered == NULL ||
        (taken == 0 && first_waiting(memory) != NULL && memory->unacked_count < memory->prefetch)) {
        return STATUS_NO_MEMORY;
    }
    *messages = gathered;
    *count = taken;
    return STATUS_OK;
}

static enum status also(struct message_bus *bus, const struct str *queues, size_t count)
{
    struct message_bus_memory *memory = self(bus);
    if (memory->queue == NULL || count > MESSAGE_BUS_ALSO_MAX) {
        return memory->queue == NULL ? STATUS_INVALID : STATUS_FULL;
    }
    memory->also_count = 0;
    for (size_t at = 0; at < count; at++) {
        memory->also[at] = memory_broker_queue(memory->broker, queues[at]);
        if (memory->also[at] == NULL) {
            memory->also_count = 0;
            return STATUS_NOT_FOUND;
        }
        memory->also_count++;
    }
    return STATUS_OK;
}

// Unlinks the first one that is meant; NULL: none.
static struct memory_copy *unhold(struct message_bus_memory *memory, uint64_t tag, bool multiple)
{
    for (struct memory_copy **at = &memory->unacked; *at != NULL; at = &(*at)->next) {
        struct memory_copy *copy = *at;
        uint64_t held = copy->message.delivery_tag;
        if (held == tag || (multiple && held < tag)) {
            *at = copy->next;
            memory->unacked_count--;
            return copy;
        }
    }
    return NULL;
}

static enum status ack(struct message_bus *bus, uint64_t delivery_tag, bool multiple)
{
    struct memory_copy *copy;
    while ((copy = unhold(self(bus), delivery_tag, multiple)) != NULL) {
        free(copy);
    }
    return STATUS_OK;
}

// Reversed, so that the oldest is put back last and stands first again.
static enum status requeue(struct message_bus *bus, uint64_t delivery_tag, bool multiple)
{
    struct memory_copy *reversed = NULL;
    struct memory_copy *copy;
    while ((copy = unhold(self(bus), delivery_tag, multiple)) != NULL) {
        copy->next = reversed;
        reversed = copy;
    }
    while ((copy = reversed) != NULL) {
        reversed = copy->next;
        copy->message.redelivered = true;
        memory_queue_put_back(copy->from, copy);
    }
    return STATUS_OK;
}

static void pause(struct message_bus *bus)
{
    (void)requeue(bus, UINT64_MAX, true);
    self(bus)->also_count = 0;
}

static enum status tick(struct message_bus *bus)
{
    (void)bus;
    return STATUS_OK;
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

struct message_bus_memory *message_bus_memory_new(struct memory_broker *broker, struct str queue,
                                                  size_t window, size_t prefetch)
{
    struct memory_queue *found = memory_broker_queue(broker, queue);
    if (queue.len > 0 && found == NULL) {
        return NULL;
    }
    struct message_bus_memory *bus = calloc(1, sizeof(*bus));
    enum publish_outcome *outcomes = calloc(window, sizeof(*outcomes));
    if (bus == NULL || outcomes == NULL) {
        free(bus);
        free(outcomes);
        return NULL;
    }
    *bus = (struct message_bus_memory){
        .port = {.ops = &ops},
        .broker = broker,
        .queue = found,
        .prefetch = prefetch,
        .outcomes = outcomes,
        .window = window,
    };
    return bus;
}

void message_bus_memory_free(struct message_bus_memory *bus)
{
    if (bus != NULL) {
        (void)requeue(&bus->port, UINT64_MAX, true);
        free(bus->outcomes);
        free(bus);
    }
}

struct message_bus *message_bus_memory_port(struct message_bus_memory *bus)
{
    return &bus->port;
}
