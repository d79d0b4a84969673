// SPDX-License-Identifier: Apache-2.0
// Memory with one lifetime: allocate freely, release all at once, never past a stated limit.
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; // the newest first
    size_t block_size;
    size_t used;      // bytes handed out since the last reset
    size_t limit_max; // bytes; an allocation past it gives NULL
};

// block_size: bytes taken from malloc at a time. No memory is taken before the first allocation.
void arena_init(struct arena *arena, size_t block_size, size_t limit_max);

// Gives all memory back to malloc. The arena may be used again.
void arena_free(struct arena *arena);

// Forgets all allocations and keeps one block for the next round.
void arena_reset(struct arena *arena);

// A reset that gives a block back when it is larger than keep_max bytes: for an arena that waits to
// be used again, perhaps for long.
void arena_trim(struct arena *arena, size_t keep_max);

// A place to come back to. Rewinding forgets what was allocated since and gives its blocks back;
// what was there before stays. A mark ends with a reset, and with a rewind to an older one.
struct arena_mark {
    struct arena_block *block; // NULL: the arena was empty
    size_t block_used;
    size_t used;
};
struct arena_mark arena_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, struct arena_mark mark);

// Zeroed memory, aligned for any type; NULL when the limit or malloc says no. Lives until reset.
void *arena_alloc(struct arena *arena, size_t size) MUST_CHECK;

// The same, but what is in it is not defined: for much that is written before it is read.
void *arena_alloc_raw(struct arena *arena, size_t size) MUST_CHECK;

// An array of `count` zeroed elements; NULL also when the product overflows.
void *arena_array(struct arena *arena, size_t count, size_t size) MUST_CHECK;

// A copy of the bytes with a NUL after them. data is NULL when there is no memory.
struct str arena_str(struct arena *arena, struct str text);

// printf into the arena; data is NULL when there is no memory.
struct str arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
