// SPDX-License-Identifier: Apache-2.0
// The relay's lease on PostgreSQL, with blocking calls.
#pragma once

#include "application/ports/relay_lease.h"
#include "infrastructure/postgres/connection.h"

// The lock belongs to the connection's session, so give the lease a connection of its own, which
// outlives it. NULL: no memory.
struct relay_lease *relay_lease_postgres_new(struct postgres *postgres);
void relay_lease_postgres_free(struct relay_lease *relay); // NULL is fine
