// SPDX-License-Identifier: Apache-2.0
// When a stream that was read is worth a snapshot, and what is in it. Pure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "application/ports/event_store.h"
#include "base/arena.h"
#include "domain/bounded_context.h"

// How many rows past the last snapshot (or the stream's beginning) make another worth keeping. Read
// to the end: SNAPSHOT_EVERY, which bounds what the next one reads. On the way: SNAPSHOT_STEP. Who
// has to end on the way keeps whatever it has, so that the next one begins there.
enum { SNAPSHOT_EVERY = 100, SNAPSHOT_STEP = 1000, SNAPSHOT_ENDING = 1 };

static inline int32_t snapshot_least(bool complete)
{
    return complete ? (int32_t)SNAPSHOT_EVERY : (int32_t)SNAPSHOT_STEP;
}

// Writes the state down; its bytes are the arena's. False: it has no codec, or is too large to
// keep.
bool snapshot_write(const struct fold *fold, const void *state, struct arena *arena,
                    struct snapshot *snapshot) MUST_CHECK;
