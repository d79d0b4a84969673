// SPDX-License-Identifier: Apache-2.0
// One command from request to answer, without I/O: it says what it needs, its driver brings it. The
// edge drives it from nginx's event loop, a test with literals.
#include "application/command/command_flow.h"

#include <string.h>

#include "application/command/command_replay.h"
#include "application/command/command_rows.h"
#include "application/command/command_streams.h"
#include "application/command/entity_tag.h"
#include "base/json.h"

enum stage {
    STAGE_PARSE,
    STAGE_LOOKUPS,
    STAGE_STREAMS,
    STAGE_DECIDE,
    STAGE_APPEND,
    STAGE_KEY,    // before an answer that appends nothing: a known key wins
    STAGE_REPLAY, // the document of the first answer
    STAGE_ANSWERED,
};

struct command_flow {
    struct command_request request;
    struct arena *arena;
    enum stage stage;
    int attempts;

    struct command command;
    void *body;
    struct append_item item;
    struct append_key key; // of the item
    struct append_row *rows;
    struct command_replay replay;
    bool reading;         // the streams have begun
    bool between_pages;   // one was read in part, and goes on
    int32_t version_read; // of the target
    struct command_answer answer;

    // Long arrays with a count, of which a command uses little: only the counts begin as zero.
    struct fault_list faults;
    struct lookup_keys lookup_keys;
    struct lookup_rows lookups;
    struct command_streams streams; // until its begin
    struct decision decision;       // until it is asked for
};

struct command_flow *command_flow_new(const struct command_request *request, struct arena *arena)
{
    struct command_flow *flow = arena_alloc_raw(arena, sizeof(*flow));
    if (flow == NULL) {
        return NULL;
    }
    memset(flow, 0, offsetof(struct command_flow, faults));
    flow->faults.count = flow->faults.total = 0;
    flow->lookup_keys.count = flow->lookups.count = 0;
    flow->request = *request;
    flow->arena = arena;
    flow->stage = STAGE_PARSE;
    flow->command = (struct command){.tenant = request->tenant,
                                     .target = request->target,
                                     .actor = request->subject,
                                     .now = request->now};
    return flow;
}

// --- answers ---

static void answer(struct command_flow *flow, struct command_answer given)
{
    flow->answer = given;
    flow->stage = STAGE_ANSWERED;
}

// The stream whose length or size is to blame: how far it was read says most.
static void answer_limit(struct command_flow *flow, enum command_answer_kind kind)
{
    bool replaying = flow->stage == STAGE_REPLAY;
    answer(flow, (struct command_answer){
                     .kind = kind,
                     .replayed = replaying,
                     .stream = replaying ? flow->replay.key.stream : flow->request.target,
                     .version = replaying ? flow->replay.fold.version : flow->version_read});
}

// Met once it is met again, whenever the command is sent.
static bool is_limit(enum status status)
{
    return status == STATUS_NO_MEMORY || status == STATUS_FULL;
}

static void fail(struct command_flow *flow, enum status status)
{
    if (is_limit(status)) {
        answer_limit(flow, ANSWER_TOO_LARGE);
    } else {
        answer(flow, (struct command_answer){.kind = ANSWER_FAILED, .failure = status});
    }
}

// An answer that appends nothing is given only when the key is free: a repeat of a command that was
// done gets its first answer, whatever has become of stream, catalogue or tag since.
static void answer_unless_known(struct command_flow *flow, struct command_answer given)
{
    answer(flow, given);
    if (flow->request.has_key) {
        flow->stage = STAGE_KEY;
    }
}

static void answer_invalid(struct command_flow *flow)
{
    answer_unless_known(flow,
                        (struct command_answer){.kind = ANSWER_INVALID, .faults = &flow->faults});
}

// --- parse and look up ---

