// SPDX-License-Identifier: Apache-2.0
// What is sent to Redis as one command, and the two scripts that Redis runs for us.
#pragma once

#include <stddef.h>

#include "base/str.h"

enum { REDIS_ARGS_MAX = 8 };

// For redisAsyncCommandArgv and redisAppendCommandArgv.
struct redis_command {
    int argc;
    const char *argv[REDIS_ARGS_MAX];
    size_t lengths[REDIS_ARGS_MAX];
};

void redis_command_add(struct redis_command *command, struct str arg);

// Both are called by their SHA-1; load them once a connection (SCRIPT LOAD), and again after
// NOSCRIPT.
enum redis_script { REDIS_SCRIPT_PUT, REDIS_SCRIPT_GENERATION, REDIS_SCRIPTS };

struct str redis_script_text(enum redis_script script);
struct str redis_script_sha1(enum redis_script script);

// SCRIPT LOAD <text>
struct redis_command redis_script_load(enum redis_script script);
