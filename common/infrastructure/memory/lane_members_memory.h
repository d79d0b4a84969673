// SPDX-License-Identifier: Apache-2.0
// Who serves a role's lanes, in this process alone: for tests and for running all in one process.
#pragma once

#include "application/ports/lane_members.h"

// NULL: no memory. For one thread.
struct lane_members *lane_members_memory_new(void);
void lane_members_memory_free(struct lane_members *members);
