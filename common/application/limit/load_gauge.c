// SPDX-License-Identifier: Apache-2.0
// How long a request would take behind those already at work, for any server whose inside is not
// seen: what is in flight times the measured time between two completions (Little's law).
#include "application/limit/load_gauge.h"

enum { AVERAGE_OVER = 16 }; // completions that move the average by two thirds

void load_gauge_reset_slot(struct load_gauge *gauge, uint32_t slot)
{
    atomic_store(&gauge->in_flight[slot % LOAD_GAUGE_SLOTS], 0);
}

static int64_t count_in_flight(struct load_gauge *gauge)
{
    int64_t sum = 0;
    for (uint32_t slot = 0; slot < LOAD_GAUGE_SLOTS; slot++) {
        sum += atomic_load_explicit(&gauge->in_flight[slot], memory_order_relaxed);
    }
    return sum > 0 ? sum : 0;
}

void load_gauge_begin(struct load_gauge *gauge, uint32_t slot, int64_t now_ns)
{
    if (count_in_flight(gauge) == 0) {
        atomic_store(&gauge->busy_ns, now_ns);
    }
    atomic_fetch_add(&gauge->in_flight[slot % LOAD_GAUGE_SLOTS], 1);
}

void load_gauge_abandon(struct load_gauge *gauge, uint32_t slot)
{
    atomic_fetch_sub(&gauge->in_flight[slot % LOAD_GAUGE_SLOTS], 1);
}

void load_gauge_end(struct load_gauge *gauge, uint32_t slot, int64_t begun_ns, int64_t now_ns)
{
    load_gauge_abandon(gauge, slot);
    int64_t last = atomic_exchange(&gauge->completed_ns, now_ns);
    int64_t busy = now_ns - (last > begun_ns ? last : begun_ns);
    if (busy < 0) { // another process completed a moment later by its clock
        busy = 0;
    }
    int64_t average = atomic_load(&gauge->interval_ns);
    // Two processes at once may lose one sample of the two; an average can bear that.
    atomic_store(&gauge->interval_ns,
                 average == 0 ? busy : average + (busy - average) / AVERAGE_OVER);
}

int64_t load_gauge_wait(struct load_gauge *gauge, int64_t now_ns)
{
    int64_t in_flight = count_in_flight(gauge);
    int64_t interval = atomic_load(&gauge->interval_ns);
    int64_t completed = atomic_load(&gauge->completed_ns);
    if (in_flight == 0 || completed == 0) { // nothing at work, or nothing known yet
        return 0;
    }
    int64_t busy = atomic_load(&gauge->busy_ns);
    int64_t overdue = now_ns - (completed > busy ? completed : busy) - interval;
    return (in_flight + 1) * interval + (overdue > 0 ? overdue : 0);
}
