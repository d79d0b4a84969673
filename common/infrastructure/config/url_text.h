// SPDX-License-Identifier: Apache-2.0
// What the addresses of servers have in common: percent-encoded parts, and where the user ends.
#pragma once

#include <stdbool.h>

#include "base/status.h"
#include "base/str.h"

// Decodes a part into text.len + 1 bytes, NUL-terminated. STATUS_INVALID: a cut or wrong %XX, a
// blank or control byte as it is, or an encoded NUL.
enum status url_decode(struct str text, char *decoded) MUST_CHECK;

// Splits "user:password@host" at its last '@'. False: there is none; the outputs are untouched.
bool url_split_user(struct str text, struct str *user, struct str *rest);
