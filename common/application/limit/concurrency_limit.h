// SPDX-License-Identifier: Apache-2.0
// How many requests a server whose inside is not seen may have at once: a limit that follows the
// gradient of its latency (after Netflix's Gradient2 and Envoy's adaptive concurrency; ADR 13).
//
// One limit lies in shared memory and is fed by several processes with plain atomics, no lock. What
// is in flight is counted a process slot each, so that a killed process can be forgotten.
//
// A request asks (allows), is at work (enter), may tell how long the server took (sample) and is
// over (leave). Only what reached the server tells anything: one refused on the way enters and
// leaves.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CONCURRENCY_SLOTS = 1024, // processes; a slot number is below this
    CONCURRENCY_MAX = 10000,  // no limit grows above it
};

// All zero is a good start: nothing measured, nothing refused.
struct concurrency_limit {
    _Atomic int64_t limit_milli; // thousandths of a request; 0: nothing was measured yet
    _Atomic int64_t own_ns;      // the server's own time, when requests do not wait for each other
    _Atomic int64_t told_milli;  // the limit when own_ns was last told
    _Atomic int64_t latency_ns;  // mean of the last window
    _Atomic int64_t progress_ns; // last answer, or when the first of those in flight entered
    _Atomic int64_t window_ns;   // when the window began
    _Atomic int64_t sum_ns;      // of the answers in this window
    _Atomic int32_t own_samples; // what own_ns rests on, up to a maximum
    _Atomic int32_t before;      // answers still to come to what entered before the window
    _Atomic int32_t answered;
    _Atomic int32_t dropped;    // no answer in the server's time limit
    _Atomic int32_t late;       // answered, after the budget
    _Atomic int32_t peak;       // most in flight in this window
    _Atomic int32_t until_look; // windows until the limit is halved for one, to see own_ns
    _Atomic int32_t settled;    // some window has told that the limit was high enough
    _Atomic int32_t slots_used; // highest slot so far and one
    _Atomic int32_t in_flight[CONCURRENCY_SLOTS];
};

// What a request brings: how long it may take, and whether it goes before the others. Four fifths
// of the limit and of the budget are for those that do not.
struct concurrency_claim {
    int64_t budget_ns;
    bool high;
};

enum concurrency_outcome {
    CONCURRENCY_ANSWERED, // by the server, well
    CONCURRENCY_FAILED,   // it said so: it is not silent, but this tells nothing of its speed
    CONCURRENCY_DROPPED,  // its time limit passed without an answer
};

// A process begins in this slot: what its predecessor left in flight is gone.
void concurrency_limit_reset_slot(struct concurrency_limit *limit, uint32_t slot);

// May one more come? Always while nothing is in flight, so a limit cannot lock itself shut. Never
// while the server has been silent for longer than the budget. Counts nothing.
bool concurrency_limit_allows(struct concurrency_limit *limit, struct concurrency_claim claim,
                              int64_t now_ns);

// One that was allowed is at work from now on. (A request whose body is still on its way is not:
// else slow senders would hold all places.)
void concurrency_limit_enter(struct concurrency_limit *limit, uint32_t slot, int64_t now_ns);

// One that entered at entered_ns got this from the server, at now_ns. At most once a request,
// before it leaves. An answer after the budget counts as too late, and lowers the limit as a
// dropped one.
void concurrency_limit_sample(struct concurrency_limit *limit, struct concurrency_claim claim,
                              int64_t entered_ns, enum concurrency_outcome outcome, int64_t now_ns);

// One that entered is over, however it went.
void concurrency_limit_leave(struct concurrency_limit *limit, uint32_t slot);

// What is in flight, all processes.
int64_t concurrency_limit_in_flight(struct concurrency_limit *limit);

// The limit in whole requests; 0: nothing was measured yet.
int64_t concurrency_limit_now(struct concurrency_limit *limit);
