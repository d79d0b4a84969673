// SPDX-License-Identifier: Apache-2.0
// Puts the topology onto a broker, and looks whether it is there.
#include "infrastructure/rabbitmq/topology_link.h"

#include <stdio.h>

enum { ARGUMENTS_MAX = 6 };

static amqp_bytes_t bytes_of(struct str text)
{
    return (amqp_bytes_t){.len = text.len, .bytes = (void *)(uintptr_t)text.data};
}

struct arguments {
    amqp_table_entry_t entries[ARGUMENTS_MAX];
    int count;
};

static void add_text(struct arguments *arguments, const char *name, struct str text)
{
    arguments->entries[arguments->count++] = (amqp_table_entry_t){
        .key = amqp_cstring_bytes(name),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = bytes_of(text)}},
    };
}

static void add_number(struct arguments *arguments, const char *name, int32_t number)
{
    arguments->entries[arguments->count++] = (amqp_table_entry_t){
        .key = amqp_cstring_bytes(name),
        .value = {.kind = AMQP_FIELD_KIND_I32, .value = {.i32 = number}},
    };
}

static amqp_table_t table_of(struct arguments *arguments)
{
    return (amqp_table_t){arguments->count, arguments->entries};
}

// A message that has rested goes on at least once: it stays in the retry queue until the work queue
// has confirmed it, which RabbitMQ offers only together with reject-publish.
static void add_retry_arguments(struct arguments *arguments, const struct topology_queue *queue)
{
    add_number(arguments, "x-message-ttl", queue->ttl_ms);
    add_text(arguments, "x-dead-letter-exchange", STR(""));
    add_text(arguments, "x-dead-letter-routing-key", queue->work_queue);
    add_text(arguments, "x-dead-letter-strategy", STR("at-least-once"));
    add_text(arguments, "x-overflow", STR("reject-publish"));
}

// The unrouted queue is not durable: it holds copies of rows of the log for people to look at, and
// a durable one would make each confirm wait for a disk. It is made anew after a restart.
static void declare_queue(amqp_connection_state_t state, const struct topology_queue *queue)
{
    struct arguments arguments = {0};
    bool quorum = queue->role != QUEUE_UNROUTED;
    if (quorum) {
        add_text(&arguments, "x-queue-type", STR("quorum"));
    }
    if (queue->role == QUEUE_RETRY) {
        add_retry_arguments(&arguments, queue);
    }
    if (queue->length_max > 0 && arguments.count < ARGUMENTS_MAX) {
        add_number(&arguments, "x-max-length", queue->length_max);
    }
    amqp_queue_declare(state, RABBITMQ_CHANNEL, bytes_of(queue->name), 0, quorum, 0, 0,
                       table_of(&arguments));
}

static void declare_exchange(amqp_connection_state_t state,
                             const struct topology_exchange *exchange)
{
    struct arguments arguments = {0};
    if (exchange->alternate.len > 0) {
        add_text(&arguments, "alternate-exchange", exchange->alternate);
    }
    amqp_exchange_declare(state, RABBITMQ_CHANNEL, bytes_of(exchange->name),
                          bytes_of(exchange->type), 0, 1, 0, 0, table_of(&arguments));
}

static void declare_binding(amqp_connection_state_t state, const struct topology_binding *binding)
{
    amqp_queue_bind(state, RABBITMQ_CHANNEL, bytes_of(binding->queue), bytes_of(binding->exchange),
                    bytes_of(binding->key), amqp_empty_table);
}

static enum status judge(struct rabbitmq_connection *connection, struct str thing,
                         char cause[RABBITMQ_CAUSE_MAX])
{
    rabbitmq_connection_leave(connection);
    enum status status = rabbitmq_connection_replied(connection);
    if (status == STATUS_OK) {
        return STATUS_OK;
    }
    (void)snprintf(cause, RABBITMQ_CAUSE_MAX, "%.*s: %.180s", STR_FMT(thing),
                   rabbitmq_connection_cause(connection));
    switch (rabbitmq_connection_code(connection)) {
    case AMQP_NOT_FOUND:
        return STATUS_NOT_FOUND;
    case AMQP_PRECONDITION_FAILED:
    case AMQP_ACCESS_REFUSED:
        return STATUS_REFUSED;
    default:
        return status;
    }
}

enum status topology_declare(struct rabbitmq_connection *connection,
                             const struct topology *topology, char cause[RABBITMQ_CAUSE_MAX])
{
    enum status status = STATUS_OK;
    // The last exchange first: it is the alternate of others.
    for (size_t i = topology->exchange_count; i > 0 && status == STATUS_OK; i--) {
        declare_exchange(rabbitmq_connection_enter(connection), &topology->exchanges[i - 1]);
        status = judge(connection, topology->exchanges[i - 1].name, cause);
    }
    for (size_t i = 0; i < topology->queue_count && status == STATUS_OK; i++) {
        declare_queue(rabbitmq_connection_enter(connection), &topology->queues[i]);
        status = judge(connection, topology->queues[i].name, cause);
    }
    for (size_t i = 0; i < topology->binding_count && status == STATUS_OK; i++) {
        declare_binding(rabbitmq_connection_enter(connection), &topology->bindings[i]);
        status = judge(connection, topology->bindings[i].queue, cause);
    }
    return status;
}

static enum status check_queue(struct rabbitmq_connection *connection,
                               const struct topology_queue *queue,
                               struct topology_queue_state *state, char cause[RABBITMQ_CAUSE_MAX])
{
    amqp_queue_declare_ok_t *found =
        amqp_queue_declare(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL,
                           bytes_of(queue->name), 1, 0, 0, 0, amqp_empty_table);
    if (found != NULL) {
        *state = (struct topology_queue_state){found->message_count, found->consumer_count};
    }
    return judge(connection, queue->name, cause);
}

enum status topology_check(struct rabbitmq_connection *connection, const struct topology *topology,
                           struct topology_queue_state *states, char cause[RABBITMQ_CAUSE_MAX])
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < topology->exchange_count && status == STATUS_OK; i++) {
        const struct topology_exchange *exchange = &topology->exchanges[i];
        amqp_exchange_declare(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL,
                              bytes_of(exchange->name), bytes_of(exchange->type), 1, 0, 0, 0,
                              amqp_empty_table);
        status = judge(connection, exchange->name, cause);
    }
    for (size_t i = 0; i < topology->queue_count && status == STATUS_OK; i++) {
        status = check_queue(connection, &topology->queues[i], &states[i], cause);
    }
    return status;
}
