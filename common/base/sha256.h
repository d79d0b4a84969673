// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4) over several pieces, by OpenSSL. No allocation after a thread's first call.
#pragma once

#include <stddef.h>

#include "base/str.h"

enum { SHA256_LEN = 32 };

// The digest of the pieces one after another. Pieces are not separated: put lengths or separators
// in yourself where it matters. Aborts only when OpenSSL has no SHA-256 at all.
void sha256(const struct str *pieces, size_t count, unsigned char digest[SHA256_LEN]);
