// SPDX-License-Identifier: Apache-2.0
// A context that is no shop at all, to prove the seam: counters that their owner may add to.
#pragma once

#include "domain/bounded_context.h"

extern const struct bounded_context counting_context;
