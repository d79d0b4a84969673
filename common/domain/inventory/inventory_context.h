// SPDX-License-Identifier: Apache-2.0
// The inventory context's seam: reservations, one an order, and the stock items they hold.
#pragma once

#include "domain/bounded_context.h"

extern const struct bounded_context inventory_context;
