// SPDX-License-Identifier: Apache-2.0
// Puts the topology onto a broker, and looks whether it is there.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "infrastructure/rabbitmq/connection.h"
#include "infrastructure/rabbitmq/topology.h"

// What was found that is not as the table says.
struct topology_report {
    size_t missing;                 // exchanges and queues that are not there
    size_t missing_work;            // of them, those that losing messages would follow from
    size_t differing;               // that exist with other arguments
    char cause[RABBITMQ_CAUSE_MAX]; // the broker's words on the first of them; "" if all is well
};

// Declares everything; what is there in the same shape stays as it is. What is there in another
// shape stays too and is reported: a broker in use is not torn down for a changed delay. On any
// failure but that the connection is dead, and report->cause says what the broker said.
enum status topology_declare(struct rabbitmq_connection *connection,
                             const struct topology *topology,
                             struct topology_report *report) MUST_CHECK;

struct topology_queue_state {
    bool exists;
    int64_t messages; // ready ones
    int64_t consumers;
};

// Looks at every exchange and queue without changing any. states: one a queue.
enum status topology_check(struct rabbitmq_connection *connection, const struct topology *topology,
                           struct topology_queue_state *states,
                           struct topology_report *report) MUST_CHECK;
