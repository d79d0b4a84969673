// SPDX-License-Identifier: Apache-2.0
// Drives projections through blocking ports: a batch of messages, or the rebuild of a collection.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "application/handler/handler_batch.h"
#include "application/ports/document_store.h"
#include "application/ports/event_store.h"

struct projection_run {
    struct event_store *log;
    struct document_store *documents; // the truth of the read side; it has `find`
    size_t rows_max;                  // of a stream, in one read
};

// Projects all messages. results: one each, in the arena. cacheable: what caches should now hold.
// STATUS_OK: each has its outcome; a document that the store refuses is poison to its own messages
// alone. Else the store went away or memory ended, nothing is any message's fault, and all may be
// handed in again as they are.
enum status projection_run_batch(const struct projection_run *run, const struct incoming *messages,
                                 size_t count, struct arena *arena,
                                 const struct message_result **results,
                                 const struct document **cacheable,
                                 size_t *cacheable_count) MUST_CHECK;

struct projection_rebuild_report {
    int64_t events;    // read from the log
    int64_t documents; // stored, a document once for each page of the log that touched it
    int64_t broken;    // events that could not be applied, or whose document is refused
    struct str cause;  // of the first of them; in the arena
};

// Drops all documents of the projection and makes them anew from the log. Safe beside running
// projectors, since documents are versioned, but readers find gaps until it is done. Caches are the
// caller's: empty them afterwards. page: rows in one read.
enum status projection_rebuild(const struct projection_run *run,
                               const struct projection *projection, struct str tenant, size_t page,
                               struct arena *arena,
                               struct projection_rebuild_report *report) MUST_CHECK;
