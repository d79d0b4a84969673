// SPDX-License-Identifier: Apache-2.0
// One setting's value: reading it by its type, and saying what is allowed.
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "infrastructure/config/settings.h"

struct setting_value {
    struct str text; // as written, with a NUL after it
    int64_t number;  // integer, milliseconds, index of the choice, port of an address
};

// text: with a NUL after it. False: it is not allowed; *value is untouched.
bool setting_value_parse(const struct setting *setting, struct str text,
                         struct setting_value *value);

// "write a whole number from 1 to 1000"
struct str setting_allows(const struct setting *setting, struct arena *arena);

// "integer", "milliseconds", …
const char *setting_type_name(enum setting_type type);
