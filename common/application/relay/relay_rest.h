// SPDX-License-Identifier: Apache-2.0
// When the relay looks at the log next, and when it sleeps: a part of relay.c, pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct relay_rest {
    int poll_min_ms;
    int poll_max_ms;
    int poll_ms;     // until the next look
    int misses;      // looks in a row that have found nothing, while somebody was appending
    int64_t read_at; // the next look
    bool drowsy;     // the last look has found nothing: it may sleep
    bool asleep;
    bool told; // those who append believe that it sleeps
};

void relay_rest_begin(struct relay_rest *rest, int64_t now_ms);

// A look at the log has found rows. more: it was full, so the next one is due at once.
void relay_rest_found(struct relay_rest *rest, size_t count, bool more, int64_t now_ms);

// asleep: until the bell rings, or for poll_max_ms. Not: rows are on their way, so it looks again
// in poll_min_ms, and after a while of that (a transaction that stays open) less and less often.
void relay_rest_told(struct relay_rest *rest, bool asleep, int64_t now_ms);

// Awake, and the next look at then_ms.
void relay_rest_until(struct relay_rest *rest, int64_t then_ms);
