// SPDX-License-Identifier: Apache-2.0
// Which life of Redis a value was written in. A server that comes back from an older dump, or a
// lagging replica that is promoted, holds documents older than some that were shown; a new
// generation makes all of them misses. A mark in Redis says which one it is, so that all edges and
// the projector agree without another place to ask (docs/adr/0014).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "infrastructure/redis/script.h"

enum {
    REDIS_GENERATION_LEN = 16,
    REDIS_MARK_MAX = 127,
    REDIS_LOOK_EVERY_MS = 500, // how often each connection asks anew
    REDIS_TRUST_MS = 1000,     // how long what it said holds, from when it was asked
};

// What one connection knows; begins as zeros.
struct redis_generation {
    char mark[REDIS_MARK_MAX + 1]; // as Redis said it last: generation, run id, replication id
    char fresh[REDIS_GENERATION_LEN + 1];
    char spoilt[REDIS_GENERATION_LEN + 1]; // never trusted again
};

// What to read and write in; empty as long as nothing may be trusted.
struct str redis_generation_name(const struct redis_generation *generation);

// EVALSHA: begins a generation where the server is another one than the mark's, or the mark's is
// spoilt; refused where the server takes no writes. The command's memory is the generation's.
struct redis_command redis_generation_ask(struct redis_generation *generation, uint64_t random);

// Takes the answer. False: it is no mark, and nothing is trusted.
bool redis_generation_take(struct redis_generation *generation, struct str answer);

// A write was refused, so that an older document may have stayed: nothing is trusted until Redis
// takes writes again, and then in another generation.
void redis_generation_spoil(struct redis_generation *generation);
