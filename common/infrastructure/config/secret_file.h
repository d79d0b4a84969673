// SPDX-License-Identifier: Apache-2.0
// Reads a secret from a file: a key, a password, an address that has one. nginx, the daemons and
// comandactl read theirs here, so that one file is the same secret to all of them.
#pragma once

#include <stddef.h>

#include "base/status.h"

enum { SECRET_FAULT_MAX = 512 };

// The file's first line, without its end (LF, CR LF or CR); what follows is not looked at. bytes
// has room for max + 1 and a NUL stands after the secret. STATUS_NOT_FOUND: the file cannot be
// opened or read. STATUS_INVALID: its first line has less than min or more than max bytes, or a NUL
// byte, or the file begins with a byte order mark. fault then names the file and says what to do,
// and nothing of the secret. Blocks: in nginx at configuration time alone.
enum status secret_file_read(const char *path, size_t min, size_t max, char *bytes, size_t *len,
                             char fault[SECRET_FAULT_MAX]) MUST_CHECK;
