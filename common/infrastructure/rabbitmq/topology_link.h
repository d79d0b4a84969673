// SPDX-License-Identifier: Apache-2.0
// Puts the topology onto a broker, and looks whether it is there.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "infrastructure/rabbitmq/connection.h"
#include "infrastructure/rabbitmq/topology.h"
#include "infrastructure/rabbitmq/topology_difference.h"

// What was found that is not as the table says.
struct topology_report {
    size_t missing;                   // exchanges and queues that are not there
    size_t missing_work;              // of them, those that losing messages would follow from
    bool lane_refused;                // the user may not declare a lane: older permissions
    size_t differing;                 // that exist with other arguments
    struct topology_difference first; // of those
    char cause[RABBITMQ_CAUSE_MAX];   // the broker's words on the first of them; "" if all is well
};

// Declares everything; what is there in the same shape stays as it is. What is there in another
// shape stays too and is reported: a broker in use is not torn down for a changed delay. On any
// failure but that the connection is dead, and report->cause says what the broker said.
enum status topology_declare(struct rabbitmq_connection *connection,
                             const struct topology *topology,
                             struct topology_report *report) MUST_CHECK;

// Declares the bindings alone, which changes nothing where they are there. AMQP cannot ask for
// them. with_ladder false: but those of retry and dead-letter queues, one of which somebody may be
// emptying.
enum status topology_bind(struct rabbitmq_connection *connection, const struct topology *topology,
                          bool with_ladder, struct topology_report *report) MUST_CHECK;

struct topology_queue_state {
    bool exists;
    int64_t messages; // ready ones
    int64_t consumers;
};

// Looks at every exchange and queue without changing any. states: one a queue.
enum status topology_check(struct rabbitmq_connection *connection, const struct topology *topology,
                           struct topology_queue_state *states,
                           struct topology_report *report) MUST_CHECK;

// Deletes the queue that programs of before bind behind comanda.unrouted: as long as it stands,
// every event that nobody wants is stored, and no command comes back. One of them that leads later
// finds it missing and makes it anew, so that neither stops the other. Not there is well, too.
enum status topology_retire(struct rabbitmq_connection *connection,
                            struct topology_report *report) MUST_CHECK;

// Looks whether the queues that exist have the table's arguments, by declaring them once more,
// which changes nothing; states: of topology_check. Wants the right to configure: STATUS_REFUSED
// without.
enum status topology_compare(struct rabbitmq_connection *connection,
                             const struct topology *topology,
                             const struct topology_queue_state *states,
                             struct topology_report *report) MUST_CHECK;

// Two halves of giving a queue that differs its new arguments; in between its messages are to be
// moved away, since the second deletes it. After the first nothing new gets in: publishers get
// their messages returned and offer them again. On a failure report->cause has the broker's words.
enum status topology_unbind_queue(struct rabbitmq_connection *connection,
                                  const struct topology *topology,
                                  const struct topology_queue *queue,
                                  struct topology_report *report) MUST_CHECK;
enum status topology_replace_queue(struct rabbitmq_connection *connection,
                                   const struct topology *topology,
                                   const struct topology_queue *queue,
                                   struct topology_report *report) MUST_CHECK;
