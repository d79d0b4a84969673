// SPDX-License-Identifier: Apache-2.0
// Who serves a queue and how far, in PostgreSQL: a shared lock of the session says who, a row how
// far, as long as it is behind.
#pragma once

#include "application/ports/backlog_register.h"
#include "infrastructure/postgres/connection.h"

// postgres outlives it. NULL: no memory.
struct backlog_register *backlog_register_postgres_new(struct postgres *postgres);
void backlog_register_postgres_free(struct backlog_register *backlog); // NULL is fine
