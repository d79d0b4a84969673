// SPDX-License-Identifier: Apache-2.0
// A currency by its alphabetic code (ISO 4217, the active ones).
#pragma once

#include <stdbool.h>

#include "base/str.h"

struct currency {
    char code[3]; // "BRL"; all NUL: none
};

// False for anything but an active code in upper case; leaves *currency alone.
bool currency_parse(struct str text, struct currency *currency);

bool currency_eq(struct currency left, struct currency right);

// False for the value that holds no code yet.
bool currency_is_set(struct currency currency);

// A view into *currency; empty when none is set.
struct str currency_text(const struct currency *currency);
