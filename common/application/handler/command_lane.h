// SPDX-License-Identifier: Apache-2.0
// Which lane a command goes by: of the streams that it appends to beside its own target the lowest
// decides, so that commands for one hot stream meet in one queue and are decided together by one
// worker. Speed alone hangs on it: what keeps streams right is their version.
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "base/uuid.h"
#include "domain/bounded_context.h"

enum { COMMAND_LANE_NONE = 0, COMMAND_LANE_MAX = 65535 };

// 1 to COMMAND_LANE_MAX, the same for the same stream in every program; COMMAND_LANE_NONE: the
// command is not contended, is none of the registry's, or its payload cannot be read. Queues are
// fewer: the lane modulo their number.
uint16_t command_lane(struct str full_name, struct str tenant, struct uuid target,
                      struct str payload, struct arena *arena);
