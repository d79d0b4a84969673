// SPDX-License-Identifier: Apache-2.0
// Folds a stream's rows, straight from the log, into the document that clients get. Pure.
#pragma once

#include "application/ports/document_store.h"
#include "application/ports/event_store.h"
#include "base/arena.h"
#include "base/status.h"
#include "domain/bounded_context.h"

struct document_fold {
    const struct projection *projection;
    struct str tenant;
    struct uuid stream;
    struct arena *arena;
    void *state;          // NULL before the first row
    int32_t version;      // folded so far
    struct log_cursor at; // of the last row folded
};

// Memory comes from the arena and lives as long as it.
void document_fold_init(struct document_fold *fold, const struct projection *projection,
                        struct str tenant, struct uuid stream, struct arena *arena);

// Applies the next event. STATUS_MALFORMED: it does not follow on, or cannot be read.
enum status document_fold_event(struct document_fold *fold, const struct event_view *event,
                                struct log_cursor at) MUST_CHECK;

// Applies rows in version order up to a version (0: all); those already folded are passed over, and
// of commands and replies only the version counts. Copies what it keeps. Rows of a stream that is
// another tenant's, or not of the projection's category, are STATUS_NOT_FOUND.
enum status document_fold_rows(struct document_fold *fold, const struct recorded_event *rows,
                               size_t count, int32_t until_version) MUST_CHECK;

// The document; version 0 when there was no row. A document that is kept but not listed comes with
// listed false.
enum status document_fold_finish(const struct document_fold *fold,
                                 struct document *document) MUST_CHECK;

// The document of an answer. Of a context without a read model: what can be said of any stream.
enum status document_fold_answer(const struct document_fold *fold,
                                 struct document *document) MUST_CHECK;
