// SPDX-License-Identifier: Apache-2.0
// Points in time as numbers; reading a clock is the business of the outer layers.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

// Microseconds since 1970-01-01T00:00:00Z.
typedef int64_t instant_us;

enum { INSTANT_TEXT_LEN = 24 }; // 2026-11-24T06:52:25.123Z

// RFC 3339, UTC, milliseconds (truncated); no NUL. Years 1 to 9999.
void instant_format(instant_us at, char text[INSTANT_TEXT_LEN]);

// Reads exactly that form. False leaves *at alone.
bool instant_parse(struct str text, instant_us *at);
