// SPDX-License-Identifier: Apache-2.0
// A sorted table of codes of one length, written one after another.
#include "domain/values/code_table.h"

#include <string.h>

bool code_table_has(struct str table, size_t code_len, struct str code)
{
    if (code.len != code_len) {
        return false;
    }
    size_t low = 0;
    size_t high = table.len / code_len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(code.data, table.data + middle * code_len, code_len);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return false;
}