static void parse(struct command_flow *flow)
{
    const struct command_type *type = flow->request.type;
    size_t offset = 0;
    enum json_fault fault = json_check(flow->request.body, &offset);
    if (fault != JSON_OK) {
        struct str detail =
            arena_printf(flow->arena, "%s (at byte %zu)", json_fault_text(fault), offset);
        answer(flow, (struct command_answer){.kind = ANSWER_BAD_JSON, .detail = detail});
        return;
    }
    enum status status = type->parse(flow->request.body, flow->arena, &flow->faults, &flow->body);
    if (status != STATUS_OK) {
        fail(flow, status);
        return;
    }
    flow->command.body = flow->body;
    flow->stage = STAGE_LOOKUPS;
    if (flow->body != NULL && type->lookups != NULL) {
        status = type->lookups(&flow->command, flow->arena, &flow->lookup_keys);
        if (status != STATUS_OK) {
            fail(flow, status);
        }
    }
}

static enum status ask_decision(struct command_flow *flow)
{
    struct decide_input input = command_streams_input(&flow->streams, &flow->command);
    struct decision *decision = &flow->decision;
    input.lookups = &flow->lookups;
    decision->outcome = DECISION_ACCEPTED;
    decision->code = decision->detail = (struct str){NULL, 0};
    decision->faults.count = decision->faults.total = 0;
    decision->event_count = 0;
    return flow->request.type->decide(&input, flow->arena, decision);
}

// A body with faults of shape is judged by the catalogue too, where that needs no stream: a client
// shall hear all that is wrong at once. Whatever else the decision says about half a body is void.
static void judge_faulty_body(struct command_flow *flow)
{
    const struct command_type *type = flow->request.type;
    if (type->creates && type->lookups != NULL && flow->body != NULL &&
        command_streams_begin(&flow->streams, type, &flow->command, false, flow->arena) ==
            STATUS_OK) {
        enum status status = ask_decision(flow);
        if (status == STATUS_OK && flow->decision.outcome == DECISION_INVALID) {
            fault_list_add_all(&flow->faults, flow->arena, &flow->decision.faults);
        }
    }
    answer_invalid(flow);
}

static void begin_streams(struct command_flow *flow)
{
    if (flow->faults.total > 0) {
        judge_faulty_body(flow);
        return;
    }
    enum status status = command_streams_begin(&flow->streams, flow->request.type, &flow->command,
                                               true, flow->arena);
    if (status != STATUS_OK) {
        fail(flow, status);
        return;
    }
    flow->reading = true;
    flow->stage = command_streams_complete(&flow->streams) ? STAGE_DECIDE : STAGE_STREAMS;
}

// --- decide ---

static bool precondition_holds(const struct command_flow *flow)
{
    const struct precondition *wanted = &flow->request.if_match;
    if (wanted->kind == PRECONDITION_ANY && flow->request.type->creates) {
        return true; // what a creation is sent to, a collection, is always there
    }
    return precondition_allows(wanted, command_streams_target_version(&flow->streams));
}

static enum status build_item(struct command_flow *flow)
{
    const struct decision *decision = &flow->decision;
    enum status status = command_rows_make(&flow->request, decision, flow->arena, &flow->rows);
    if (status != STATUS_OK) {
        return status;
    }
    flow->item = (struct append_item){
        .tenant = flow->request.tenant, .rows = flow->rows, .row_count = decision->event_count};
    int32_t version_after = 0;
    status = command_streams_item(&flow->streams, flow->rows, decision->event_count, flow->arena,
                                  &flow->item, &version_after);
    if (flow->request.has_key) {
        flow->key = flow->request.key;
        flow->key.stream = flow->request.target;
        flow->key.version = version_after;
        flow->key.status = flow->request.success_status;
        flow->item.key = &flow->key;
    }
    return status;
}

static void accept(struct command_flow *flow)
{
    if (flow->decision.event_count > 0) {
        enum status status = build_item(flow);
        flow->stage = STAGE_APPEND;
        if (status != STATUS_OK) {
            fail(flow, status);
        }
        return;
    }
    struct command_answer given = {.kind = ANSWER_DONE, .status = flow->request.success_status};
    enum status status =
        document_fold_finish(command_streams_document(&flow->streams), &given.document);
    if (status == STATUS_OK) {
        answer_unless_known(flow, given);
        return;
    }
    fail(flow, status);
}

