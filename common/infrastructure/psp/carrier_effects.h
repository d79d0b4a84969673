// SPDX-License-Identifier: Apache-2.0
// The effects carrier.schedule and carrier.cancel (ARCHITECTURE.md, "Command payloads") by a
// carrier.
#pragma once

#include "application/ports/carrier.h"
#include "application/ports/effect_runner.h"

struct carrier_effects {
    struct effect_runner port;
    struct carrier *carrier;
};

// carrier outlives what is made. As payment_effects.
struct carrier_effects carrier_effects(struct carrier *carrier);
