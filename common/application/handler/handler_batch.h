// SPDX-License-Identifier: Apache-2.0
// Handles a batch of messages without I/O: it says what it needs, its driver brings it.
//
// Messages that share a stream form a group: they are decided one after another on one loaded state
// and appended as one item, all or nothing. A group that conflicts or meets a message handled
// before is reloaded and decided again, alone; a group that the log refuses is halved down to the
// message that stands alone. A group that lost a race rests a little, longer each time in a row,
// while the others go on; it is given up, its messages as transient failures, only when it has done
// nothing but lose for `limits.contention_ms`.
#pragma once

#include <stddef.h>

#include "application/handler/message_handler.h"

enum handler_want {
    HANDLER_WANT_STREAMS, // handler_batch_queries → handler_batch_take_streams
    HANDLER_WANT_EFFECTS, // handler_batch_effects → handler_batch_take_effects
    HANDLER_WANT_APPEND,  // handler_batch_items → handler_batch_take_verdicts
    HANDLER_WANT_PAUSE,   // handler_batch_pause_ms; all that is left has lost a race
    HANDLER_WANT_NOTHING, // every message has its outcome
};

enum message_outcome {
    MESSAGE_HANDLED,   // committed, or committed before
    MESSAGE_TRANSIENT, // try later: failure ladder
    MESSAGE_POISON,    // never will work: dead letters
};

struct message_result {
    enum message_outcome outcome;
    struct str cause; // of transient and poison
    struct str label; // of the reaction
};

struct handler_limits {
    int contention_ms;      // how long a group that keeps losing its race is tried
    int snapshot_every;     // events between two snapshots of a stream; 0: none
    size_t append_rows_max; // rows of one append call; more wait for the next
};

enum { HANDLER_BATCH_MAX = 1024 }; // messages

// Between two tries of a group that loses: about twice as long each time, with jitter.
enum { HANDLER_PAUSE_FIRST_MS = 2, HANDLER_PAUSE_MAX_MS = 250 };

struct state_cache; // encoded states of the streams used last; see state_cache.h
struct handler_batch;

// Lives in the arena with all that it makes. messages stay the caller's and must outlive it.
// cache may be NULL. NULL: no memory, or more messages than HANDLER_BATCH_MAX.
struct handler_batch *handler_batch_new(const struct message_handler *handler,
                                        const struct incoming *messages, size_t count,
                                        struct state_cache *cache,
                                        const struct handler_limits *limits, struct arena *arena);

// now_ms: of a clock that never jumps.
enum handler_want handler_batch_next(struct handler_batch *batch, int64_t now_ms);

// How long there is nothing to do, 1 to HANDLER_PAUSE_MAX_MS; coming back early does no harm.
int handler_batch_pause_ms(const struct handler_batch *batch);

const struct stream_query *handler_batch_queries(struct handler_batch *batch, size_t *count);
// `more` set on a stream: the driver asks again for the rest (queries are made anew by next).
void handler_batch_take_streams(struct handler_batch *batch, const struct stream_rows *streams);

const struct effect_request *handler_batch_effects(struct handler_batch *batch, size_t *count);
void handler_batch_take_effects(struct handler_batch *batch, const struct effect_result *results);

const struct append_item *handler_batch_items(struct handler_batch *batch, size_t *count);
void handler_batch_take_verdicts(struct handler_batch *batch,
                                 const struct append_verdict *verdicts);

// A step failed as a whole (server away, unknown outcome): every message not yet done is transient.
// After STATUS_UNKNOWN too: the inbox makes a redelivery harmless. It wants nothing from then on.
void handler_batch_fail(struct handler_batch *batch, enum status status);

// What it failed with; STATUS_OK: it did not. Memory that ends while an append is built fails it
// too.
enum status handler_batch_status(const struct handler_batch *batch);

// Snapshots worth keeping after the append (every n events); the driver may drop them.
const struct snapshot *handler_batch_snapshots(struct handler_batch *batch, size_t *count);

// One a message, in their order; valid once next says NOTHING.
const struct message_result *handler_batch_results(const struct handler_batch *batch);
