// SPDX-License-Identifier: Apache-2.0
// What a daemon does with a message, as pure functions: which streams it needs, what has to be done
// outside, what it leads to. The command handler and the saga engine are the two that ship.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "application/ports/effect_runner.h"
#include "application/ports/event_store.h"
#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "base/uuid.h"
#include "domain/bounded_context.h"

enum { REACTION_ROWS_MAX = 80, REACTION_STREAMS_MAX = COMMAND_STREAMS_MAX + 2 };

// What came in: a message of the broker (CloudEvent already read) or a due timer.
struct incoming {
    struct uuid id; // message id = inbox id; for a timer its timer id
    bool is_timer;  // no inbox row; the timer is deleted in the transaction of its effect
    enum record_kind kind;
    struct str tenant;
    struct str category;
    struct str type;
    struct uuid stream; // of the row that it carries
    int32_t version;
    int16_t schema_version;
    struct log_cursor at;      // of that row; zero when the sender did not tell
    instant_us recorded_at;    // of that row, whole milliseconds; 0 for a timer
    struct str data;           // JSON, checked
    struct str correlation_id; // "" if none
    struct str causation_id;   // event id of what caused it, as text
    struct str traceparent;    // "" if none
    instant_us now;            // of this process
    struct str command;        // kind command: full name, from the routing key
    const void *plan;          // what streams() left for effect() and react(); NULL before
};

// A stream that a message works on, with its state as it was read after the message came.
struct handler_stream {
    struct uuid id;
    struct str category;
    const struct fold *fold; // NULL: existence and version only (reply streams need no read)
    enum stream_use use;
    bool is_new;  // not there yet, it is hoped: read only after that has proved wrong
    bool foreign; // the fold is not its aggregate's: no snapshot, no cached state
};

struct handler_streams {
    struct handler_stream items[REACTION_STREAMS_MAX];
    size_t count;
    const void *plan; // comes back as message->plan; for what was read once
};

struct reaction_row {
    size_t stream; // index among the declared streams
    struct uuid id;
    enum record_kind kind;
    struct str type;
    int16_t schema_version;
    struct str data;
    struct str meta;
};

// What a message leads to. Nothing at all is a reaction too: its inbox row is kept. It comes with
// all counts zero; elements are to be set whole, they may hold what an earlier message left.
struct reaction {
    struct reaction_row rows[REACTION_ROWS_MAX];
    size_t row_count;
    struct timer timers[4];
    size_t timer_count;
    struct uuid timers_done[4];
    size_t timer_done_count;
    struct str label; // for metrics: "ok", "rejected", "ignored", "started", …
};

struct message_handler;

// Declares the streams; each element is to be set whole. STATUS_MALFORMED, STATUS_INVALID: poison,
// it goes to the dead letters with *cause, a sentence naming the field.
typedef enum status message_handler_streams_fn(const struct message_handler *handler,
                                               const struct incoming *message, struct arena *arena,
                                               struct handler_streams *streams,
                                               struct str *cause) MUST_CHECK;

// True: do this outside first. May be NULL. states: one a stream, NULL for streams without a fold.
typedef bool message_handler_effect_fn(const struct message_handler *handler,
                                       const struct incoming *message, void *const *states,
                                       const int32_t *versions, struct arena *arena,
                                       struct effect_request *request);

// Decides. Pure. versions: of the streams as read (0: none).
typedef enum status message_handler_react_fn(const struct message_handler *handler,
                                             const struct incoming *message, void *const *states,
                                             const int32_t *versions,
                                             const struct effect_answer *effect,
                                             struct arena *arena, struct reaction *reaction,
                                             struct str *cause) MUST_CHECK;

struct message_handler_ops {
    message_handler_streams_fn *streams;
    message_handler_effect_fn *effect;
    message_handler_react_fn *react;
};

struct message_handler {
    const struct message_handler_ops *ops;
    struct str consumer; // name in the inbox: "payment"
};
