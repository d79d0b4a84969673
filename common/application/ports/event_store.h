// SPDX-License-Identifier: Apache-2.0
// Port: the log that holds every event, command and reply. Blocking; for daemons. The edge uses the
// same items and verdicts through its own driver.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/instant.h"
#include "base/status.h"
#include "base/str.h"
#include "base/uuid.h"

struct arena;

enum { APPEND_ITEMS_MAX = 1024, APPEND_ROWS_MAX = 16384 };

enum record_kind { RECORD_EVENT, RECORD_COMMAND, RECORD_REPLY };

// Where a row stands in the log. Readers order by (epoch, tx, position), never by position alone.
struct log_cursor {
    int32_t epoch;
    uint64_t tx;
    int64_t position;
};

struct recorded_event {
    struct log_cursor at;
    struct str tenant;
    struct str category;
    struct uuid stream;
    int32_t version;
    struct uuid id;
    enum record_kind kind;
    struct str type;
    int16_t schema_version;
    struct str data; // JSON
    struct str meta; // JSON
    instant_us recorded_at;
};

struct append_stream {
    struct uuid id;
    struct str category;
    int32_t expected_version; // before this item; 0: the stream must not exist
};

struct append_row {
    size_t stream; // index into the item's streams; rows of one stream are in version order
    struct uuid id;
    enum record_kind kind;
    struct str type;
    int16_t schema_version;
    struct str data;
    struct str meta;
};

// An idempotency key, already hashed with tenant and principal.
enum { KEY_FINGERPRINT_LEN = 16 };
struct append_key {
    struct uuid id;
    unsigned char fingerprint[KEY_FINGERPRINT_LEN];
    struct uuid stream; // of the answer
    int32_t version;    // the stream's version in the answer
    int16_t status;     // the HTTP status of the answer
};

struct timer {
    struct uuid id;    // the same id set twice is one timer
    struct uuid saga;  // stream of the instance
    struct str tenant; // filled when claimed; set, it is the item's
    struct str data;   // JSON: step, direction, attempt; comes back as it is
    instant_us due;    // judged by the database's clock
};

// What commits together. All or nothing; one item's verdict never depends on its neighbours'.
struct append_item {
    struct str tenant;
    const struct append_stream *streams;
    size_t stream_count;
    const struct append_row *rows;
    size_t row_count;
    struct str consumer; // of the inbox ids; empty when there are none
    const struct uuid *inbox;
    size_t inbox_count;
    const struct append_key *key; // NULL: none
    const struct timer *timers;   // set
    size_t timer_count;
    const struct uuid *timers_done; // deleted; one that is not there is no fault
    size_t timer_done_count;
};

enum append_outcome {
    APPENDED,         // also an item without rows: its inbox ids are kept, its timers done
    VERSION_CONFLICT, // of one of its streams; nothing of the item is stored
    DUPLICATE,        // the key is known with this fingerprint: `key` holds the first answer
    KEY_REUSED,       // the key is known with another fingerprint
    ALREADY_HANDLED,  // at least one inbox id is known: see inbox_handled
    APPEND_AGAIN,     // its twin failed, or a lock came too late: nothing is stored, append again
    ITEM_REFUSED,     // the server refuses this item, also alone: nothing of it is stored
};

struct append_verdict {
    enum append_outcome outcome;
    size_t conflict_stream;    // VERSION_CONFLICT: index of the item's stream
    int32_t conflict_version;  // VERSION_CONFLICT: the version found
    struct log_cursor at;      // APPENDED: of the item's last row; zero without rows
    struct append_key key;     // DUPLICATE: stream, version and status of the first answer
    const bool *inbox_handled; // ALREADY_HANDLED: one flag an inbox id, in the arena
    struct str cause;          // ITEM_REFUSED: what the server said, in the arena
};

// What a stream has come to at a version, in its context's encoding. It stands on a row of the log,
// which says whose it is: one whose row the log does not have (it was restored from an older copy,
// perhaps) is never handed out, nor one whose bytes have changed. May be lost at any time.
enum { SNAPSHOT_BYTES_MAX = 1024 * 1024 };
enum snapshot_kind { SNAPSHOT_STATE, SNAPSHOT_DOCUMENT };

struct snapshot {
    struct uuid stream;
    enum snapshot_kind kind;
    int16_t codec;     // version of the encoding; one of another encoding is another snapshot
    int32_t version;   // of the stream
    struct uuid event; // id of the row at that version
    struct str bytes;
};

// A stream to read: its rows after a version, with the newest snapshots if they save reading.
struct stream_query {
    struct uuid stream;
    int32_t after_version;  // 0: from the start
    int32_t until_version;  // nothing beyond it; 0: to the end
    int16_t state_codec;    // take a snapshot of the state in this encoding; 0: none
    int16_t document_codec; // the same of the document
};

struct stream_snapshot {
    int32_t version; // 0: none
    struct str bytes;
    struct log_cursor at; // of the row that it stands on, as are the following
    struct str tenant;
    struct str category;
};

