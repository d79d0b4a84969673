// SPDX-License-Identifier: Apache-2.0
// Port: how the relay sleeps without missing a row. Blocking.
//
// A reader that says it sleeps is woken by the next append; while nobody says so, appends ring for
// nobody and cost nothing more. One sleeper at a time: the relay that leads.
#pragma once

#include <stdbool.h>

#include "application/ports/event_store.h"
#include "base/status.h"

struct log_bell;

// Says that the caller, who has read up to `after`, sleeps, unless somebody is appending right now
// or there are rows past `after` already, settled or not: *asleep is false then and nothing was
// said. Asked again by one who sleeps, it looks again. Any failure: not asleep.
typedef enum status log_bell_sleep_fn(struct log_bell *bell, struct log_cursor after,
                                      bool *asleep) MUST_CHECK;

// Waits at most wait_ms for an append. *rung: there was one since the caller said that it sleeps;
// it still sleeps then, as far as those who append know. STATUS_UNAVAILABLE: the session is gone,
// and with it the word.
typedef enum status log_bell_listen_fn(struct log_bell *bell, int wait_ms, bool *rung) MUST_CHECK;

// Takes the word back; harmless when awake.
typedef enum status log_bell_wake_fn(struct log_bell *bell) MUST_CHECK;

struct log_bell_ops {
    log_bell_sleep_fn *sleep;
    log_bell_listen_fn *listen;
    log_bell_wake_fn *wake;
};

struct log_bell {
    const struct log_bell_ops *ops;
};

static inline enum status log_bell_sleep(struct log_bell *bell, struct log_cursor after,
                                         bool *asleep)
{
    return bell->ops->sleep(bell, after, asleep);
}

static inline enum status log_bell_listen(struct log_bell *bell, int wait_ms, bool *rung)
{
    return bell->ops->listen(bell, wait_ms, rung);
}

static inline enum status log_bell_wake(struct log_bell *bell)
{
    return bell->ops->wake(bell);
}
