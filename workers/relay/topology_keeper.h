// SPDX-License-Identifier: Apache-2.0
// Keeps exchanges and queues in place over a connection of its own, and counts what lies in them.
#pragma once

#include <stdbool.h>

#include "application/ports/message_bus.h"
#include "base/status.h"
#include "infrastructure/rabbitmq/link.h"
#include "infrastructure/rabbitmq/topology_link.h"

struct topology_keeper {
    const struct topology *topology; // without lanes once the broker has refused them
    struct topology without_lanes;
    struct topology_queue *queues; // of it
    struct topology_binding *bindings;
    struct rabbitmq_link link;
    int lanes;                           // in use, of those that there are; 0: none
    struct topology_queue_state *states; // one a queue, of the last look
    struct topology_report report;       // of the last look or declaration
    bool declared;                       // once since the start
    bool owes_resend; // something was missing since; kept until all is declared again
};

// settings and topology outlive it. lanes: 0 to TOPOLOGY_LANES. False: no memory.
bool topology_keeper_init(struct topology_keeper *keeper, const struct rabbitmq_settings *settings,
                          const struct topology *topology, int lanes);
void topology_keeper_free(struct topology_keeper *keeper);

// For relay_ports.look; context is the keeper. The first look declares everything. *mended: a work,
// retry or dead queue or an exchange was missing and has been made anew; told once all is in place,
// however many looks that takes.
enum status topology_keeper_look(void *context, bool *mended);

// For relay_ports.by_lane; context is the keeper. By its lane only if the lane had a consumer at
// the last look: older programs, and workers that are all away, leave it to the role's own queue.
enum status topology_keeper_by_lane(void *context, struct arena *arena, struct message *message);

// Why the last look failed, or what it found differing; "" if all is well.
const char *topology_keeper_cause(const struct topology_keeper *keeper);
