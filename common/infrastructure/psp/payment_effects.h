// SPDX-License-Identifier: Apache-2.0
// The effects payment.authorize, payment.capture and payment.undo (ARCHITECTURE.md, "Command
// payloads") by a payment provider.
#pragma once

#include "application/ports/effect_runner.h"
#include "application/ports/payment_provider.h"

struct payment_effects {
    struct effect_runner port;
    struct payment_provider *provider;
};

// provider outlives what is made. A request whose body lacks what its operation needs is refused
// with the code `malformed_effect`: it would never come to anything.
struct payment_effects payment_effects(struct payment_provider *provider);
