// SPDX-License-Identifier: Apache-2.0
// One document, looked for in the log: among the streams that its key may mean, each folded from
// its snapshot on, page by page. Pure; the driver reads what is asked for.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "application/query/document_fold.h"

enum { DOCUMENT_CANDIDATES_MAX = 2 };

struct document_search {
    const struct projection *projection;
    struct document_id id;
    struct fold_memory memory;
    struct document_fold folds[DOCUMENT_CANDIDATES_MAX];
    struct stream_query queries[DOCUMENT_CANDIDATES_MAX]; // to be read next, `count` of them
    size_t count;
    bool between_pages;                                 // a stream was read in part
    struct snapshot snapshots[DOCUMENT_CANDIDATES_MAX]; // of the last page, until the next
    size_t snapshot_count;
};

// id and arena outlast the search. Until it has finished, nothing else is kept in the arena.
void document_search_begin(struct document_search *search, const struct projection *projection,
                           const struct document_id *id, struct arena *arena);

// The same where the stream is known.
void document_search_begin_in(struct document_search *search, const struct projection *projection,
                              const struct document_id *id, struct uuid stream,
                              struct arena *arena);

// A page of each query; with between_pages after it, more is to be read. STATUS_NO_MEMORY: past the
// arena. Streams of another kind, and those that cannot be read, are no candidates any more.
enum status document_search_take(struct document_search *search,
                                 const struct stream_rows *pages) MUST_CHECK;

// Its time has ended between two pages: what was read becomes snapshots.
void document_search_give_up(struct document_search *search);

// Version 0: there is none. STATUS_NO_MEMORY, STATUS_FULL: it is past a limit.
enum status document_search_finish(struct document_search *search,
                                   struct document *document) MUST_CHECK;

// How far the candidate that was read furthest has come, for a log.
int32_t document_search_version(const struct document_search *search);
