// SPDX-License-Identifier: Apache-2.0
// The payments context's seam: one payment an order, asked of a provider before it is recorded.
#pragma once

#include "domain/bounded_context.h"

extern const struct bounded_context payments_context;
