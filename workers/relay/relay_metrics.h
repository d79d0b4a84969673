// SPDX-License-Identifier: Apache-2.0
// What the relay counts.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "application/ports/message_bus.h"
#include "application/ports/relay_lease.h"
#include "infrastructure/rabbitmq/topology.h"
#include "infrastructure/rabbitmq/topology_link.h"

void relay_metrics_leads(bool leads);
void relay_metrics_blocked(bool blocked);
void relay_metrics_refused(bool refused);
void relay_metrics_in_flight(size_t count);
void relay_metrics_confirmed(size_t count);
void relay_metrics_differing(size_t count);
void relay_metrics_lost_bindings(size_t count);
void relay_metrics_went_back(void);
void relay_metrics_backlog(const struct relay_backlog *backlog);

// Came back from the broker, which could give them to nobody.
void relay_metrics_returned(size_t count);

// Depths of the work queues and of the dead letters.
void relay_metrics_queues(const struct topology *topology,
                          const struct topology_queue_state *states);
