// SPDX-License-Identifier: Apache-2.0
// Loads every saga of a folder, *.json in the order of their names, all of them right or none.
#pragma once

#include "application/saga/definition.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"

// faults: a line each, "<file>: <JSON pointer>: <what is wrong>". STATUS_INVALID: at least one;
// also a folder that cannot be read or holds none. The definitions live in the arena.
enum status saga_files_load(const char *folder, struct saga_overrides overrides,
                            struct arena *arena, struct saga_definitions *definitions,
                            struct buffer *faults) MUST_CHECK;
