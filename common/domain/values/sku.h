// SPDX-License-Identifier: Apache-2.0
// A stock keeping unit: the name by which shop and warehouse know a product.
#pragma once

#include <stdbool.h>

#include "base/str.h"

enum { SKU_LEN_MAX = 64 };

// A letter or digit, then letters, digits, '.', '_' and '-' (ASCII), 1 to 64 altogether; so it can
// stand in a URL as it is.
bool sku_is_valid(struct str text);
