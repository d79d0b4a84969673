// SPDX-License-Identifier: Apache-2.0
// What is said to PostgreSQL, without a socket: parameters of each prepared statement in binary,
// and the reading of its result. nginx's event loop and the daemons' blocking calls move the bytes.
#pragma once

#include <libpq-fe.h>
#include <stddef.h>

#include "application/ports/document_store.h"
#include "application/ports/event_store.h"
#include "base/arena.h"
#include "base/status.h"

enum { STATEMENT_PARAMS_MAX = 48 };

// Ready for PQsendPrepare (name, sql, types) once a connection and PQsendQueryPrepared after it;
// results are asked in binary. All memory is the arena's.
struct statement {
    const char *name;
    const char *sql;
    int param_count;
    const Oid *types;
    const char *values[STATEMENT_PARAMS_MAX];
    int lengths[STATEMENT_PARAMS_MAX];
    int formats[STATEMENT_PARAMS_MAX];
};

// comanda.append. Everything is sorted here as the locks need it; verdicts come back in the items'
// order. `items` must stay until the result is read.
enum status statement_append(const struct append_item *items, size_t count, struct arena *arena,
                             struct statement *statement) MUST_CHECK;
enum status statement_append_read(const PGresult *result, const struct append_item *items,
                                  size_t count, struct arena *arena,
                                  struct append_verdict *verdicts) MUST_CHECK;

// Has comanda.append plan all that an append may need. No item, no row comes back, nothing is
// written.
enum status statement_append_warm_up(struct arena *arena, struct statement *statement) MUST_CHECK;

// Streams with their snapshots, at most `limit` rows each; streams[i] answers queries[i]. At most
// READ_QUERIES_MAX.
enum { READ_QUERIES_MAX = 4096 };
enum status statement_read_streams(const struct stream_query *queries, size_t count, size_t limit,
                                   struct arena *arena, struct statement *statement) MUST_CHECK;
enum status statement_read_streams_read(const PGresult *result, const struct stream_query *queries,
                                        size_t count, size_t limit, struct arena *arena,
                                        struct stream_rows *streams) MUST_CHECK;

// Idempotency keys; known[i] tells whether keys[i] was filled.
enum status statement_find_keys(const struct uuid *ids, size_t count, struct arena *arena,
                                struct statement *statement) MUST_CHECK;
enum status statement_find_keys_read(const PGresult *result, const struct uuid *ids, size_t count,
                                     bool *known, struct append_key *keys) MUST_CHECK;

// The settled tail after a cursor; *next is the last row's place, or `after`.
enum status statement_read_tail(struct log_cursor after, size_t limit, struct arena *arena,
                                struct statement *statement) MUST_CHECK;
enum status statement_read_tail_read(const PGresult *result, struct log_cursor after,
                                     struct arena *arena, struct recorded_event **rows,
                                     size_t *count, struct log_cursor *next) MUST_CHECK;

// Nothing comes back but that it is done.
enum status statement_save_snapshots(const struct snapshot *snapshots, size_t count,
                                     struct arena *arena, struct statement *statement) MUST_CHECK;

// Run it as a transaction of its own, before anything is loaded.
enum status statement_timers_rest(int longest_ms, struct arena *arena,
                                  struct statement *statement) MUST_CHECK;
enum status statement_claim_timers(size_t limit, int claim_s, struct arena *arena,
                                   struct statement *statement) MUST_CHECK;
enum status statement_claim_timers_read(const PGresult *result, struct arena *arena,
                                        struct timer **timers, size_t *count) MUST_CHECK;

// Documents of the read schema by key; documents[i] answers ids[i], version 0: none.
enum status statement_get_documents(const struct document_id *ids, size_t count,
                                    struct arena *arena, struct statement *statement) MUST_CHECK;
enum status statement_get_documents_read(const PGresult *result, const struct document_id *ids,
                                         size_t count, struct arena *arena,
                                         struct document *documents) MUST_CHECK;

// The same by stream: documents[i] answers streams[i].
enum status statement_find_documents(const struct document_stream *streams, size_t count,
                                     struct arena *arena, struct statement *statement) MUST_CHECK;
enum status statement_find_documents_read(const PGresult *result, size_t count, struct arena *arena,
                                          struct document *documents) MUST_CHECK;

// Stores what is newer than what is there, a key that stands twice by its newest. No rows come
// back.
enum status statement_put_documents(const struct document *documents, size_t count,
                                    struct arena *arena, struct statement *statement) MUST_CHECK;

// Deletes a collection's documents, a tenant's when the collection is empty.
enum status statement_drop_documents(struct str tenant, struct str collection, struct arena *arena,
                                     struct statement *statement) MUST_CHECK;

// A page of a list, by keyset: sort keys are unique within what a page shows.
struct document_page {
    struct str tenant;
    struct str collection;
    struct str owner; // with any_owner false: only this one's; "" is the public ones
    bool any_owner;
    struct str filter; // "": all
    struct str after;  // sort key of the last one seen; "": from the start
    bool newest_first;
    size_t limit; // ask one more than shown to know whether there is a next page
};

enum status statement_list_documents(const struct document_page *page, struct arena *arena,
                                     struct statement *statement) MUST_CHECK;
enum status statement_list_documents_read(const PGresult *result, struct arena *arena,
                                          struct document **documents, size_t *count) MUST_CHECK;
