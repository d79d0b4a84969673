// SPDX-License-Identifier: Apache-2.0
// The register of suspect messages in this process; it forgets with it, so it is for tests.
#pragma once

#include <stddef.h>

#include "application/ports/suspect_register.h"

// At most marks_max at a time; past that: STATUS_FULL. NULL: no memory.
struct suspect_register *suspect_register_memory_new(size_t marks_max);
void suspect_register_memory_free(struct suspect_register *suspects);
