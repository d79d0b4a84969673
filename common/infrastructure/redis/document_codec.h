// SPDX-License-Identifier: Apache-2.0
// How a document lies in Redis, without a socket: commands to send and the reading of values. The
// edge and the projector use the same versioned script, so an older document never replaces a
// newer.
//
// Key: comanda:doc:<tenant>:<collection>:<key>, each part percent-encoded but for A-Za-z0-9-._~.
// Value: one line, then the body's bytes as clients get them:
//   <version> <epoch> <tx> <position> <stream uuid> <listed 0|1> <owner> <filter> <sort>\n<body>
// with owner, filter and sort percent-encoded in the same way, so that a space only separates.
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

// "comanda:doc:", what all keys of documents begin with.
struct str document_redis_prefix(void);

// EVALSHA <sha1> 1 <key> <version> <value>; the answer is 1 (stored) or 0 (there is one as new).
// Two allocations. STATUS_INVALID: no version, or a body past DOCUMENT_BYTES_MAX.
enum status document_redis_put(const struct document *document, struct arena *arena,
                               struct redis_command *command) MUST_CHECK;

// SET <key> <value> NX: for a stream's first version, which no value of ours can stand before; the
// script would cost Redis five times as much. Same statuses as document_redis_put.
enum status document_redis_add(const struct document *document, struct arena *arena,
                               struct redis_command *command) MUST_CHECK;

// GET <key>
enum status document_redis_get(const struct document_id *id, struct arena *arena,
                               struct redis_command *command) MUST_CHECK;

// Reads a value as GET gives it; views into it and into id. STATUS_MALFORMED: treat as a miss.
enum status document_redis_read(struct str value, const struct document_id *id, struct arena *arena,
                                struct document *document) MUST_CHECK;

// The MATCH pattern of all keys of a collection, or of a tenant when the collection is empty.
enum status document_redis_pattern(struct str tenant, struct str collection, struct arena *arena,
                                   struct str *pattern) MUST_CHECK;
