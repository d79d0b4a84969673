// SPDX-License-Identifier: Apache-2.0
// Reads the body of an effect's request, JSON that a context has written.
#pragma once

#include <stdbool.h>

#include "application/ports/effect_runner.h"
#include "base/arena.h"
#include "base/str.h"

// A text that is not empty. False: there is none.
bool effect_body_text(struct str body, struct str member, struct arena *arena, struct str *text);
bool effect_body_int(struct str body, struct str member, int64_t *number);

// The answer to a request that nobody could perform.
struct effect_result effect_body_malformed(void);
