// SPDX-License-Identifier: Apache-2.0
// One stream's document on its way to a newer version: what is folded, how far, and what broke it.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "application/ports/document_store.h"
#include "application/ports/event_store.h"
#include "domain/bounded_context.h"

struct projection_target {
    const struct projection *projection;
    struct document_stream id;
    struct str category;
    struct document found; // as stored; version 0: none, or one that cannot be read
    void *state;           // NULL before the first event
    int32_t version;       // folded so far
    struct log_cursor at;  // of the last row folded
    struct str checkpoint; // the state encoded before this run of events; empty: initial
    int32_t checkpoint_at; // its version
    struct log_cursor checkpoint_cursor;
    struct str cause;     // why nothing after `version` can be folded; empty: nothing is wrong
    struct document made; // version 0: nothing newer was made
};

// A row of the log, or a message that carries one.
struct projection_event {
    struct event_view view;
    struct log_cursor at;
    bool is_event; // false: a command or reply in the stream; only its version counts
};

// Begins from the stored document. One that cannot be read is folded anew from the first event.
// STATUS_NO_MEMORY only.
enum status projection_target_begin(struct projection_target *target, const struct document *found,
                                    struct arena *arena) MUST_CHECK;

// Applies events that go on without a gap. On an event that cannot be read the document stays at
// the version before it and *broken tells the event; nothing else is a failure but
// STATUS_NO_MEMORY.
enum status projection_target_apply(struct projection_target *target,
                                    const struct projection_event *events, size_t count,
                                    struct arena *arena,
                                    const struct projection_event **broken) MUST_CHECK;

// Encodes the document into `made` if anything was folded. A document that cannot be made (too
// large, no key) sets `cause`. STATUS_NO_MEMORY only.
enum status projection_target_finish(struct projection_target *target,
                                     struct arena *arena) MUST_CHECK;
