// SPDX-License-Identifier: Apache-2.0
// Random bytes of the kernel, a page at a time.
#pragma once

#include <stddef.h>

// Fills `bytes`, len at most 256. Aborts when the kernel has none: an id that could be guessed or
// repeated is worse than no process.
void ngx_http_comanda_random(unsigned char *bytes, size_t len);