static void obey(struct command_flow *flow)
{
    const struct decision *decision = &flow->decision;
    if (decision->outcome == DECISION_NOT_FOUND) {
        answer_unless_known(flow, (struct command_answer){.kind = ANSWER_NOT_FOUND});
        return;
    }
    if (decision->outcome == DECISION_INVALID) {
        fault_list_add_all(&flow->faults, flow->arena, &decision->faults);
        answer_invalid(flow);
        return;
    }
    if (!precondition_holds(flow)) {
        int32_t version = command_streams_target_version(&flow->streams);
        answer_unless_known(
            flow, (struct command_answer){.kind = ANSWER_PRECONDITION, .version = version});
        return;
    }
    if (decision->outcome == DECISION_REJECTED) {
        answer_unless_known(flow, (struct command_answer){.kind = ANSWER_REJECTED,
                                                          .code = decision->code,
                                                          .detail = decision->detail});
        return;
    }
    accept(flow);
}

static void decide(struct command_flow *flow)
{
    enum status status = ask_decision(flow);
    if (status != STATUS_OK) {
        fail(flow, status);
    } else {
        obey(flow);
    }
}

// --- what is wanted next ---

static enum command_flow_want want_of(enum stage stage)
{
    switch (stage) {
    case STAGE_LOOKUPS:
        return FLOW_WANT_LOOKUPS;
    case STAGE_STREAMS:
        return FLOW_WANT_STREAMS;
    case STAGE_APPEND:
        return FLOW_WANT_APPEND;
    case STAGE_KEY:
        return FLOW_WANT_KEY;
    case STAGE_REPLAY:
        return FLOW_WANT_DOCUMENT;
    case STAGE_PARSE:
    case STAGE_DECIDE:
    case STAGE_ANSWERED:
        break;
    }
    return FLOW_WANT_NOTHING;
}

enum command_flow_want command_flow_next(struct command_flow *flow)
{
    if (flow->stage == STAGE_PARSE) {
        parse(flow);
    }
    if (flow->stage == STAGE_LOOKUPS && flow->lookups.count == flow->lookup_keys.count) {
        begin_streams(flow);
    }
    if (flow->stage == STAGE_DECIDE) {
        decide(flow);
    }
    return want_of(flow->stage);
}

// --- what is brought ---

const struct lookup_keys *command_flow_lookups(struct command_flow *flow)
{
    return &flow->lookup_keys;
}

void command_flow_take_lookups(struct command_flow *flow, const struct lookup_rows *rows)
{
    if (rows->count != flow->lookup_keys.count) {
        fail(flow, STATUS_INVALID);
        return;
    }
    for (size_t i = 0; i < rows->count; i++) { // the cache may drop them before the decision
        struct str row = rows->items[i];
        flow->lookups.items[i] = row.data == NULL ? row : arena_str(flow->arena, row);
        if (row.data != NULL && flow->lookups.items[i].data == NULL) {
            fail(flow, STATUS_NO_MEMORY);
            return;
        }
    }
    flow->lookups.count = rows->count;
    begin_streams(flow);
}

const struct stream_query *command_flow_queries(struct command_flow *flow, size_t *count)
{
    if (flow->stage == STAGE_REPLAY) {
        *count = 1;
        return &flow->replay.query;
    }
    return command_streams_queries(&flow->streams, count);
}

// Once a key is found, something was done under it: "not begun" would be a lie.
static void go_on_replaying(struct command_flow *flow, enum status status)
{
    struct command_answer given = {
        .kind = ANSWER_DONE, .status = flow->replay.key.status, .replayed = true};
    flow->between_pages = flow->replay.more && flow->replay.fold.version > 0;
    if (status == STATUS_OK && !flow->replay.more) {
        status = document_fold_finish(&flow->replay.fold, &given.document);
        answer(flow, given);
    }
    if (status != STATUS_OK) {
        flow->stage = STAGE_REPLAY;
        fail(flow, is_limit(status) ? status : STATUS_UNKNOWN);
    }
}

void command_flow_take_streams(struct command_flow *flow, const struct stream_rows *streams)
{
    if (flow->stage == STAGE_REPLAY) {
        go_on_replaying(flow, command_replay_take(&flow->replay, streams));
        return;
    }
    enum status status = command_streams_take(&flow->streams, streams);
    flow->version_read = command_streams_target_version(&flow->streams);
    flow->between_pages = !command_streams_complete(&flow->streams);
    if (status != STATUS_OK) {
        fail(flow, status);
    } else if (!flow->between_pages) {
        flow->stage = STAGE_DECIDE;
    }
}

