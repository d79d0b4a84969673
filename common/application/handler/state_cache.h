// SPDX-License-Identifier: Apache-2.0
// Encoded states of the streams that a daemon used last, each checked by version at append. Least
// recently used go first; at most `entries_max`. Losing any of it costs a read, never correctness.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"

struct state_cache;

struct state_cache *state_cache_new(size_t entries_max, size_t entry_bytes_max);
void state_cache_free(struct state_cache *cache);

// 0: not there. The view lives until the next put or drop.
int32_t state_cache_get(struct state_cache *cache, struct uuid stream, struct str *state);

// Leaves out what is too large or out of memory.
void state_cache_put(struct state_cache *cache, struct uuid stream, int32_t version,
                     struct str state);

// Says which session at the log is read now. Another one than before may be at a server whose log
// is shorter, and has gone another way since: all is forgotten. True: something was.
bool state_cache_follow(struct state_cache *cache, unsigned session);

void state_cache_drop(struct state_cache *cache, struct uuid stream);
