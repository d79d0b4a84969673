// SPDX-License-Identifier: Apache-2.0
// How long a command that joins a queue of batches will wait, from what the last batches cost.
#pragma once

#include <stddef.h>

// Moving averages, one a queue. All zero is a good start: nothing measured, nothing refused.
struct wait_estimate {
    double batch_ms;   // of a whole batch
    double command_ms; // of one command within a batch large enough to tell
};

// The server has answered a batch of `commands` after `ms`, well or not: a slow refusal is slow.
void wait_estimate_add(struct wait_estimate *estimate, size_t commands, double ms);

// A batch was sent and not answered in `ms`. Counts only if that is longer than the average: a
// connection that breaks at once tells nothing of the server's speed.
void wait_estimate_add_lost(struct wait_estimate *estimate, size_t commands, double ms);

// Milliseconds until a command would be answered that joins behind `queued` others while the oldest
// batch in flight is already in_flight_ms old (negative: none is). A server that stopped answering
// is measured by that age, since no batch ends to be averaged. Zero when nothing is queued nor in
// flight: what joins then is let through and measures the server anew.
double wait_estimate_ms(const struct wait_estimate *estimate, size_t queued, double in_flight_ms);
