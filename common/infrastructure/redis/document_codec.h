// SPDX-License-Identifier: Apache-2.0
// How a document lies in Redis, without a socket: commands to send and the reading of values. The
// edge and the projector use the same versioned script, so an older document never replaces a
// newer.
//
// Key: comanda:doc:<tenant>:<collection>:<key>, each part percent-encoded but for A-Za-z0-9-._~.
// Value: one line, then the body's bytes as clients get them:
//   <generation> <version> <length> <epoch> <tx> <position> <stream uuid> <listed 0|1> <owner>
//   <filter> <sort>\n<body>
// with owner, filter and sort percent-encoded in the same way, so that a space only separates. The
// generation is that of the server when it was written (redis/generation.h): a value of another one
// counts as none. The length is that of all that follows its space: a value that was cut is none
// either.
#pragma once

#include <stddef.h>

#include "application/ports/document_store.h"
#include "base/arena.h"
#include "base/status.h"
#include "infrastructure/redis/generation.h"
#include "infrastructure/redis/script.h"

// "comanda:doc:", what all keys of documents begin with.
struct str document_redis_prefix(void);

// EVALSHA <sha1> 1 <key> <generation> <version> <value>; the answer is 1 (stored), 0 (there is one
// as new of this generation) or 2 (the memory is full, so that what was there is dropped). Two
// allocations. STATUS_INVALID: no version, no generation, or a body past DOCUMENT_BYTES_MAX.
enum status document_redis_put(const struct document *document, struct str generation,
                               struct arena *arena, struct redis_command *command) MUST_CHECK;

// The key that a put's command writes to.
struct str document_redis_key(const struct redis_command *put);

// SET <key> <value> NX: for a stream's first version, which no value of ours can stand before; the
// script would cost Redis five times as much. Same statuses as document_redis_put.
enum status document_redis_add(const struct document *document, struct str generation,
                               struct arena *arena, struct redis_command *command) MUST_CHECK;

// GET <key>
enum status document_redis_get(const struct document_id *id, struct arena *arena,
                               struct redis_command *command) MUST_CHECK;

// Reads a value as GET gives it; views into it and into id. STATUS_MALFORMED: treat as a miss.
// With an empty generation every value is one.
enum status document_redis_read(struct str value, struct str generation,
                                const struct document_id *id, struct arena *arena,
                                struct document *document) MUST_CHECK;

// The MATCH pattern of all keys of a collection, of a tenant's when the collection is empty, of all
// documents when the tenant is.
enum status document_redis_pattern(struct str tenant, struct str collection, struct arena *arena,
                                   struct str *pattern) MUST_CHECK;
