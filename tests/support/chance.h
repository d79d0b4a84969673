// SPDX-License-Identifier: Apache-2.0
// Chance that can be repeated: a generator whose seed is printed, and taken from COMANDA_SEED.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t seed;
    uint64_t state;
};

// Seeds from COMANDA_SEED, else from clock and process; says on standard error which.
struct chance chance_begin(const char *test);

// Evenly from 0 to below `count` (at least 1).
uint64_t chance_below(struct chance *chance, uint64_t count);

// True in so many of a hundred cases.
bool chance_percent(struct chance *chance, int percent);
