// SPDX-License-Identifier: Apache-2.0
// When the relay looks at the log next, and when it sleeps: a part of relay.c, pure.
#include "application/relay/relay_rest.h"

enum { EAGER_LOOKS = 50 }; // as often as may be, before it looks less often

void relay_rest_begin(struct relay_rest *rest, int64_t now_ms)
{
    rest->poll_ms = rest->poll_min_ms;
    rest->misses = 0;
    rest->drowsy = false;
    rest->asleep = false;
    rest->read_at = now_ms;
}

void relay_rest_found(struct relay_rest *rest, size_t count, bool more, int64_t now_ms)
{
    rest->drowsy = count == 0;
    if (count > 0) {
        rest->misses = 0;
        rest->poll_ms = rest->poll_min_ms;
    }
    rest->read_at = more ? now_ms : now_ms + rest->poll_ms;
}

void relay_rest_told(struct relay_rest *rest, bool asleep, int64_t now_ms)
{
    rest->drowsy = false;
    rest->asleep = asleep;
    rest->told = asleep;
    if (asleep) {
        rest->misses = 0;
        rest->poll_ms = rest->poll_min_ms;
        rest->read_at = now_ms + rest->poll_max_ms;
        return;
    }
    int doubled = 2 * rest->poll_ms;
    if (++rest->misses > EAGER_LOOKS) {
        rest->poll_ms = doubled < rest->poll_max_ms ? doubled : rest->poll_max_ms;
    }
    rest->read_at = now_ms + rest->poll_ms;
}

void relay_rest_until(struct relay_rest *rest, int64_t then_ms)
{
    rest->asleep = false;
    rest->drowsy = false;
    rest->read_at = then_ms;
}
