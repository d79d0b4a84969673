// SPDX-License-Identifier: Apache-2.0
// The event store on PostgreSQL, with blocking calls.
#pragma once

#include "application/ports/event_store.h"
#include "infrastructure/postgres/connection.h"

// Uses the connection, which outlives it; several stores may share one within a thread. NULL: no
// memory.
struct event_store *event_store_postgres_new(struct postgres *postgres);
void event_store_postgres_free(struct event_store *store); // NULL is fine
