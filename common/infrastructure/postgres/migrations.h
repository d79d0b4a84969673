// SPDX-License-Identifier: Apache-2.0
// The schema's migrations as this program was built with them, made from migrations/*.sql.
#pragma once

#include <stddef.h>

struct migration {
    int version; // from 1, without gaps
    int serves;  // the oldest program that can work with the schema once this is applied
    const char *name;
    const char *sql;
};

extern const struct migration migrations[];
extern const size_t migration_count;
