// SPDX-License-Identifier: Apache-2.0
// A carrier in this process, with the sandbox's marked postal code; for tests without servers.
#pragma once

#include <stddef.h>

#include "application/ports/carrier.h"

// Keeps at most shipments_max shipments; past that it gives no answer. NULL: no memory.
struct carrier *carrier_memory_new(size_t shipments_max);
void carrier_memory_free(struct carrier *carrier);
