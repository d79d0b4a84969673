// SPDX-License-Identifier: Apache-2.0
// comandactl doctor: has the cache a limit, and does it make room when that is reached?
#pragma once

#include <hiredis/hiredis.h>

#include "doctor.h"

// Says one finding about the memory of the connected server.
void doctor_redis_memory(struct doctor *doctor, redisContext *context);
