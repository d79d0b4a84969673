// SPDX-License-Identifier: Apache-2.0
// The relay's loop: steps of the relay until SIGTERM, what they mean for log, metrics and
// readiness.
#pragma once

#include "application/relay/relay_run.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/rabbitmq/message_bus_rabbitmq.h"
#include "infrastructure/rabbitmq/topology.h"
#include "relay/topology_keeper.h"
#include "runtime/runtime.h"

struct relay_loop {
    struct relay_run run;
    struct postgres *postgres; // the log's connection, asked for the schema's version
    struct message_bus_rabbitmq *bus;
    struct topology_keeper *keeper;
    bool was_leading;
    bool was_blocked;
    size_t was_differing; // queues
    bool was_asked;       // for bindings, with an answer
    int64_t observe_at_ms;
    int64_t refusal_at_ms; // when the next one is told
    _Atomic bool *leads;   // for the loop of the housekeeping
};

// For runtime_loop: context is a struct relay_loop whose upper members are set, the rest zero.
int relay_loop_run(struct runtime *runtime, void *context);
