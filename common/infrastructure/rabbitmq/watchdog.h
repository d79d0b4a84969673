// SPDX-License-Identifier: Apache-2.0
// Frees a thread that hangs inside the client library: a second thread shuts its socket down.
//
// librabbitmq 0.11 has calls without a time limit of their own (a publish under back-pressure, a
// receive past the heartbeat). shutdown(2) makes such a call return with an error at once.
#pragma once

#include <stdint.h>

#include "base/status.h"

// One socket under guard. Its memory is the caller's and must not move between watch and unwatch.
struct watchdog_guard {
    struct watchdog_guard *next;
    int fd;
    int64_t deadline_ms; // 0: nothing runs
};

// Starts the second thread at the first use. STATUS_NO_MEMORY: it cannot be started.
enum status watchdog_watch(struct watchdog_guard *guard, int fd) MUST_CHECK;

// After this the socket is left alone; to be called before it is closed.
void watchdog_unwatch(struct watchdog_guard *guard);

// A call that may hang begins; it has this long. Cheap.
void watchdog_enter(struct watchdog_guard *guard, int limit_ms);
void watchdog_leave(struct watchdog_guard *guard);
