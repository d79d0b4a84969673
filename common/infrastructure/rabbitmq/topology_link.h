// SPDX-License-Identifier: Apache-2.0
// Puts the topology onto a broker, and looks whether it is there.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "infrastructure/rabbitmq/connection.h"
#include "infrastructure/rabbitmq/topology.h"

// Declares everything; what is there already in the same shape stays as it is. cause: what the
// broker said against it, such as a queue that exists with other arguments. After a failure the
// connection is dead.
enum status topology_declare(struct rabbitmq_connection *connection,
                             const struct topology *topology,
                             char cause[RABBITMQ_CAUSE_MAX]) MUST_CHECK;

struct topology_queue_state {
    int64_t messages; // ready ones
    int64_t consumers;
};

// Looks at every exchange and queue without changing any. states: one a queue. STATUS_NOT_FOUND:
// *cause names the first that is missing, and the connection is dead.
enum status topology_check(struct rabbitmq_connection *connection, const struct topology *topology,
                           struct topology_queue_state *states,
                           char cause[RABBITMQ_CAUSE_MAX]) MUST_CHECK;
