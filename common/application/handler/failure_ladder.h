// SPDX-License-Identifier: Apache-2.0
// Where a message goes that could not be handled: to a delay queue three times, then to the dead
// letters; poison goes there at once. Without I/O: it makes the copy, the caller publishes it.
#pragma once

#include <stdbool.h>

#include "application/handler/handler_batch.h"
#include "application/ports/message_bus.h"
#include "base/arena.h"
#include "base/instant.h"
#include "base/status.h"
#include "base/str.h"

enum { FAILURE_LADDER_RUNGS = 3, FAILURE_CAUSE_MAX = 500 }; // ARCHITECTURE.md, "Messages"

// The copy that takes the failed message's place: same id and body, one attempt more, the cause
// (cut to FAILURE_CAUSE_MAX bytes), times of the first and of this failure. *dead: it goes to the
// dead letters. outcome: MESSAGE_TRANSIENT or MESSAGE_POISON.
enum status failure_ladder_copy(struct str queue, const struct message *failed,
                                enum message_outcome outcome, struct str cause, instant_us now,
                                struct arena *arena, struct message *copy, bool *dead) MUST_CHECK;
