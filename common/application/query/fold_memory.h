// SPDX-License-Identifier: Apache-2.0
// The memory of folds that read long streams: bounded by the states, not by how many rows were
// applied. States may keep views into rows, so what rows leave behind is given back by moving the
// states: through their own codec, to where the arena stood when the memory was opened. Pure.
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "domain/bounded_context.h"

// One state, wherever its fold keeps it. It must stay at its place while it is among the memory's.
struct fold_slot {
    const struct fold *fold;
    void *state; // NULL: not begun
    struct fold_slot *next;
};

struct fold_memory {
    struct arena *arena;
    struct arena_mark mark;
    size_t due; // bytes of the arena at which states are moved
    struct fold_slot *slots;
};

// While it is open, nothing but the states of its slots may be kept in the arena across `settle`.
void fold_memory_open(struct fold_memory *memory, struct arena *arena);

void fold_memory_add(struct fold_memory *memory, struct fold_slot *slot, const struct fold *fold);

// Between two rows: moves the states when enough has been left behind. A state that is too large
// for its codec, or has none, is let be: then the arena's limit decides. STATUS_NO_MEMORY.
enum status fold_memory_settle(struct fold_memory *memory) MUST_CHECK;

// From here on nothing is moved: the arena may be used for other things.
void fold_memory_close(struct fold_memory *memory);
