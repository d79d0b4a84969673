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

static void add_true(struct arguments *arguments, const char *name)
{
    arguments->entries[arguments->count++] = (amqp_table_entry_t){
        .key = amqp_cstring_bytes(name),
        .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = 1}},
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

static void declare_queue(amqp_connection_state_t state, const struct topology_queue *queue)
{
    struct arguments arguments = {0};
    add_text(&arguments, "x-queue-type", STR("quorum"));
    if (queue->role == QUEUE_LANE) {
        add_true(&arguments, "x-single-active-consumer");
        add_text(&arguments, "x-overflow", STR("reject-publish"));
    }
    if (queue->role == QUEUE_RETRY) {
        add_retry_arguments(&arguments, queue);
    }
    if (topology_queue_carries_maximum(queue) && arguments.count < ARGUMENTS_MAX) {
        add_number(&arguments, "x-max-length", queue->length_max);
    }
    amqp_queue_declare(state, RABBITMQ_CHANNEL, bytes_of(queue->name), 0, 1, 0, 0,
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

static void keep_cause(struct topology_report *report, struct str thing,
                       const struct rabbitmq_connection *connection)
{
    if (report->cause[0] == '\0') {
        (void)snprintf(report->cause, sizeof(report->cause), "%.*s: %.180s", STR_FMT(thing),
                       rabbitmq_connection_cause(connection));
    }
}

// One RPC is over. *found: 200 (fine), 404 or 406, after which the channel is open again.
static enum status judge(struct rabbitmq_connection *connection, struct str thing,
                         struct topology_report *report, int *found)
{
    rabbitmq_connection_leave(connection);
    enum status status = rabbitmq_connection_replied(connection);
    *found = AMQP_REPLY_SUCCESS;
    if (status == STATUS_OK) {
        return STATUS_OK;
    }
    *found = rabbitmq_connection_code(connection);
    keep_cause(report, thing, connection);
    if (*found == AMQP_ACCESS_REFUSED) {
        return STATUS_REFUSED;
    }
    return *found == AMQP_NOT_FOUND || *found == AMQP_PRECONDITION_FAILED
               ? rabbitmq_connection_reopen(connection)
               : status;
}

static enum status judge_declared(struct rabbitmq_connection *connection, struct str thing,
                                  struct topology_report *report)
{
    int found;
    enum status status = judge(connection, thing, report, &found);
    if (found == AMQP_PRECONDITION_FAILED && report->differing++ == 0) {
        report->first =
            topology_difference_read(thing, str_from(rabbitmq_connection_cause(connection)));
    }
    return status == STATUS_OK && found == AMQP_NOT_FOUND ? STATUS_NOT_FOUND : status;
}

// Users whose permissions were made before that queue was do without it: what nobody takes is then
// told and counted, and lies in the log alone.
static enum status judge_declared_queue(struct rabbitmq_connection *connection,
                                        const struct topology_queue *queue,
                                        struct topology_report *report)
{
    enum status status = judge_declared(connection, queue->name, report);
    return status == STATUS_REFUSED && queue->role == QUEUE_UNROUTABLE
               ? rabbitmq_connection_reopen(connection)
               : status;
}

enum status topology_bind(struct rabbitmq_connection *connection, const struct topology *topology,
                          bool with_ladder, struct topology_report *report)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < topology->binding_count && status == STATUS_OK; i++) {
        if (with_ladder || !topology_is_ladder(topology->bindings[i].exchange)) {
            declare_binding(rabbitmq_connection_enter(connection), &topology->bindings[i]);
            status = judge_declared(connection, topology->bindings[i].queue, report);
        }
    }
    return status;
}

enum status topology_declare(struct rabbitmq_connection *connection,
                             const struct topology *topology, struct topology_report *report)
{
    enum status status = STATUS_OK;
    *report = (struct topology_report){0};
    // The last exchange first: it is the alternate of others.
    for (size_t i = topology->exchange_count; i > 0 && status == STATUS_OK; i--) {
        declare_exchange(rabbitmq_connection_enter(connection), &topology->exchanges[i - 1]);
        status = judge_declared(connection, topology->exchanges[i - 1].name, report);
    }
    for (size_t i = 0; i < topology->queue_count && status == STATUS_OK; i++) {
        declare_queue(rabbitmq_connection_enter(connection), &topology->queues[i]);
        status = judge_declared_queue(connection, &topology->queues[i], report);
        report->lane_refused = status == STATUS_REFUSED && topology->queues[i].role == QUEUE_LANE;
    }
    return status == STATUS_OK ? topology_bind(connection, topology, true, report) : status;
}

