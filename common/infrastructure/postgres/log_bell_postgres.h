// SPDX-License-Identifier: Apache-2.0
// The bell of the log on PostgreSQL: an advisory lock says that the relay sleeps, NOTIFY wakes it.
#pragma once

#include "application/ports/log_bell.h"
#include "infrastructure/postgres/connection.h"

// postgres stays the caller's; best the session that holds the lease, so that whoever ends a leader
// that hangs ends its sleep too. NULL: no memory.
struct log_bell *log_bell_postgres_new(struct postgres *postgres);
void log_bell_postgres_free(struct log_bell *bell); // NULL is fine
