// SPDX-License-Identifier: Apache-2.0
// The sagas' definitions and the broker's topology, as verbs of the operator need them.
#pragma once

#include "application/saga/definition.h"
#include "command.h"
#include "infrastructure/rabbitmq/connection.h"
#include "infrastructure/rabbitmq/topology.h"
#include "infrastructure/rabbitmq/topology_bindings.h"

// From the folder of --sagas or COMANDA_SAGAS, else conf/sagas.
enum ctl_exit ctl_sagas(struct ctl *ctl, const struct saga_definitions **definitions);

// NULL: the folder or a file of it cannot be read.
const struct saga_definitions *ctl_sagas_if_readable(struct ctl *ctl);

// Are the delays of the failure ladder named, by --retry or COMANDA_RETRY_1 to _3?
bool ctl_names_delays(struct ctl *ctl);

// What the relay declares, made from the contexts, the definitions and the delays; those that are
// not named have the daemons' defaults.
enum ctl_exit ctl_topology(struct ctl *ctl, const struct saga_definitions *definitions,
                           struct topology *topology);

// As --amqp or COMANDA_AMQP says.
enum ctl_exit ctl_amqp(struct ctl *ctl, struct rabbitmq_settings *settings);
enum ctl_exit ctl_amqp_open(struct ctl *ctl, const struct rabbitmq_settings *settings,
                            struct rabbitmq_connection **connection);

// Compares the bindings, where --management or COMANDA_AMQP_MANAGEMENT names the API that can.
// False: it does not, and nothing is known. What went wrong stands in lost->cause.
bool ctl_lost_bindings(struct ctl *ctl, const struct topology *topology, const char *vhost,
                       struct topology_lost *lost);
