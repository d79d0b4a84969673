// SPDX-License-Identifier: Apache-2.0
// Who serves a role's lanes, as told in PostgreSQL.
#pragma once

#include "application/ports/lane_members.h"

struct postgres;

// postgres stays the caller's. NULL: no memory. For one thread.
struct lane_members *lane_members_postgres_new(struct postgres *postgres);
void lane_members_postgres_free(struct lane_members *members);
