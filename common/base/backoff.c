// SPDX-License-Identifier: Apache-2.0
// How long to wait before the next try: twice as long each time, up to a limit, with jitter.
#include "base/backoff.h"

int backoff_next_ms(struct backoff *backoff, uint32_t random)
{
    int64_t wait = backoff->first_ms;
    for (int doubled = 0; doubled < backoff->tries && wait < backoff->limit_ms; doubled++) {
        wait *= 2;
    }
    if (wait > backoff->limit_ms) {
        wait = backoff->limit_ms;
    }
    backoff->tries += backoff->tries < 30 ? 1 : 0;
    int64_t half = wait / 2;
    return (int)(half + (int64_t)(random % (uint64_t)(wait - half + 1)));
}
