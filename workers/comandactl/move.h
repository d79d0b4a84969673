// SPDX-License-Identifier: Apache-2.0
// Moves messages from one queue into another: published and confirmed first, then acknowledged.
#pragma once

#include "command.h"
#include "infrastructure/rabbitmq/settings.h"

struct move {
    struct str from;
    struct str to;
    bool afresh;   // begins the failure ladder anew: nothing of the old attempts goes with it
    int64_t limit; // at most so many
    int64_t moved; // set, on a failure too
};

// Until the queue is empty or the limit is reached. A message may be in both for a moment, never
// nowhere. Says why when it fails.
enum ctl_exit move_messages(struct ctl *ctl, const struct rabbitmq_settings *settings,
                            struct move *move);
