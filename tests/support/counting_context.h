// SPDX-License-Identifier: Apache-2.0
// A context that is no shop, for tests of exchanges and queues: meters that are counted.
#pragma once

#include "domain/bounded_context.h"

static const struct projection meters[] = {{.collection = {"meters", 6}, .category = {"meter", 5}}};
static const struct bounded_context counting = {
    .name = {"counting", 8},
    .role = {"counter", 7},
    .projections = meters,
    .projection_count = 1,
};
static const struct bounded_context *const counting_alone[] = {&counting};
static const struct context_registry counting_registry = {counting_alone, 1};
