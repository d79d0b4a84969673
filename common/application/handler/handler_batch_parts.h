// SPDX-License-Identifier: Apache-2.0
// What the parts of handler_batch share; nobody else includes it.
#pragma once

#include "application/handler/handler_batch.h"

enum { NO_INDEX = -1, STREAM_VIEWS_MAX = 2 };

// One reading of a stream's events.
struct batch_view {
    const struct fold *fold;
    bool foreign;
    void *state;
};

// A stream as one group sees it. Groups share no stream that they append to.
struct batch_stream {
    struct uuid id;
    struct str category;
    int32_t group;
    bool appends;
    bool is_new;
    bool loaded;
    bool reading;      // its first rows have come, more will
    bool no_shortcut;  // cached state or snapshot could not be read: from the start
    bool not_ours;     // of another tenant or another kind of thing: read as none
    int32_t committed; // version in the log
    int32_t version;   // with the rows decided on top
    struct uuid last;  // id of the last row decided on top
    int32_t cached;    // version of the state in the cache; 0: none
    struct str kept;   // state as read after a lost race, for the next one; data NULL: none
    int32_t kept_version;
    int32_t item_at; // index in the item that is being built
    struct batch_view views[STREAM_VIEWS_MAX];
    size_t view_count;
    struct str fault; // its events cannot be read; data NULL: they can
};

struct stream_use_of {
    int32_t stream; // index into batch.streams
    int32_t view;   // NO_INDEX: without a fold
};

enum message_phase { MESSAGE_PENDING, MESSAGE_DECIDED, MESSAGE_DONE };

struct batch_message {
    struct incoming incoming;
    struct handler_stream *declared;
    size_t declared_count;
    struct stream_use_of *uses;
    enum message_phase phase;
    int32_t group;
    int32_t twin; // an earlier message with the same id; NO_INDEX: none
    bool answered;
    struct effect_request asked;
    struct effect_answer answer;
    struct str label;
    struct message_result *result;
};

// Messages that append to common streams, in the order they came.
struct batch_group {
    int32_t *messages;
    size_t count;
    size_t next; // the one to decide
    size_t pending;
    int losses; // races lost since the last one won
    bool lost;  // one just now
    int64_t losing_since_ms;
    int64_t resume_at_ms;
    size_t take_max;      // messages an item
    bool waiting;         // for an effect
    size_t decided_count; // in the item
    struct append_row *rows;
    size_t row_count;
    size_t row_room;
    struct timer *timers;
    size_t timer_count;
    size_t timer_room;
    struct uuid *timers_done;
    size_t timer_done_count;
    size_t timer_done_room;
};

struct handler_batch {
    const struct message_handler *handler;
    struct state_cache *cache;
    struct handler_limits limits;
    struct arena *arena;
    int64_t now_ms;
    struct batch_message *messages;
    struct message_result *results;
    size_t count;
    enum status status; // of the step that failed as a whole
    struct batch_stream *streams;
    size_t stream_count;
    struct batch_group *groups;
    size_t group_count;

    struct stream_query *queries;
    int32_t *query_streams;
    size_t query_count;
    struct effect_request *effects;
    int32_t *effect_messages;
    size_t effect_count;
    struct append_item *items;
    int32_t *item_groups;
    size_t item_count;
    struct handler_streams *asked_streams; // scratch, reused for each message
    struct reaction *reaction;
    size_t rows_decided; // over all groups, in the coming append
    struct snapshot *snapshots;
    size_t snapshot_count;
};

// Reads what each message works on, parts the messages into groups, lists their streams.
enum status handler_batch_group(struct handler_batch *batch) MUST_CHECK;

// The message has its outcome. cause: "" when handled.
void handler_batch_finish(struct handler_batch *batch, struct batch_message *message,
                          enum message_outcome outcome, struct str cause);

// What stands before a state in the cache: whose it is. data NULL: no memory.
struct str handler_batch_owner(struct handler_batch *batch, const struct batch_stream *stream);

// Lists the queries for what the groups still have to read.
void handler_batch_list_queries(struct handler_batch *batch);

// Decides as far as it can; what has to be done outside first is listed in batch->effects.
void handler_batch_decide(struct handler_batch *batch);

// Builds an item for each group that has decided something.
enum status handler_batch_build_items(struct handler_batch *batch) MUST_CHECK;

// The state in bytes; false: it has none that can be decoded again, or is too large.
bool handler_batch_encode_state(struct handler_batch *batch, const struct batch_stream *stream,
                                struct str *state);

// The group's append was overtaken: it is decided again, after a rest.
void handler_batch_lose(struct handler_batch *batch, struct batch_group *group);

// Groups that have just lost begin to rest, or are given up.
void handler_batch_rest_losers(struct handler_batch *batch);

bool handler_batch_rests(const struct handler_batch *batch, const struct batch_group *group);

// Forgets what the group has decided and read.
void handler_batch_reset_group(struct handler_batch *batch, struct batch_group *group);
