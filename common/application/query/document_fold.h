// SPDX-License-Identifier: Apache-2.0
// Folds a stream's rows, straight from the log, into the document that clients get. Pure.
#pragma once

#include "application/ports/document_store.h"
#include "application/ports/event_store.h"
#include "application/query/fold_memory.h"
#include "base/arena.h"
#include "base/status.h"
#include "domain/bounded_context.h"

struct document_fold {
    const struct projection *projection;
    struct str tenant;
    struct uuid stream;
    struct fold_memory *memory;
    struct fold_slot slot; // its state is NULL before the first row
    int32_t version;       // folded so far
    struct log_cursor at;  // of the last row folded
    struct uuid last;      // its id
    int32_t snapshot_at;   // version of the last snapshot known of
};

// Memory comes from the arena that the memory was opened over. projection NULL: nothing is folded.
// The fold must stay at its place while others use the same memory.
void document_fold_init(struct document_fold *fold, const struct projection *projection,
                        struct str tenant, struct uuid stream, struct fold_memory *memory);

// What to ask the log for, first; until_version 0: all.
struct stream_query document_fold_query(const struct document_fold *fold, int32_t until_version);

// Folds a page of what `query` asks for and leaves in it what to ask for next, if there is *more.
// A snapshot that cannot be used is passed over: then it asks for the same again, without. Failures
// as of document_fold_rows; copies what it keeps.
enum status document_fold_page(struct document_fold *fold, struct stream_query *query,
                               const struct stream_rows *rows, bool *more) MUST_CHECK;

// Begins at a snapshot instead of the first row. STATUS_NOT_FOUND: another tenant's, or not of the
// projection's category. STATUS_MALFORMED: it cannot be used, the fold is as it was.
enum status document_fold_restore(struct document_fold *fold,
                                  const struct stream_snapshot *snapshot) MUST_CHECK;

// Applies the next event. STATUS_MALFORMED: it does not follow on, or cannot be read.
enum status document_fold_event(struct document_fold *fold, const struct event_view *event,
                                struct log_cursor at) MUST_CHECK;

// Applies rows in version order up to a version (0: all); those already folded are passed over, and
// of commands and replies only the version counts. Copies what it keeps. Rows of a stream that is
// another tenant's, or not of the projection's category, are STATUS_NOT_FOUND.
enum status document_fold_rows(struct document_fold *fold, const struct recorded_event *rows,
                               size_t count, int32_t until_version) MUST_CHECK;

// True: at least so many rows were folded since the last snapshot, and this is the next; its bytes
// last until the next row is folded.
bool document_fold_snapshot(struct document_fold *fold, int32_t least,
                            struct snapshot *snapshot) MUST_CHECK;

// The document: without a projection that of any stream, its id and version. Version 0 when there
// was no row. A document that is kept but not listed comes with listed false.
enum status document_fold_finish(const struct document_fold *fold,
                                 struct document *document) MUST_CHECK;
