// SPDX-License-Identifier: Apache-2.0
// Proves that a queue's failure ladder may be written, without a message that stays anywhere.
#include "infrastructure/rabbitmq/ladder_proof.h"

#include <stdio.h>

#include "base/arena.h"
#include "infrastructure/rabbitmq/message_headers.h"
#include "infrastructure/rabbitmq/permissions.h"
#include "infrastructure/rabbitmq/topology.h"

enum { PROOF_WAIT_MS = 1000 }; // a broker under an alarm answers to no publisher at all

static enum status refused_or(const struct rabbitmq_connection *connection, enum status status)
{
    bool refused =
        status != STATUS_OK && rabbitmq_connection_code(connection) == AMQP_ACCESS_REFUSED;
    return refused ? STATUS_REFUSED : status;
}

// basic.publish has no answer; the one to the call after it tells whether the channel still stands.
enum status exchange_prove(struct rabbitmq_connection *connection, struct str exchange,
                           struct str key)
{
    int sent = amqp_basic_publish(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL,
                                  message_headers_bytes(exchange), message_headers_bytes(key), 0, 0,
                                  NULL, amqp_empty_bytes);
    rabbitmq_connection_leave(connection);
    enum status status = rabbitmq_connection_sent(connection, sent);
    if (status != STATUS_OK) {
        return status;
    }
    amqp_basic_qos(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL, 0, 1, 0);
    rabbitmq_connection_leave(connection);
    return refused_or(connection, rabbitmq_connection_replied(connection));
}

enum status queue_prove(struct rabbitmq_connection *connection, struct str queue)
{
    (void)amqp_basic_get(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL,
                         message_headers_bytes(queue), 0);
    rabbitmq_connection_leave(connection);
    return refused_or(connection, rabbitmq_connection_replied(connection));
}

static struct rabbitmq_settings hurried(const struct rabbitmq_settings *settings)
{
    struct rabbitmq_settings made = *settings;
    made.connect_timeout_ms = PROOF_WAIT_MS;
    made.rpc_timeout_ms = PROOF_WAIT_MS;
    return made;
}

bool queues_are_there(const struct rabbitmq_settings *settings, const struct str *queues,
                      size_t count)
{
    char cause[RABBITMQ_CAUSE_MAX];
    struct rabbitmq_connection *connection = NULL;
    struct rabbitmq_settings asking = hurried(settings);
    enum status status = rabbitmq_connection_open(&asking, "proof", &connection, cause);
    for (size_t at = 0; at < count && status == STATUS_OK; at++) {
        amqp_queue_declare(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL,
                           message_headers_bytes(queues[at]), 1, 0, 0, 0, amqp_empty_table);
        rabbitmq_connection_leave(connection);
        status = rabbitmq_connection_replied(connection);
    }
    rabbitmq_connection_close(connection);
    return status == STATUS_OK;
}

enum status ladder_prove(const struct rabbitmq_settings *settings, struct str queue,
                         char cause[RABBITMQ_CAUSE_MAX])
{
    struct arena arena;
    struct rabbitmq_connection *connection = NULL;
    struct rabbitmq_settings asking = hurried(settings);
    enum status status = rabbitmq_connection_open(&asking, "proof", &connection, cause);
    if (status != STATUS_OK) {
        return STATUS_UNAVAILABLE; // the consumer's own connection tells why
    }
    arena_init(&arena, 256, 4096);
    struct str key = broker_probe_key(queue, &arena);
    status = key.data == NULL ? STATUS_NO_MEMORY
                              : exchange_prove(connection, TOPOLOGY_RETRY_EXCHANGE, key);
    if (status == STATUS_OK) {
        status = exchange_prove(connection, TOPOLOGY_DEAD_EXCHANGE, key);
    }
    if (status == STATUS_REFUSED) {
        (void)snprintf(cause, RABBITMQ_CAUSE_MAX,
                       "%.250s; make the permissions anew: comandactl access rabbitmq",
                       rabbitmq_connection_cause(connection));
    }
    rabbitmq_connection_close(connection);
    arena_free(&arena);
    return status;
}