const struct snapshot *command_flow_snapshots(const struct command_flow *flow, size_t *count)
{
    bool replaying = flow->replay.memory.arena != NULL;
    *count = replaying ? flow->replay.snapshot_count : 0;
    return flow->reading && !replaying ? command_streams_snapshots(&flow->streams, count)
                                       : &flow->replay.snapshot;
}

const struct append_item *command_flow_item(struct command_flow *flow)
{
    return &flow->item;
}

// The first answer again, as of its version.
static void replay(struct command_flow *flow, const struct append_key *key)
{
    if (command_replay_is_of_another(key, flow->request.type, flow->request.target)) {
        answer(flow, (struct command_answer){.kind = ANSWER_KEY_REUSED});
        return;
    }
    command_replay_begin(&flow->replay, key, context_projection_of(flow->request.type->category),
                         flow->request.tenant, flow->arena);
    flow->stage = STAGE_REPLAY;
    go_on_replaying(flow, STATUS_OK);
}

static void take_appended(struct command_flow *flow, const struct append_verdict *verdict)
{
    struct command_answer given = {
        .kind = ANSWER_DONE, .status = flow->request.success_status, .appended = true};
    enum status status = command_streams_apply(&flow->streams, flow->rows, flow->item.row_count,
                                               flow->request.now, verdict->at);
    if (status == STATUS_OK) {
        status = document_fold_finish(command_streams_document(&flow->streams), &given.document);
    }
    if (status != STATUS_OK) {
        fail(flow, STATUS_UNKNOWN); // it is done, only the answer cannot be made: ask by the key
    } else {
        answer(flow, given);
    }
}

static void try_again(struct command_flow *flow, enum stage stage)
{
    if (++flow->attempts >= flow->request.attempts_max) {
        answer(flow, (struct command_answer){.kind = ANSWER_CONTENDED});
        return;
    }
    flow->stage = stage;
    if (stage == STAGE_STREAMS) {
        begin_streams(flow);
    }
}

void command_flow_take_verdict(struct command_flow *flow, const struct append_verdict *verdict)
{
    switch (verdict->outcome) {
    case APPENDED:
        take_appended(flow, verdict);
        break;
    case VERSION_CONFLICT:
        try_again(flow, STAGE_STREAMS);
        break;
    case APPEND_AGAIN:
        try_again(flow, STAGE_APPEND);
        break;
    case DUPLICATE:
        replay(flow, &verdict->key);
        break;
    case KEY_REUSED:
        answer(flow, (struct command_answer){.kind = ANSWER_KEY_REUSED});
        break;
    case ITEM_REFUSED:
        fail(flow, STATUS_REFUSED);
        break;
    case ALREADY_HANDLED: // only of inbox ids, and a client's command has none
        fail(flow, STATUS_INVALID);
        break;
    }
}

const struct append_key *command_flow_key(struct command_flow *flow)
{
    return &flow->request.key;
}

void command_flow_take_key(struct command_flow *flow, bool known, const struct append_key *key)
{
    if (!known) {
        flow->stage = STAGE_ANSWERED; // with what was prepared
    } else if (memcmp(key->fingerprint, flow->request.key.fingerprint, KEY_FINGERPRINT_LEN) != 0) {
        answer(flow, (struct command_answer){.kind = ANSWER_KEY_REUSED});
    } else {
        replay(flow, key);
    }
}

void command_flow_fail(struct command_flow *flow, enum status status)
{
    if (status == STATUS_TIMEOUT && flow->between_pages) {
        if (flow->stage == STAGE_REPLAY) {
            command_replay_give_up(&flow->replay);
        } else {
            command_streams_give_up(&flow->streams);
        }
        answer_limit(flow, ANSWER_LONG_STREAM);
        return;
    }
    // What the driver lacks may be there the next time.
    enum status failure = flow->stage == STAGE_REPLAY ? STATUS_UNKNOWN : status;
    answer(flow, (struct command_answer){.kind = ANSWER_FAILED, .failure = failure});
}

const struct command_answer *command_flow_answer(const struct command_flow *flow)
{
    return &flow->answer;
}
