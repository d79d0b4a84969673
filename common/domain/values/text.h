// SPDX-License-Identifier: Apache-2.0
// Free text that people write: counted in characters, without control characters.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

// Code points of valid UTF-8.
size_t text_length(struct str text);

// True when it has a character that is no space and none that controls a terminal (C0, DEL, C1).
bool text_is_readable(struct str text);
