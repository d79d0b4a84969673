// SPDX-License-Identifier: Apache-2.0
// How long a command that joins a queue of batches will wait, from what the last batches cost.
#pragma once

#include <stddef.h>

#include "base/status.h"

// Moving averages, one a queue. All zero is a good start: nothing measured, nothing refused.
struct wait_estimate {
    double batch_ms;   // of a whole batch
    double command_ms; // of one command within a batch large enough to tell
};

// A batch of `commands` came back after `ms`. One that the server answered counts, also a refusal:
// a slow refusal is slow. One that was sent and lost counts only if it took longer than the
// average: a connection that breaks at once tells nothing of the server's speed. One that was never
// sent (STATUS_UNAVAILABLE) does not count.
void wait_estimate_add(struct wait_estimate *estimate, size_t commands, double ms,
                       enum status status);

// Milliseconds until a command would be answered that joins behind `queued` others while the oldest
// batch in flight is already in_flight_ms old (negative: none is). A server that stopped answering
// is measured by that age, since no batch ends to be averaged. Zero when nothing is queued nor in
// flight: what joins then is let through and measures the server anew.
double wait_estimate_ms(const struct wait_estimate *estimate, size_t queued, double in_flight_ms);
