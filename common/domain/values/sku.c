// SPDX-License-Identifier: Apache-2.0
// A stock keeping unit: the name by which shop and warehouse know a product.
#include "domain/values/sku.h"

static bool is_alphanumeric(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z');
}

bool sku_is_valid(struct str text)
{
    if (text.len == 0 || text.len > SKU_LEN_MAX || !is_alphanumeric(text.data[0])) {
        return false;
    }
    for (size_t at = 1; at < text.len; at++) {
        char byte = text.data[at];
        if (!is_alphanumeric(byte) && byte != '.' && byte != '_' && byte != '-') {
            return false;
        }
    }
    return true;
}
