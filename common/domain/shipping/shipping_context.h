// SPDX-License-Identifier: Apache-2.0
// The shipping context's seam: one shipment an order, asked of a carrier before it is recorded.
#pragma once

#include "domain/bounded_context.h"

extern const struct bounded_context shipping_context;