// Snapshots come only when all that were asked for are there; then the rows begin after the older
// of them.
struct stream_rows {
    struct stream_snapshot state;
    struct stream_snapshot document;
    struct recorded_event *rows;
    size_t count;
    bool more; // the limit cut it short: read on after the last row
};

struct event_store;

// Appends all items in one transaction and says what became of each. A stream may stand in one item
// only (else STATUS_INVALID); two items with one key or one inbox id are twins: the first one
// counts, and when it fails the others are told to append again. A stream without rows is compared
// too, but not held. A call that loses a race or fails as a whole is halved until the bad item
// stands alone: the caller sees verdicts only. STATUS_UNKNOWN: ask again with the same ids and
// keys. STATUS_REFUSED: no item can be appended (schema, privileges). verdicts: one an item,
// untouched on failure. STATUS_UNAVAILABLE also where the session in which it last read has ended:
// what was decided may stand on rows that the next one's server lacks; nothing was appended.
typedef enum status event_store_append_fn(struct event_store *store,
                                          const struct append_item *items, size_t count,
                                          struct arena *arena,
                                          struct append_verdict *verdicts) MUST_CHECK;

// Reads any number of streams, thousands in one round trip, each oldest row first, at most `limit`
// rows a stream. STATUS_INVALID, STATUS_MALFORMED: it is what is asked for that cannot be read, and
// fewer streams may be. streams: one a query, untouched on failure.
typedef enum status event_store_read_fn(struct event_store *store,
                                        const struct stream_query *queries, size_t count,
                                        size_t limit, struct arena *arena,
                                        struct stream_rows *streams) MUST_CHECK;

// Reads the log's settled tail after a cursor in (epoch, tx, position) order: never past a row that
// may still commit. *next is the last row's cursor, or `after` when there is none.
typedef enum status event_store_read_tail_fn(struct event_store *store, struct log_cursor after,
                                             size_t limit, struct arena *arena,
                                             struct recorded_event **rows, size_t *count,
                                             struct log_cursor *next) MUST_CHECK;

// Keeps snapshots that stand on a row of the log; others are left out. Of a state the newest stays;
// of a document one in a thousand versions too, for who asks what it was. At most SNAPSHOTS_MAX.
enum { SNAPSHOTS_MAX = 1024 };
typedef enum status event_store_save_snapshots_fn(struct event_store *store,
                                                  const struct snapshot *snapshots,
                                                  size_t count) MUST_CHECK;

// Claims due timers: each is moved `claim_s` seconds on and handed out; the effect deletes it.
typedef enum status event_store_claim_timers_fn(struct event_store *store, size_t limit,
                                                int claim_s, struct arena *arena,
                                                struct timer **timers, size_t *count) MUST_CHECK;

// How long nobody has to claim: until the earliest timer is due, longest_ms at most.
typedef enum status event_store_timers_rest_fn(struct event_store *store, int longest_ms,
                                               int *rest_ms) MUST_CHECK;

// Which session reads: grows with each connection that is made. Another one may be at another
// server, such as a standby that was promoted and lacks the last rows. NULL in a store that has
// none.
typedef unsigned event_store_session_fn(const struct event_store *store);

struct event_store_ops {
    event_store_append_fn *append;
    event_store_read_fn *read;
    event_store_read_tail_fn *read_tail;
    event_store_save_snapshots_fn *save_snapshots;
    event_store_claim_timers_fn *claim_timers;
    event_store_timers_rest_fn *timers_rest;
    event_store_session_fn *session;
};

struct event_store {
    const struct event_store_ops *ops;
};

static inline enum status event_store_append(struct event_store *store,
                                             const struct append_item *items, size_t count,
                                             struct arena *arena, struct append_verdict *verdicts)
{
    return store->ops->append(store, items, count, arena, verdicts);
}

static inline unsigned event_store_session(const struct event_store *store)
{
    return store->ops->session == NULL ? 0 : store->ops->session(store);
}

static inline enum status event_store_read(struct event_store *store,
                                           const struct stream_query *queries, size_t count,
                                           size_t limit, struct arena *arena,
                                           struct stream_rows *streams)
{
    return store->ops->read(store, queries, count, limit, arena, streams);
}

static inline enum status event_store_read_tail(struct event_store *store, struct log_cursor after,
                                                size_t limit, struct arena *arena,
                                                struct recorded_event **rows, size_t *count,
                                                struct log_cursor *next)
{
    return store->ops->read_tail(store, after, limit, arena, rows, count, next);
}

static inline enum status event_store_save_snapshots(struct event_store *store,
                                                     const struct snapshot *snapshots, size_t count)
{
    return store->ops->save_snapshots(store, snapshots, count);
}

static inline enum status event_store_timers_rest(struct event_store *store, int longest_ms,
                                                  int *rest_ms)
{
    return store->ops->timers_rest(store, longest_ms, rest_ms);
}

static inline enum status event_store_claim_timers(struct event_store *store, size_t limit,
                                                   int claim_s, struct arena *arena,
                                                   struct timer **timers, size_t *count)
{
    return store->ops->claim_timers(store, limit, claim_s, arena, timers, count);
}