static enum status check_exchange(struct rabbitmq_connection *connection,
                                  const struct topology_exchange *exchange,
                                  struct topology_report *report)
{
    int found;
    amqp_exchange_declare(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL,
                          bytes_of(exchange->name), bytes_of(exchange->type), 1, 0, 0, 0,
                          amqp_empty_table);
    enum status status = judge(connection, exchange->name, report, &found);
    report->missing += found == AMQP_NOT_FOUND;
    report->missing_work += found == AMQP_NOT_FOUND;
    return status;
}

static enum status check_queue(struct rabbitmq_connection *connection,
                               const struct topology_queue *queue,
                               struct topology_queue_state *state, struct topology_report *report)
{
    int found;
    amqp_queue_declare_ok_t *declared =
        amqp_queue_declare(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL,
                           bytes_of(queue->name), 1, 0, 0, 0, amqp_empty_table);
    *state = (struct topology_queue_state){0};
    if (declared != NULL) {
        *state =
            (struct topology_queue_state){true, declared->message_count, declared->consumer_count};
    }
    enum status status = judge(connection, queue->name, report, &found);
    report->missing += found == AMQP_NOT_FOUND;
    // The last holds copies only.
    report->missing_work += found == AMQP_NOT_FOUND && queue->role != QUEUE_UNROUTABLE;
    return status;
}

enum status topology_check(struct rabbitmq_connection *connection, const struct topology *topology,
                           struct topology_queue_state *states, struct topology_report *report)
{
    enum status status = STATUS_OK;
    *report = (struct topology_report){0};
    for (size_t i = 0; i < topology->exchange_count && status == STATUS_OK; i++) {
        status = check_exchange(connection, &topology->exchanges[i], report);
    }
    for (size_t i = 0; i < topology->queue_count && status == STATUS_OK; i++) {
        status = check_queue(connection, &topology->queues[i], &states[i], report);
    }
    return status;
}

enum status topology_compare(struct rabbitmq_connection *connection,
                             const struct topology *topology,
                             const struct topology_queue_state *states,
                             struct topology_report *report)
{
    enum status status = STATUS_OK;
    *report = (struct topology_report){0};
    for (size_t i = 0; i < topology->queue_count && status == STATUS_OK; i++) {
        if (states[i].exists) {
            declare_queue(rabbitmq_connection_enter(connection), &topology->queues[i]);
            status = judge_declared(connection, topology->queues[i].name, report);
        }
    }
    return status;
}

enum status topology_retire(struct rabbitmq_connection *connection, struct topology_report *report)
{
    int found;
    amqp_queue_delete(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL,
                      bytes_of(TOPOLOGY_UNROUTED), 0, 0);
    return judge(connection, TOPOLOGY_UNROUTED, report, &found);
}

enum status topology_unbind_queue(struct rabbitmq_connection *connection,
                                  const struct topology *topology,
                                  const struct topology_queue *queue,
                                  struct topology_report *report)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < topology->binding_count && status == STATUS_OK; i++) {
        const struct topology_binding *binding = &topology->bindings[i];
        if (str_eq(binding->queue, queue->name)) {
            amqp_queue_unbind(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL,
                              bytes_of(binding->queue), bytes_of(binding->exchange),
                              bytes_of(binding->key), amqp_empty_table);
            status = judge_declared(connection, queue->name, report);
        }
    }
    return status;
}

enum status topology_replace_queue(struct rabbitmq_connection *connection,
                                   const struct topology *topology,
                                   const struct topology_queue *queue,
                                   struct topology_report *report)
{
    *report = (struct topology_report){0};
    amqp_queue_delete(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL,
                      bytes_of(queue->name), 0, 0);
    enum status status = judge_declared(connection, queue->name, report);
    if (status == STATUS_OK) {
        declare_queue(rabbitmq_connection_enter(connection), queue);
        status = judge_declared(connection, queue->name, report);
    }
    for (size_t i = 0; i < topology->binding_count && status == STATUS_OK; i++) {
        if (str_eq(topology->bindings[i].queue, queue->name)) {
            declare_binding(rabbitmq_connection_enter(connection), &topology->bindings[i]);
            status = judge_declared(connection, queue->name, report);
        }
    }
    return status;
}
