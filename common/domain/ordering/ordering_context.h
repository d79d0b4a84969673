// SPDX-License-Identifier: Apache-2.0
// The ordering context's seam: orders from placing to their end, and their document.
#pragma once

#include "domain/bounded_context.h"

extern const struct bounded_context ordering_context;
