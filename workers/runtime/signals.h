// SPDX-License-Identifier: Apache-2.0
// SIGTERM and SIGINT as a request to end, SIGHUP as one to reload; both are only noted here.
#pragma once

#include <stdbool.h>

// Once, before any thread is started. drain_s: seconds after the request to end at which the
// process ends itself by force, so that a hung server cannot hold it.
void signals_take(int drain_s);

bool signals_end_asked(void);

// True once a reload asked for; the request is then forgotten.
bool signals_reload_taken(void);

// Waits, at most ms, for the request to end. True: it has come.
bool signals_wait_end(int ms);
