// SPDX-License-Identifier: Apache-2.0
// Keeps exchanges and queues in place over a connection of its own, and counts what lies in them.
#pragma once

#include <stdbool.h>

#include "application/ports/message_bus.h"
#include "base/status.h"
#include "infrastructure/rabbitmq/link.h"
#include "infrastructure/rabbitmq/topology_link.h"

struct topology_keeper {
    const struct topology *topology;
    struct rabbitmq_link link;
    struct topology_queue_state *states; // one a queue, of the last look
    struct topology_report report;       // of the last look or declaration
    bool declared;                       // once since the start
    bool owes_resend; // something was missing since; kept until all is declared again
};

// settings and topology outlive it. False: no memory.
bool topology_keeper_init(struct topology_keeper *keeper, const struct rabbitmq_settings *settings,
                          const struct topology *topology);
void topology_keeper_free(struct topology_keeper *keeper);

// For relay_ports.look; context is the keeper. The first look declares everything, and so does one
// after something of ours came back: a binding is missing. *mended: that, or a work, retry or dead
// queue or an exchange was missing, and has been made anew; told once all is in place, however many
// looks that takes. Each look deletes what programs of before have made and nobody needs.
enum status topology_keeper_look(void *context, bool returned, bool *mended);

// For relay_ports.wanted; context is the keeper.
bool topology_keeper_wants(void *context, const struct message *message);

// Why the last look failed, or what it found differing; "" if all is well.
const char *topology_keeper_cause(const struct topology_keeper *keeper);
