// SPDX-License-Identifier: Apache-2.0
// Reads NAME=value lines in the syntax of systemd's EnvironmentFile.
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"

struct settings_line {
    struct str name;
    struct str value; // unquoted, with a NUL after it
    int number;       // of the line it began on, 1 the first
};

// Comments begin with # or ; and blank lines are skipped; a value may stand in single or double
// quotes, and a backslash at the end of a line joins the next. STATUS_INVALID: *fault names the
// line. At most `lines_max` values.
enum status settings_file_parse(struct str text, struct arena *arena, size_t lines_max,
                                struct settings_line *lines, size_t *count,
                                struct str *fault) MUST_CHECK;

// A whole file of at most size_max bytes, NUL after it. STATUS_INVALID: *fault names the file.
enum status settings_file_read(const char *path, size_t size_max, struct arena *arena,
                               struct str *text, struct str *fault) MUST_CHECK;
