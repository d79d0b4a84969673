// SPDX-License-Identifier: Apache-2.0
// Time that only goes on, for measuring how long something took; it says nothing of the date.
#pragma once

#include <stdint.h>
#include <time.h>

static inline int64_t monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t monotonic_us(void)
{
    return monotonic_ns() / 1000;
}

static inline int64_t monotonic_ms(void)
{
    return monotonic_ns() / 1000000;
}
