// SPDX-License-Identifier: Apache-2.0
// Rate limiting by GCRA, the leaky bucket as a meter (ITU-T I.371): one time a key, no counters, no
// windows. Integer nanoseconds of a monotonic clock.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { GCRA_BURST_MAX = 1000000 };

struct gcra_rate {
    int64_t interval_ns; // between two requests at the allowed rate; at least 1
    int64_t burst;       // how many may come at once; 1 to GCRA_BURST_MAX
};

struct gcra_answer {
    bool allowed;
    int64_t retry_ns;  // denied: until the next one may come
    int64_t remaining; // how many more may come at once
    int64_t reset_ns;  // until the full burst is there again
};

// Judges one request at now_ns against the key's theoretical arrival time (0: a new key). *next_ns
// is the time to store, refused or not: nothing is charged when refused, but a tat_ns further ahead
// than this rate can lead to (it was stored under a slower one, or is garbage) becomes that
// furthest point, else it would be as far ahead at each later request. Pure.
struct gcra_answer gcra_judge(struct gcra_rate rate, int64_t tat_ns, int64_t now_ns,
                              int64_t *next_ns);
