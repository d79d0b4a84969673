// SPDX-License-Identifier: Apache-2.0
// Chance that can be repeated: a generator whose seed is printed, and taken from COMANDA_SEED.
#include "support/chance.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct chance chance_begin(const char *test)
{
    const char *given = getenv("COMANDA_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed =
        given != NULL
            ? strtoull(given, NULL, 10)
            : ((uint64_t)now.tv_nsec << 20 ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid() << 40) >> 12;
    fprintf(stderr, "%s: repeat with COMANDA_SEED=%" PRIu64 "\n", test, seed);
    return (struct chance){seed, seed * 2 + 1}; // the state may not be 0
}

// xorshift64* (Marsaglia, Vigna).
static uint64_t next(struct chance *chance)
{
    chance->state ^= chance->state >> 12;
    chance->state ^= chance->state << 25;
    chance->state ^= chance->state >> 27;
    return chance->state * UINT64_C(2685821657736338717);
}

uint64_t chance_below(struct chance *chance, uint64_t count)
{
    return (next(chance) >> 11) % count;
}

bool chance_percent(struct chance *chance, int percent)
{
    return chance_below(chance, 100) < (uint64_t)percent;
}
