// SPDX-License-Identifier: Apache-2.0
// Brings documents up to a batch of messages without I/O: it says what it needs, its driver brings
// it.
//
// A message is a hint. When the batch's messages of a stream go on exactly where the document ends,
// they are applied as they are; anything else makes the batch read that stream's events after the
// document's version from the log. Versions make a repeat harmless, so no inbox is needed.
#pragma once

#include <stddef.h>

#include "application/handler/handler_batch.h"
#include "application/ports/document_store.h"
#include "application/ports/event_store.h"

enum projection_want {
    PROJECTION_WANT_DOCUMENTS, // projection_batch_streams → projection_batch_take_documents
    PROJECTION_WANT_ROWS,      // projection_batch_queries → projection_batch_take_rows
    PROJECTION_WANT_PUT,       // projection_batch_documents → projection_batch_take_put
    PROJECTION_WANT_NOTHING,   // every message has its outcome
};

struct projection_batch;

// Lives in the arena with all that it makes. messages stay the caller's and must outlive it. Which
// projection reads a category says the registry. NULL: no memory.
struct projection_batch *projection_batch_new(const struct incoming *messages, size_t count,
                                              struct arena *arena);

enum projection_want projection_batch_next(struct projection_batch *batch);

// The documents as they are: by document_store_find.
const struct document_stream *projection_batch_streams(const struct projection_batch *batch,
                                                       size_t *count);
void projection_batch_take_documents(struct projection_batch *batch,
                                     const struct document *documents);

// Streams to read on; `more` set on one makes it ask again for the rest.
const struct stream_query *projection_batch_queries(const struct projection_batch *batch,
                                                    size_t *count);
void projection_batch_take_rows(struct projection_batch *batch, const struct stream_rows *streams);

// The documents that have become newer; take_put says that they are stored.
const struct document *projection_batch_documents(const struct projection_batch *batch,
                                                  size_t *count);
void projection_batch_take_put(struct projection_batch *batch);

// A step failed as a whole. STATUS_NO_MEMORY too: try again with fewer messages.
void projection_batch_fail(struct projection_batch *batch, enum status status);

// STATUS_OK, or what the batch failed with.
enum status projection_batch_status(const struct projection_batch *batch);

// One a message, in their order; valid once next says NOTHING. Labels: "applied", "stale" (the
// document was there already), "ignored" (nothing is made of it).
const struct message_result *projection_batch_results(const struct projection_batch *batch);

// The newest documents of all streams that the messages named, those found as new as the messages
// too: what caches should hold. A projector that died between store and cache mends itself so.
const struct document *projection_batch_cacheable(struct projection_batch *batch, size_t *count);
