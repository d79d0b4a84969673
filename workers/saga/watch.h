// SPDX-License-Identifier: Apache-2.0
// A loop that counts the sagas that are missing and those that are parked. In a loop and on a
// session of its own, so that firing timers never waits for it.
#pragma once

#include "application/saga/definition.h"
#include "runtime/parts.h"
#include "runtime/runtime.h"

// Of all processes that run it one looks at a time, and all tell what it found.
struct saga_watch {
    struct parts *parts; // its own; the bus is not used
    const struct saga_definitions *definitions;
};

// For runtime_loop: context is a struct saga_watch.
int saga_watch_run(struct runtime *runtime, void *watch);
