// SPDX-License-Identifier: Apache-2.0
// One command from request to answer, without I/O: it says what it needs, its driver brings it. The
// edge drives it from nginx's event loop, a test with literals.
//
// PARSE → LOOKUPS? → STREAMS? → decide → APPEND → answer; before a refusal the key is looked up
// (KEY): a known key wins. A version conflict without If-Match reloads and decides again, at most
// `attempts_max` times. A duplicate, and every answer that needs the document, asks for the
// stream's events (DOCUMENT) unless the flow has folded them itself. Streams and documents begin at
// snapshots where there are some.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "application/ports/document_store.h"
#include "application/ports/event_store.h"
#include "base/arena.h"
#include "domain/bounded_context.h"

enum command_flow_want {
    FLOW_WANT_LOOKUPS,  // command_flow_lookups → take_lookups
    FLOW_WANT_STREAMS,  // command_flow_queries → take_streams
    FLOW_WANT_APPEND,   // command_flow_item → take_verdict
    FLOW_WANT_KEY,      // command_flow_key → take_key
    FLOW_WANT_DOCUMENT, // command_flow_queries → take_streams
    FLOW_WANT_NOTHING,  // command_flow_answer
};

// If-Match, already read.
enum precondition_kind {
    PRECONDITION_NONE,
    PRECONDITION_ANY,
    PRECONDITION_VERSION,
    PRECONDITION_NEVER
};

struct precondition {
    enum precondition_kind kind; // NEVER: only tags that can match no version
    int32_t versions[16];
    size_t count;
};

struct command_request {
    const struct command_type *type;
    struct str tenant;
    struct str subject;       // the principal
    struct uuid target;       // the new stream's id for a command that creates
    struct uuid event_ids[4]; // v7, made by the driver; later ones derive from the last
    struct str body;          // raw bytes of the request, not yet checked
    bool has_key;
    struct append_key key; // id and fingerprint; the flow fills stream, version and status
    struct precondition if_match;
    int16_t success_status; // 201, 202
    struct str correlation_id;
    struct str traceparent;
    instant_us now;
    int attempts_max;
};

enum command_answer_kind {
    ANSWER_DONE,         // status, document; replayed or not
    ANSWER_BAD_JSON,     // 400: detail
    ANSWER_INVALID,      // 422: faults
    ANSWER_NOT_FOUND,    // 404
    ANSWER_REJECTED,     // 409: code, detail
    ANSWER_PRECONDITION, // 412: version
    ANSWER_KEY_REUSED,   // 422
    ANSWER_CONTENDED,    // 503: conflicts past attempts_max, nothing written
    ANSWER_LONG_STREAM,  // 503, replayed 504: not read to its end in time: stream, version reached
    ANSWER_TOO_LARGE,    // 507: past a limit of memory, whenever it is sent: stream, version
    ANSWER_FAILED,       // 503 or 504: see status
};

struct command_answer {
    enum command_answer_kind kind;
    int16_t status; // ANSWER_DONE: the HTTP status
    bool replayed;  // also of a limit: the command itself was done before
    bool appended;  // this request wrote something: the document goes to Redis
    struct document document;
    const struct fault_list *faults;
    struct str code;
    struct str detail;
    int32_t version;    // ANSWER_PRECONDITION: the current one
    struct uuid stream; // ANSWER_LONG_STREAM, _TOO_LARGE
    enum status failure;
};

struct command_flow;

// All memory of the flow comes from the arena, which outlives it. NULL: no memory.
struct command_flow *command_flow_new(const struct command_request *request, struct arena *arena);

enum command_flow_want command_flow_next(struct command_flow *flow);

const struct lookup_keys *command_flow_lookups(struct command_flow *flow);
void command_flow_take_lookups(struct command_flow *flow, const struct lookup_rows *rows);

const struct stream_query *command_flow_queries(struct command_flow *flow, size_t *count);
void command_flow_take_streams(struct command_flow *flow, const struct stream_rows *streams);

// What the last take_streams, or a fail between two pages, made worth keeping, so that the next one
// need not read it; until the flow is given anything else.
const struct snapshot *command_flow_snapshots(const struct command_flow *flow, size_t *count);

const struct append_item *command_flow_item(struct command_flow *flow);
void command_flow_take_verdict(struct command_flow *flow, const struct append_verdict *verdict);

// known false: the key is free. `key` as stored: fingerprint, stream, version, status.
const struct append_key *command_flow_key(struct command_flow *flow);
void command_flow_take_key(struct command_flow *flow, bool known, const struct append_key *key);

// A step failed: STATUS_UNAVAILABLE, TIMEOUT (not begun) or UNKNOWN. In the midst of a long stream
// a TIMEOUT is ANSWER_LONG_STREAM.
void command_flow_fail(struct command_flow *flow, enum status status);

const struct command_answer *command_flow_answer(const struct command_flow *flow);
