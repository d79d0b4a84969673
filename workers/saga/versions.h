// SPDX-License-Identifier: Apache-2.0
// Does this process have the definition of every saga that runs? One that has not takes no messages
// of sagas: they wait in the queue for a process that has.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "application/saga/definition.h"
#include "runtime/parts.h"
#include "runtime/runtime.h"

// For one loop, one thread.
struct saga_versions {
    struct parts *parts;
    const struct saga_definitions *definitions;
    bool lacking;        // at the last look
    int64_t look_at_ms;  // the next one
    int64_t doubt_at_ms; // the next one in doubt, never before
};

void saga_versions_init(struct saga_versions *versions, struct runtime *runtime,
                        struct parts *parts, const struct saga_definitions *definitions);

// A message met a version that is not loaded, or may have: the next question looks again, unless
// looks would then take more than a tenth of the time.
void saga_versions_doubt(struct saga_versions *versions);

// As consumer.ready, context a struct saga_versions: the parts' readiness, and "sagas".
bool saga_versions_ready(struct runtime *runtime, void *versions);
