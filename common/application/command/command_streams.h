// SPDX-License-Identifier: Apache-2.0
// The streams that one command works on: which to read, their states, the document of the target,
// and the versions to compare at append. Pure; part of command_flow.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "application/ports/event_store.h"
#include "application/query/document_fold.h"
#include "base/arena.h"
#include "domain/bounded_context.h"

struct loaded_stream {
    struct fold_slot own; // of an own stream; fold NULL: a foreign one, read as its document
    int32_t own_version;  // of the own state, which a snapshot may have put ahead of the rows
    int32_t version;      // read so far
    struct uuid last;     // id of the row at that version
    int32_t snapshot_at;  // version of the last snapshot known of
    bool no_shortcut;     // its snapshots cannot be used: from the start
    bool complete;
    struct document_fold document; // of the target, and of a foreign stream
};

struct command_streams {
    struct str tenant;
    struct stream_refs refs;
    struct loaded_stream *loaded; // one a ref, as are the following
    void **states;
    struct str *documents; // what decide gets of a foreign stream
    struct stream_query *queries;
    size_t *query_of;           // which stream a query is of
    struct snapshot *snapshots; // two a ref
    size_t snapshot_count;
    struct arena *arena;
    struct fold_memory memory;
};

// Asks the command for its streams. read false: take all as new, for judging a faulty body.
// STATUS_INVALID: the context declared no stream, or one of a category that nobody has.
enum status command_streams_begin(struct command_streams *streams, const struct command_type *type,
                                  const struct command *command, bool read,
                                  struct arena *arena) MUST_CHECK;

bool command_streams_complete(const struct command_streams *streams);

// What is still to be read. Of a page nothing is kept but the states: the arena is bounded by them,
// not by the streams' lengths.
const struct stream_query *command_streams_queries(struct command_streams *streams, size_t *count);
enum status command_streams_take(struct command_streams *streams,
                                 const struct stream_rows *rows) MUST_CHECK;

// Its time has ended between two pages: what was read becomes snapshots.
void command_streams_give_up(struct command_streams *streams);

// What the last of the two made worth keeping; until the next take.
const struct snapshot *command_streams_snapshots(const struct command_streams *streams,
                                                 size_t *count);

// For decide; lookups and effect are the caller's to fill.
struct decide_input command_streams_input(const struct command_streams *streams,
                                          const struct command *command);

int32_t command_streams_target_version(const struct command_streams *streams);

// The target's document; its projection is NULL where the category has none.
const struct document_fold *command_streams_document(const struct command_streams *streams);

// Fills the item's streams with the versions to compare, and turns the rows' stream, an index of
// the declared ones, into one of these. version_after: the target's, once appended.
enum status command_streams_item(const struct command_streams *streams, struct append_row *rows,
                                 size_t row_count, struct arena *arena, struct append_item *item,
                                 int32_t *version_after) MUST_CHECK;

// Folds appended rows into the target's document. at: of the last row.
enum status command_streams_apply(struct command_streams *streams, const struct append_row *rows,
                                  size_t count, instant_us now, struct log_cursor at) MUST_CHECK;
