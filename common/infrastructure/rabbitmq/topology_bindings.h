// SPDX-License-Identifier: Apache-2.0
// Which bindings of the table the broker lacks, by the management API: AMQP cannot ask for them.
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "base/str.h"
#include "infrastructure/rabbitmq/management.h"
#include "infrastructure/rabbitmq/topology.h"

enum { TOPOLOGY_BINDING_MAX = 512 };

struct topology_lost {
    size_t count;                     // bindings that are missing
    size_t of_log;                    // of them, those that the relay publishes over
    char first[TOPOLOGY_BINDING_MAX]; // "comanda.saga from comanda.events by order.OrderPlaced"
    char cause[MANAGEMENT_CAUSE_MAX]; // why it could not be looked; "" if it could
};

// Compares the table with a list of bindings as /api/bindings/VHOST gives it. STATUS_MALFORMED: it
// is none.
enum status topology_bindings_read(const struct topology *topology, struct str list,
                                   struct topology_lost *lost) MUST_CHECK;

// Asks and compares; blocks for 2 s at most. lost->cause says why on a failure.
enum status topology_bindings_ask(const struct topology *topology,
                                  const struct rabbitmq_management *management, const char *vhost,
                                  struct topology_lost *lost) MUST_CHECK;
