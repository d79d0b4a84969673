// SPDX-License-Identifier: Apache-2.0
// A payment provider in this process, with the sandbox's marked tokens; for tests without servers.
#pragma once

#include <stddef.h>

#include "application/ports/payment_provider.h"

// Keeps at most payments_max payments, 8 answers each; past that it gives no answer. NULL: no
// memory.
struct payment_provider *payment_provider_memory_new(size_t payments_max);
void payment_provider_memory_free(struct payment_provider *provider);
