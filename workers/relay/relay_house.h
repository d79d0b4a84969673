// SPDX-License-Identifier: Apache-2.0
// What the leading relay does for the log on the side: partitions for the months to come, and
// outlived rows taken out. In a loop and on a session of its own, so that publishing never waits.
#pragma once

#include <stdbool.h>

#include "infrastructure/postgres/connection.h"
#include "runtime/runtime.h"

struct relay_house {
    struct postgres *postgres; // a session that nothing else uses
    _Atomic bool leads;        // set by the relay's loop
};

// For runtime_loop: context is a struct relay_house.
int relay_house_run(struct runtime *runtime, void *context);
