// SPDX-License-Identifier: Apache-2.0
// How a document lies in Redis, without a socket: commands to send and the reading of values. The
// edge and the projector use the same versioned script, so an older document never replaces a
// newer.
#pragma once

#include <stddef.h>

#include "application/ports/document_store.h"
#include "base/arena.h"
#include "base/status.h"

enum { REDIS_ARGS_MAX = 8 };

// For redisAsyncCommandArgv and redisAppendCommandArgv. Memory is the arena's.
struct redis_command {
    int argc;
    const char *argv[REDIS_ARGS_MAX];
    size_t lengths[REDIS_ARGS_MAX];
};

// The script that document_redis_put calls by its SHA-1; load it once a connection (SCRIPT LOAD),
// and again after NOSCRIPT.
struct str document_redis_script(void);

// EVALSHA <sha1> 1 <key> <version> <value>
enum status document_redis_put(const struct document *document, struct arena *arena,
                               struct redis_command *command) MUST_CHECK;

// GET <key>
enum status document_redis_get(const struct document_id *id, struct arena *arena,
                               struct redis_command *command) MUST_CHECK;

// Reads a value as GET gives it; views into it and into id. STATUS_MALFORMED: treat as a miss.
enum status document_redis_read(struct str value, const struct document_id *id, struct arena *arena,
                                struct document *document) MUST_CHECK;
