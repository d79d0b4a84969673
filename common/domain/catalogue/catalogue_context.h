// SPDX-License-Identifier: Apache-2.0
// The catalogue context's seam: what is sold and for how much; its document is what other contexts
// look prices up in.
#pragma once

#include "domain/bounded_context.h"

extern const struct bounded_context catalogue_context;
