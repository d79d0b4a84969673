// SPDX-License-Identifier: Apache-2.0
// The rows of the log that a command's decision becomes: ids, and who asked under which trace.
// Pure; part of command_flow.
#pragma once

#include "application/command/command_flow.h"

// One row an event, in the arena. `stream` still counts the declared streams.
enum status command_rows_make(const struct command_request *request,
                              const struct decision *decision, struct arena *arena,
                              struct append_row **rows) MUST_CHECK;
