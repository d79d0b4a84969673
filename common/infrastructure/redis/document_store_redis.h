// SPDX-License-Identifier: Apache-2.0
// Documents in Redis: the hot copies. All of it may be lost at any time; the read schema is the
// truth.
#pragma once

#include "application/ports/document_store.h"

struct redis_connection;

// The connection stays the caller's and outlives the store. `find` is NULL: Redis knows documents
// by key only. Every operation gives STATUS_UNAVAILABLE while the server is away or answers with an
// error (full, loading, read only); then some of a batch may be stored. A value that cannot be read
// counts as none. NULL: no memory.
struct document_store *document_store_redis_new(struct redis_connection *connection);
void document_store_redis_free(struct document_store *store);
