// SPDX-License-Identifier: Apache-2.0
// A sorted table of codes of one length, written one after another.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

// True when `code` is one of the table's. table.len is a multiple of code_len.
bool code_table_has(struct str table, size_t code_len, struct str code);
