// SPDX-License-Identifier: Apache-2.0
// The seam between the engine and the contexts: tables of pure functions over byte views and opaque
// states. No struct of a context crosses it; the engine never names an aggregate.
//
// Every function here is pure: no I/O, no clock, no randomness. Memory comes from the arena given
// and lives as long as it. STATUS_NO_MEMORY and STATUS_MALFORMED are the only failures unless said.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/instant.h"
#include "base/status.h"
#include "base/str.h"
#include "base/uuid.h"
#include "domain/event.h"
#include "domain/fault_list.h"

enum { COMMAND_STREAMS_MAX = 64, COMMAND_LOOKUPS_MAX = 64, COMMAND_EVENTS_MAX = 64 };

// A state made from events. The same four functions serve a decider's state and a read document.
struct fold {
    int16_t version; // of the encoding; stored bytes of another version are ignored
    void *(*initial)(struct arena *arena);
    // Applies what has happened. Total: an event of an unknown type leaves the state as it is.
    // Events come in version order without gaps.
    enum status (*evolve)(void *state, const struct event_view *event, struct arena *arena);
    enum status (*encode)(const void *state, struct buffer *out); // JSON, the same bytes each time
    // What was encoded, such that evolving it further comes to the same: long streams are folded
    // over many snapshots. It may keep views into the bytes, which are the arena's.
    enum status (*decode)(struct str bytes, struct arena *arena, void **state);
};

struct aggregate {
    struct str category; // "order", as in the log's column
    struct fold state;
};

// How a document is found and listed.
struct document_index {
    struct str key;    // as in the URL: an id or a natural name
    struct str owner;  // the subject who may see it; empty: public
    struct str filter; // the value that a list may be narrowed by, such as the status
    struct str sort;   // lists run in byte order of this
    bool listed;       // false: kept, but neither shown nor listed (a retired product)
};

// A read model, one document a stream. Its encoded bytes are the document that clients get.
struct projection {
    struct str collection; // "orders"
    struct str category;   // the streams it reads
    bool newest_first;     // order of its lists
    struct fold document;
    enum status (*index)(const void *document, struct arena *arena, struct document_index *index);
};

enum stream_use {
    STREAM_APPEND, // read fresh, its version compared at append
    STREAM_READ,   // read fresh, not compared: for what is final once it is so
};

// A stream that a command works on. A stream of the context's own arrives as its state; one of a
// foreign context (STREAM_READ only) as the encoded document of its projection.
struct stream_ref {
    struct uuid id;
    struct str category;
    enum stream_use use;
};

struct stream_refs {
    struct stream_ref items[COMMAND_STREAMS_MAX];
    size_t count;
};

// A document of another context that a decision needs, read from a cache of at most lookup_ttl.
struct lookup_key {
    struct str collection; // "products"
    struct str name;       // the stream is uuid_named(tenant, category of that projection, name)
};

struct lookup_keys {
    struct lookup_key items[COMMAND_LOOKUPS_MAX];
    size_t count;
};

// In the order of the keys; data NULL: there is no such document, or it is not listed.
struct lookup_rows {
    struct str items[COMMAND_LOOKUPS_MAX];
    size_t count;
};

// A command on its way.
struct command {
    struct str tenant;
    struct uuid target; // the stream it is addressed to
    struct str actor;   // the subject who asks; "saga:<name>" for a saga
    instant_us now;     // of the process that decides
    const void *body;   // what parse made
};

// What has to be done outside, before the append, under a key that makes a repeat harmless.
struct effect_request {
    struct str operation; // "payment.authorize"
    struct str key;       // derived from stream and operation, never from the attempt
    struct str body;      // JSON
};

enum effect_outcome { EFFECT_NOT_ASKED, EFFECT_DONE, EFFECT_REFUSED }; // no answer never comes here

struct effect_answer {
    enum effect_outcome outcome;
    struct str code;   // of a refusal
    struct str detail; // for people
    struct str body;   // JSON, what the other side says happened; empty: nothing to say
};

enum decision_outcome {
    DECISION_ACCEPTED,  // with events, or without: it already stands
    DECISION_REJECTED,  // a rule says no: code and detail (HTTP 409); its events, if any,
                        // remember the refusal and are appended too
    DECISION_INVALID,   // values that only a lookup could judge: faults (HTTP 422)
    DECISION_NOT_FOUND, // no such thing for this actor (HTTP 404)
};

struct decision {
    enum decision_outcome outcome;
    struct str code;   // "stock_short", "order-not-cancellable": stable, for machines
    struct str detail; // for people
    struct fault_list faults;
    struct new_event events[COMMAND_EVENTS_MAX];
    size_t event_count;
};

// What decide is given. states[i] belongs to the i-th declared stream: the state (own context) or a
// `const struct str *` document with data NULL if there is none (foreign).
struct decide_input {
    const struct command *command;
    void *const *states;
    size_t state_count;
    const struct lookup_rows *lookups;
    struct effect_answer effect;
};

struct command_type {
    struct str type;     // the verb: "place"
    struct str category; // the aggregate it is addressed to: "order"
    bool creates;        // its stream is new: nothing to read, expected version 0
    // It appends to streams beside its target that other commands want too (the stock behind many
    // reservations). Such commands go by lanes, so that each hot stream is written by one worker.
    bool contended;
    // Reads the JSON body (already checked by json_check) and lists everything wrong with it.
    // With faults *body is NULL or partial: when it is not NULL, lookups and decide are run on it
    // all the same and decide's faults are added, so that shape and catalogue are reported
    // together; whatever else decide says then is dropped.
    enum status (*parse)(struct str json, struct arena *arena, struct fault_list *faults,
                         void **body);
    // Declares the streams, the target first.
    enum status (*streams)(const struct command *command, struct arena *arena,
                           struct stream_refs *streams);
    // Declares the lookups; NULL: none.
    enum status (*lookups)(const struct command *command, struct arena *arena,
                           struct lookup_keys *keys);
    // True: this has to be done outside first; NULL: never. input->effect is not set yet. Asked
    // anew each time the states have been loaded; decide answers STATUS_INVALID when it was not.
    bool (*effect)(const struct decide_input *input, struct arena *arena,
                   struct effect_request *request);
    enum status (*decide)(const struct decide_input *input, struct arena *arena,
                          struct decision *decision);
};

struct bounded_context {
    struct str name; // "ordering"
    // The role that serves its commands from sagas: "payment" reads the queue comanda.payment.
    // Empty: no daemon does.
    struct str role;
    const struct aggregate *aggregates;
    size_t aggregate_count;
    const struct command_type *commands;
    size_t command_count;
    const struct projection *projections;
    size_t projection_count;
};

// The contexts linked into this program; defined once, in domain/registry.c or by a test.
struct context_registry {
    const struct bounded_context *const *contexts;
    size_t count;
};

const struct context_registry *context_registry(void);

// Finders; NULL when there is none. A command's full name is <context>.<type>_<category>, such as
// "ordering.place_order": so it stands in nginx.conf, in metrics and as the routing key.
const struct aggregate *context_aggregate(struct str category);
const struct command_type *context_command(struct str full_name);
const struct projection *context_projection(struct str collection);
const struct projection *context_projection_of(struct str category);
const struct bounded_context *context_of_category(struct str category);

// Are commands of the context contended?
bool context_is_contended(const struct bounded_context *context);

// Writes the full name without a NUL and returns its length; 0 when it does not fit.
enum { COMMAND_NAME_MAX = 96 };
size_t context_command_name(const struct bounded_context *context,
                            const struct command_type *command, char name[COMMAND_NAME_MAX]);
