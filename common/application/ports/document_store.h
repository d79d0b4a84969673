// SPDX-License-Identifier: Apache-2.0
// Port: the read side's documents. An older version never replaces a newer one. Blocking.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "application/ports/event_store.h"
#include "base/status.h"
#include "base/str.h"
#include "base/uuid.h"

enum { DOCUMENT_BYTES_MAX = 256 * 1024 };

struct document {
    struct str tenant;
    struct str collection;
    struct str key; // within the collection
    struct uuid stream;
    int32_t version;      // of the stream; 0: there is no such document
    struct log_cursor at; // of the last event in it
    struct str owner;     // empty: public
    struct str filter;
    struct str sort;
    bool listed;
    struct str body; // JSON, as clients get it
};

struct document_id {
    struct str tenant;
    struct str collection;
    struct str key;
};

struct document_store;

// Stores what is newer than what is there. Older or equal ones are left out silently.
// STATUS_INVALID: the store is well, but refuses one of the documents, and none is stored: fewer
// may be. See document_store_refusal.
typedef enum status document_store_put_fn(struct document_store *store,
                                          const struct document *documents,
                                          size_t count) MUST_CHECK;

// Reads documents in one round trip, in the order of the ids; version 0 where there is none.
typedef enum status document_store_get_fn(struct document_store *store,
                                          const struct document_id *ids, size_t count,
                                          struct arena *arena,
                                          struct document *documents) MUST_CHECK;

// A document by the stream that it is made from: its key may be known only to the document itself.
struct document_stream {
    struct str tenant;
    struct str collection;
    struct uuid stream;
};

// As get, by stream. NULL in a store that only caches (Redis).
typedef enum status document_store_find_fn(struct document_store *store,
                                           const struct document_stream *streams, size_t count,
                                           struct arena *arena,
                                           struct document *documents) MUST_CHECK;

// Drops every document of a collection ("" for all), for a rebuild; of every tenant with "" for the
// tenant too.
typedef enum status document_store_drop_fn(struct document_store *store, struct str tenant,
                                           struct str collection) MUST_CHECK;

// In what words STATUS_INVALID was said last, for people; until the next call. NULL in a store that
// has none.
typedef const char *document_store_refusal_fn(const struct document_store *store);

struct document_store_ops {
    document_store_put_fn *put;
    document_store_get_fn *get;
    document_store_find_fn *find;
    document_store_drop_fn *drop;
    document_store_refusal_fn *refusal;
};

struct document_store {
    const struct document_store_ops *ops;
};

static inline enum status document_store_put(struct document_store *store,
                                             const struct document *documents, size_t count)
{
    return store->ops->put(store, documents, count);
}

static inline enum status document_store_get(struct document_store *store,
                                             const struct document_id *ids, size_t count,
                                             struct arena *arena, struct document *documents)
{
    return store->ops->get(store, ids, count, arena, documents);
}

static inline enum status document_store_find(struct document_store *store,
                                              const struct document_stream *streams, size_t count,
                                              struct arena *arena, struct document *documents)
{
    return store->ops->find(store, streams, count, arena, documents);
}

static inline enum status document_store_drop(struct document_store *store, struct str tenant,
                                              struct str collection)
{
    return store->ops->drop(store, tenant, collection);
}

static inline const char *document_store_refusal(const struct document_store *store)
{
    return store->ops->refusal == NULL ? status_text(STATUS_INVALID) : store->ops->refusal(store);
}
