// SPDX-License-Identifier: Apache-2.0
// So many of one SKU; orders and reservations consist of them.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { LINES_MAX = 50 };

struct line {
    struct str sku;
    int32_t quantity;
};

struct line_list {
    struct line items[LINES_MAX];
    size_t count;
};
