// SPDX-License-Identifier: Apache-2.0
// How long a request would take behind those already at work, for any server whose inside is not
// seen: what is in flight times the measured time between two completions (Little's law).
//
// One gauge lies in shared memory and is fed by several processes with plain atomics. In-flight
// counts are kept a process slot each, so that a killed process can be forgotten.
#pragma once

#include <stdatomic.h>
#include <stdint.h>

enum { LOAD_GAUGE_SLOTS = 64 }; // processes; slot numbers are taken modulo this

struct load_gauge {
    _Atomic int64_t interval_ns;  // moving average between two completions under load
    _Atomic int64_t completed_ns; // when the last one completed
    _Atomic int32_t in_flight[LOAD_GAUGE_SLOTS];
    _Atomic int64_t busy_ns; // when the first of those in flight began, after nothing was
};

// A process begins in this slot: what its predecessor left in flight is gone.
void load_gauge_reset_slot(struct load_gauge *gauge, uint32_t slot);

void load_gauge_begin(struct load_gauge *gauge, uint32_t slot, int64_t now_ns);

// The work that began at begun_ns is over, well or badly. Only time in which something was at work
// is measured, so an idle night does not look like a slow server.
void load_gauge_end(struct load_gauge *gauge, uint32_t slot, int64_t begun_ns, int64_t now_ns);

// The request has left without a result worth measuring (the client went away).
void load_gauge_abandon(struct load_gauge *gauge, uint32_t slot);

// Nanoseconds that one more request would take. Zero when nothing is in flight: then it is let
// through and measures the server anew.
int64_t load_gauge_wait(struct load_gauge *gauge, int64_t now_ns);
