// SPDX-License-Identifier: Apache-2.0
// The relay's lease in this process's memory: several holders share one store of leases.
#pragma once

#include "application/ports/relay_lease.h"

struct lease_memory;

// What the holders share. log: whose tail the backlog counts. NULL: no memory.
struct lease_memory *lease_memory_new(struct event_store *log);
void lease_memory_free(struct lease_memory *leases); // NULL is fine; after all of its holders

// One holder's view, as one database session. NULL: no memory.
struct relay_lease *relay_lease_memory_new(struct lease_memory *leases);
void relay_lease_memory_free(struct relay_lease *relay); // a session that ends frees its lock
