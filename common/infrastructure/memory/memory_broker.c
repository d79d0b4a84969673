// SPDX-License-Identifier: Apache-2.0
// Queues and routing of the broker inside the process; for message_bus_memory.c alone.
#include "infrastructure/memory/memory_broker.h"

#include <stdlib.h>
#include <string.h>

struct memory_broker *memory_broker_new(const struct topology *topology)
{
    struct memory_broker *broker = calloc(1, sizeof(*broker));
    if (broker == NULL) {
        return NULL;
    }
    broker->topology = topology;
    broker->queues = calloc(topology->queue_count, sizeof(*broker->queues));
    if (broker->queues == NULL) {
        free(broker);
        return NULL;
    }
    for (size_t i = 0; i < topology->queue_count; i++) {
        broker->queues[i].shape = &topology->queues[i];
    }
    return broker;
}

void memory_broker_free(struct memory_broker *broker)
{
    if (broker == NULL) {
        return;
    }
    for (size_t i = 0; i < broker->topology->queue_count; i++) {
        struct memory_copy *copy;
        while ((copy = memory_queue_take(&broker->queues[i])) != NULL) {
            free(copy);
        }
    }
    free(broker->queues);
    free(broker);
}

struct memory_queue *memory_broker_queue(const struct memory_broker *broker, struct str name)
{
    for (size_t i = 0; i < broker->topology->queue_count; i++) {
        if (str_eq(broker->queues[i].shape->name, name)) {
            return &broker->queues[i];
        }
    }
    return NULL;
}

int64_t memory_broker_depth(const struct memory_broker *broker, struct str queue)
{
    const struct memory_queue *found = memory_broker_queue(broker, queue);
    return found == NULL ? -1 : found->count;
}

struct memory_copy *memory_queue_take(struct memory_queue *queue)
{
    struct memory_copy *copy = queue->first;
    if (copy != NULL) {
        queue->first = copy->next;
        queue->last = queue->first == NULL ? NULL : queue->last;
        queue->count--;
        copy->next = NULL;
        copy->from = queue;
    }
    return copy;
}

void memory_queue_put_back(struct memory_queue *queue, struct memory_copy *copy)
{
    copy->next = queue->first;
    queue->first = copy;
    queue->last = queue->last == NULL ? copy : queue->last;
    queue->count++;
}

static void append(struct memory_queue *queue, struct memory_copy *copy)
{
    copy->next = NULL;
    if (queue->last == NULL) {
        queue->first = copy;
    } else {
        queue->last->next = copy;
    }
    queue->last = copy;
    queue->count++;
}

static struct str keep(char **at, struct str text)
{
    struct str kept = {*at, text.len};
    if (text.len > 0) {
        memcpy(*at, text.data, text.len);
    }
    *at += text.len;
    return kept;
}

static struct memory_copy *copy_of(const struct message *message)
{
    size_t bytes = message->exchange.len + message->routing_key.len + message->content_type.len +
                   message->body.len + message->attempts.cause.len;
    struct memory_copy *copy = malloc(sizeof(*copy) + bytes);
    if (copy == NULL) {
        return NULL;
    }
    char *at = (char *)(copy + 1);
    *copy = (struct memory_copy){.message = *message};
    copy->message.exchange = keep(&at, message->exchange);
    copy->message.routing_key = keep(&at, message->routing_key);
    copy->message.content_type = keep(&at, message->content_type);
    copy->message.body = keep(&at, message->body);
    copy->message.attempts.cause = keep(&at, message->attempts.cause);
    copy->message.redelivered = false;
    return copy;
}

static bool is_full(const struct memory_queue *queue)
{
    return queue->shape->length_max > 0 && queue->count >= queue->shape->length_max;
}

static enum status enqueue(struct memory_broker *broker, struct memory_queue *queue,
                           const struct message *message, enum publish_outcome *outcome)
{
    bool full = is_full(queue);
    if (full && queue->shape->role != QUEUE_UNROUTABLE) {
        *outcome = NACKED;
        return STATUS_OK;
    }
    if (full) {
        free(memory_queue_take(queue));
    }
    struct memory_copy *copy = copy_of(message);
    if (copy == NULL) {
        return STATUS_NO_MEMORY;
    }
    copy->due_ms = broker->now_ms + queue->shape->ttl_ms;
    append(queue, copy);
    return STATUS_OK;
}

static bool bound(const struct memory_broker *broker, struct str exchange, struct str key,
                  struct str queue)
{
    for (size_t i = 0; i < broker->topology->binding_count; i++) {
        const struct topology_binding *binding = &broker->topology->bindings[i];
        if (str_eq(binding->exchange, exchange) && str_eq(binding->queue, queue) &&
            topology_pattern_matches(binding->key, key)) {
            return true;
        }
    }
    return false;
}

static struct str alternate_of(const struct memory_broker *broker, struct str exchange)
{
    for (size_t i = 0; i < broker->topology->exchange_count; i++) {
        if (str_eq(broker->topology->exchanges[i].name, exchange)) {
            return broker->topology->exchanges[i].alternate;
        }
    }
    return STR("");
}

// Into every queue that wants it; *routed tells whether one did.
static enum status route_to(struct memory_broker *broker, struct str exchange, struct str key,
                            const struct message *message, bool *routed,
                            enum publish_outcome *outcome)
{
    *routed = false;
    for (size_t i = 0; i < broker->topology->queue_count; i++) {
        struct memory_queue *queue = &broker->queues[i];
        bool wants = exchange.len == 0 ? str_eq(queue->shape->name, key)
                                       : bound(broker, exchange, key, queue->shape->name);
        enum status status = wants ? enqueue(broker, queue, message, outcome) : STATUS_OK;
        if (status != STATUS_OK) {
            return status;
        }
        *routed = *routed || wants;
    }
    return STATUS_OK;
}

enum status memory_broker_route(struct memory_broker *broker, const struct message *message,
                                enum publish_outcome *outcome)
{
    bool routed;
    *outcome = PUBLISHED;
    enum status status =
        route_to(broker, message->exchange, message->routing_key, message, &routed, outcome);
    struct str alternate = alternate_of(broker, message->exchange);
    if (status == STATUS_OK && !routed && alternate.len > 0) {
        status = route_to(broker, alternate, STR(""), message, &routed, outcome);
    }
    if (status == STATUS_OK && !routed) {
        *outcome = message->optional ? PUBLISHED : RETURNED;
    }
    return status;
}

// As the broker does: the message leaves with the default exchange and the work queue's name, and
// stays as long as that has no room.
static void go_on(struct memory_queue *queue, struct memory_queue *work)
{
    struct memory_copy *copy = memory_queue_take(queue);
    copy->message.exchange = STR("");
    copy->message.routing_key = queue->shape->work_queue;
    append(work, copy);
}

void memory_broker_pass(struct memory_broker *broker, int64_t ms)
{
    broker->now_ms += ms;
    for (size_t i = 0; i < broker->topology->queue_count; i++) {
        struct memory_queue *queue = &broker->queues[i];
        struct memory_queue *work = memory_broker_queue(broker, queue->shape->work_queue);
        while (queue->shape->role == QUEUE_RETRY && queue->first != NULL &&
               queue->first->due_ms <= broker->now_ms && !is_full(work)) {
            go_on(queue, work);
        }
    }
}
