// SPDX-License-Identifier: Apache-2.0
// Keeps exchanges and queues in place over a connection of its own, and counts what lies in them.
#pragma once

#include <stdbool.h>

#include "application/ports/message_bus.h"
#include "application/relay/relay_run.h"
#include "base/status.h"
#include "infrastructure/rabbitmq/link.h"
#include "infrastructure/rabbitmq/topology_bindings.h"
#include "infrastructure/rabbitmq/topology_link.h"

struct topology_keeper {
    const struct topology *topology; // without lanes once the broker has refused them
    struct topology without_lanes;
    struct topology_queue *queues; // of it
    struct topology_binding *bindings;
    struct rabbitmq_link link;
    int lanes;                                    // in use, of those that there are; 0: none
    struct topology_queue_state *states;          // one a queue, of the last look
    struct topology_report report;                // of the last look or declaration
    const struct rabbitmq_management *management; // asked for bindings; NULL: nobody is
    struct topology_lost lost;                    // bindings, of the last time that it was asked
    int64_t bind_at_ms;                           // at rest: when they are declared next
    int64_t ask_at_ms;                            // after a failure: when it is asked next
    bool declared;                                // once since the start
    bool owes_resend; // something was missing since; kept until all is declared again
};

// settings, topology and management (may be NULL) outlive it. lanes: 0 to TOPOLOGY_LANES. False: no
// memory.
bool topology_keeper_init(struct topology_keeper *keeper, const struct rabbitmq_settings *settings,
                          const struct topology *topology,
                          const struct rabbitmq_management *management, int lanes);
void topology_keeper_free(struct topology_keeper *keeper);

// For relay_ports.look; context is the keeper. The first look declares everything. *mended: a work,
// retry or dead queue, an exchange or a binding was missing, and has been made anew; told once all
// is in place, however many looks that takes. Each look deletes what programs of before have made
// and nobody needs.
//
// That a binding is missing is known when something that we want came back, and when the management
// API says so. It is not known, but mended within this look all the same, when neither is there to
// tell: another queue, ours or an outsider's, took what was sent meanwhile. At rest bindings are
// seen to once a minute.
enum status topology_keeper_look(void *context, struct relay_seen seen, bool *mended);

// For relay_ports.by_lane; context is the keeper. By its lane only if the lane had a consumer at
// the last look: older programs, and workers that are all away, leave it to the role's own queue.
enum status topology_keeper_by_lane(void *context, struct arena *arena, struct message *message);

// For relay_ports.wanted; context is the keeper.
bool topology_keeper_wants(void *context, const struct message *message);

// Why the last look failed, what it found differing, or why bindings are not compared; "" if all is
// well.
const char *topology_keeper_cause(const struct topology_keeper *keeper);
