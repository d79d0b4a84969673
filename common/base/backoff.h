// SPDX-License-Identifier: Apache-2.0
// How long to wait before the next try: twice as long each time, up to a limit, with jitter.
#pragma once

#include <stdint.h>

struct backoff {
    int first_ms;
    int limit_ms;
    int tries; // so far
};

// The next wait in milliseconds: between half and the whole of first_ms * 2^tries, at most
// limit_ms. random: any 32 bits of the caller's.
int backoff_next_ms(struct backoff *backoff, uint32_t random);

static inline void backoff_reset(struct backoff *backoff)
{
    backoff->tries = 0;
}
