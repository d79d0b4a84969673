// SPDX-License-Identifier: Apache-2.0
// When a batch of commands leaves, and what becomes of one that failed as a whole. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Never wait when nothing is in flight. While a batch is, another one leaves only when at least
// half as many commands wait as the largest one in flight carries: few large batches cost the
// server less than many small ones, and what waits meanwhile shares the next one's fsync.
bool batch_may_leave(size_t waiting, size_t batches_in_flight, size_t largest_in_flight);

enum batch_remedy {
    BATCH_GIVE_UP, // the server refuses every append: schema, privileges, disk, read-only
    BATCH_HALVE,   // some item is bad, or lost a race: halve until it stands alone
    BATCH_AGAIN,   // one item alone that met others: nothing is stored, it may be tried again
    BATCH_REFUSE,  // one item alone that the server will not take
};

// sqlstate: five characters of the server's error to a batch of `count` items.
enum batch_remedy batch_remedy(const char *sqlstate, size_t count);
