// SPDX-License-Identifier: Apache-2.0
// The topology of the contexts linked in and of the sagas that a program has loaded.
#pragma once

#include "application/saga/definition.h"
#include "infrastructure/rabbitmq/topology.h"

// As topology_make, with every event that starts or cancels one of the sagas.
enum status topology_make_of_sagas(const struct context_registry *registry,
                                   const struct saga_definitions *sagas,
                                   const int32_t retry_ms[TOPOLOGY_RETRIES], struct arena *arena,
                                   struct topology *topology) MUST_CHECK;
