// SPDX-License-Identifier: Apache-2.0
// Writes a saga's decision down: its event, the next command, the timers.
#include "application/saga/saga_rows.h"

#include "application/handler/command_lane.h"
#include "application/saga/payload.h"
#include "base/json.h"

enum {
    META_BYTES_MAX = 4096,
    EVENT_BYTES_MAX = 256 * 1024,
    COMMAND_BYTES_MAX = SAGA_PAYLOAD_BYTES_MAX + 4096,
    TIMER_BYTES_MAX = 512,
    SECOND_US = 1000000,
};

static void text_member(struct json_writer *json, struct str name, struct str text)
{
    json_name(json, name);
    json_string(json, text);
}

static void text_member_if(struct json_writer *json, struct str name, struct str text)
{
    if (text.len > 0) {
        text_member(json, name, text);
    }
}

static void int_member(struct json_writer *json, struct str name, int64_t number)
{
    json_name(json, name);
    json_int(json, number);
}

static void uuid_member(struct json_writer *json, struct str name, struct uuid id)
{
    json_name(json, name);
    json_uuid(json, id.bytes);
}

// What a saga carries along from its first message to its last row.
static struct str correlation_of(const struct saga_transition *transition)
{
    struct str begun = transition->before->correlation_id;
    return begun.len > 0 ? begun : transition->incoming->correlation_id;
}

static struct str traceparent_of(const struct saga_transition *transition)
{
    struct str coming = transition->incoming->traceparent;
    return coming.len > 0 ? coming : transition->before->traceparent;
}

static bool is_operators(const struct saga_transition *transition)
{
    enum saga_cue cue = transition->input->cue;
    return cue == SAGA_ON_RETRY || cue == SAGA_ON_ABORT;
}

// A timer is no row of the log, so what it leads to is caused by the command it was set for.
static void write_causation(struct json_writer *json, const struct saga_transition *transition)
{
    if (transition->incoming->is_timer) {
        uuid_member(json, STR("causation_id"),
                    saga_command_id(transition->saga, &transition->before->at));
    } else if (!is_operators(transition)) {
        uuid_member(json, STR("causation_id"), transition->incoming->id);
    }
}

static struct str write_meta(const struct saga_transition *transition, struct str actor,
                             struct str route, uint16_t lane, struct arena *arena)
{
    struct buffer out;
    struct json_writer json;
    buffer_init(&out, arena, META_BYTES_MAX);
    json_writer_init(&json, &out);
    json_object_begin(&json);
    text_member_if(&json, STR("correlation_id"), correlation_of(transition));
    write_causation(&json, transition);
    text_member(&json, STR("actor"), actor);
    text_member_if(&json, STR("traceparent"), traceparent_of(transition));
    text_member_if(&json, STR("route"), route);
    if (lane != COMMAND_LANE_NONE) {
        int_member(&json, STR("lane"), lane);
    }
    json_object_end(&json);
    return out.status == STATUS_OK ? buffer_view(&out) : (struct str){NULL, 0};
}

static void write_at(struct json_writer *json, struct str name, const struct saga_at *at)
{
    json_name(json, name);
    json_object_begin(json);
    text_member(json, STR("step"), at->step);
    text_member(json, STR("direction"), saga_direction_name(at->direction));
    int_member(json, STR("attempt"), at->attempt);
    int_member(json, STR("retry"), at->retry);
    json_object_end(json);
}

static void write_why(struct json_writer *json, struct str name, struct str code, struct str detail)
{
    json_name(json, name);
    json_object_begin(json);
    text_member(json, STR("code"), code);
    text_member(json, STR("detail"), detail);
    json_object_end(json);
}

static void write_origin(struct json_writer *json, const struct saga_transition *transition)
{
    text_member(json, STR("saga"), transition->definition->name);
    int_member(json, STR("saga_version"), transition->definition->version);
    uuid_member(json, STR("subject"), transition->incoming->stream);
    text_member_if(json, STR("correlation_id"), correlation_of(transition));
    text_member_if(json, STR("traceparent"), traceparent_of(transition));
    if (transition->input->cue == SAGA_ON_START) {
        json_name(json, STR("start"));
        json_raw(json, transition->incoming->data);
    }
}

static void write_event(struct json_writer *json, const struct saga_transition *transition)
{
    const struct saga_decision *decision = transition->decision;
    json_object_begin(json);
    text_member(json, STR("by"), saga_cue_name(transition->input->cue));
    if (decision->move == SAGA_MOVE_BEGIN) {
        write_origin(json, transition);
    } else {
        write_at(json, STR("from"), &transition->before->at);
    }
    if (decision->call != NULL) {
        write_at(json, STR("next"), &decision->next);
    }
    if (decision->has_cause) {
        write_why(json, STR("cause"), decision->code, decision->detail);
    } else if (transition->input->cue == SAGA_ON_REFUSED) {
        write_why(json, STR("refusal"), transition->input->code, transition->input->detail);
    }
    json_object_end(json);
}

static struct str event_type(enum saga_move move)
{
    switch (move) {
    case SAGA_MOVE_BEGIN:
        return SAGA_STARTED;
    case SAGA_MOVE_ISSUE:
        return SAGA_ADVANCED;
    case SAGA_MOVE_PARK:
        return SAGA_PARKED_EVENT;
    case SAGA_MOVE_COMPLETE:
        return SAGA_COMPLETED;
    case SAGA_MOVE_COMPENSATE:
        return SAGA_COMPENSATED_EVENT;
    case SAGA_MOVE_IGNORE:
    case SAGA_MOVE_REFUSE:
        break;
    }
    return STR("");
}

// Made from what came in, so that deciding again makes the same row.
static struct uuid event_id(const struct saga_transition *transition)
{
    char role[sizeof "saga::1" + UUID_TEXT_LEN] = "saga:";
    uuid_format(transition->saga, role + 5);
    role[5 + UUID_TEXT_LEN] = ':';
    role[6 + UUID_TEXT_LEN] = '1';
    return uuid_derive(transition->incoming->id, (struct str){role, 7 + UUID_TEXT_LEN});
}

static enum status add_row(struct reaction *reaction, struct reaction_row row)
{
    if (row.data.data == NULL || row.meta.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (reaction->row_count == REACTION_ROWS_MAX) {
        return STATUS_FULL;
    }
    reaction->rows[reaction->row_count++] = row;
    return STATUS_OK;
}

static enum status add_event(const struct saga_transition *transition, struct arena *arena,
                             struct reaction *reaction)
{
    struct buffer out;
    struct json_writer json;
    buffer_init(&out, arena, EVENT_BYTES_MAX);
    json_writer_init(&json, &out);
    write_event(&json, transition);
    if (out.status != STATUS_OK) {
        return out.status;
    }
    struct str actor = is_operators(transition) ? STR("operator") : transition->definition->role;
    return add_row(reaction,
                   (struct reaction_row){
                       .stream = transition->stream,
                       .id = event_id(transition),
                       .kind = RECORD_EVENT,
                       .type = event_type(transition->decision->move),
                       .schema_version = 1,
                       .data = buffer_view(&out),
                       .meta = write_meta(transition, actor, STR(""), COMMAND_LANE_NONE, arena),
                   });
}

static struct uuid subject_of(const struct saga_transition *transition)
{
    return transition->decision->move == SAGA_MOVE_BEGIN ? transition->incoming->stream
                                                         : transition->before->subject;
}

static struct saga_payload_source payload_source(const struct saga_transition *transition)
{
    const struct saga_decision *decision = transition->decision;
    const struct saga_state *before = transition->before;
    return (struct saga_payload_source){
        .start =
            transition->input->cue == SAGA_ON_START ? transition->incoming->data : before->start,
        .subject = subject_of(transition),
        .code = decision->has_cause ? decision->code : before->code,
        .detail = decision->has_cause ? decision->detail : before->detail,
    };
}

static struct uuid target_of(const struct saga_transition *transition)
{
    struct str role = transition->decision->call->stream;
    struct uuid subject = subject_of(transition);
    return str_eq(role, STR("subject")) ? subject : uuid_derive(subject, role);
}

static enum status write_payload(const struct saga_call *call,
                                 const struct saga_payload_source *source, struct arena *arena,
                                 struct str *payload, struct str *cause)
{
    struct buffer out;
    struct str lack = STR("");
    buffer_init(&out, arena, SAGA_PAYLOAD_BYTES_MAX);
    enum status status = saga_payload_write(call->payload, source, arena, &out, &lack);
    if (status == STATUS_MALFORMED) {
        *cause = arena_printf(arena, "the payload of %.*s cannot be made: %.*s",
                              STR_FMT(call->command), STR_FMT(lack));
    }
    *payload = buffer_view(&out);
    return status;
}

// Better no saga than one that stops half way for want of a value.
static enum status try_all_payloads(const struct saga_transition *transition, struct arena *arena,
                                    struct str *cause)
{
    struct saga_payload_source source = payload_source(transition);
    enum status status = STATUS_OK;
    struct str payload;
    for (size_t i = 0; i < transition->definition->step_count && status == STATUS_OK; i++) {
        const struct saga_step *step = &transition->definition->steps[i];
        status = write_payload(&step->forward, &source, arena, &payload, cause);
        if (status == STATUS_OK && step->compensation.name.len > 0) {
            status = write_payload(&step->compensation, &source, arena, &payload, cause);
        }
    }
    return status;
}

static void write_command(struct json_writer *json, const struct saga_transition *transition,
                          struct str payload)
{
    const struct saga_decision *decision = transition->decision;
    json_object_begin(json);
    uuid_member(json, STR("saga_id"), transition->saga);
    text_member(json, STR("saga"), transition->definition->name);
    int_member(json, STR("saga_version"), transition->definition->version);
    text_member(json, STR("step"), decision->next.step);
    text_member(json, STR("direction"), saga_direction_name(decision->next.direction));
    int_member(json, STR("attempt"), decision->next.attempt);
    uuid_member(json, STR("stream_id"), target_of(transition));
    text_member(json, STR("command"), decision->call->command);
    json_name(json, STR("payload"));
    json_raw(json, payload);
    json_object_end(json);
}

static enum status add_command(const struct saga_transition *transition, struct arena *arena,
                               struct reaction *reaction, struct str *cause)
{
    const struct saga_decision *decision = transition->decision;
    struct saga_payload_source source = payload_source(transition);
    struct str payload;
    enum status status = write_payload(decision->call, &source, arena, &payload, cause);
    if (status != STATUS_OK) {
        return status;
    }
    uint16_t lane = command_lane(decision->call->command, transition->incoming->tenant,
                                 target_of(transition), payload, arena);
    struct buffer out;
    struct json_writer json;
    buffer_init(&out, arena, COMMAND_BYTES_MAX);
    json_writer_init(&json, &out);
    write_command(&json, transition, payload);
    if (out.status != STATUS_OK) {
        return out.status;
    }
    return add_row(reaction, (struct reaction_row){
                                 .stream = transition->stream,
                                 .id = saga_command_id(transition->saga, &decision->next),
                                 .kind = RECORD_COMMAND,
                                 .type = decision->call->verb,
                                 .schema_version = 1,
                                 .data = buffer_view(&out),
                                 .meta = write_meta(transition, transition->definition->role,
                                                    decision->call->command, lane, arena),
                             });
}

static enum status set_timer(const struct saga_transition *transition, struct arena *arena,
                             struct reaction *reaction)
{
    const struct saga_decision *decision = transition->decision;
    struct buffer out;
    struct json_writer json;
    buffer_init(&out, arena, TIMER_BYTES_MAX);
    json_writer_init(&json, &out);
    json_object_begin(&json);
    text_member(&json, STR("step"), decision->next.step);
    text_member(&json, STR("direction"), saga_direction_name(decision->next.direction));
    int_member(&json, STR("attempt"), decision->next.attempt);
    int_member(&json, STR("retry"), decision->next.retry);
    json_object_end(&json);
    if (out.status != STATUS_OK) {
        return out.status;
    }
    reaction->timers[reaction->timer_count++] = (struct timer){
        .id = saga_timer_id(saga_command_id(transition->saga, &decision->next)),
        .saga = transition->saga,
        .data = buffer_view(&out),
        .due = transition->incoming->now + (instant_us)decision->call->timeout_s * SECOND_US,
    };
    return STATUS_OK;
}

// The timer of the command that was out; when it is what came in, it is listed already.
static void end_timer(const struct saga_transition *transition, struct reaction *reaction)
{
    struct uuid old = saga_timer_id(saga_command_id(transition->saga, &transition->before->at));
    if (transition->before->phase == SAGA_RUNNING && !uuid_eq(old, transition->incoming->id)) {
        reaction->timers_done[reaction->timer_done_count++] = old;
    }
}

enum status saga_transition_write(const struct saga_transition *transition, struct arena *arena,
                                  struct reaction *reaction, struct str *cause)
{
    const struct saga_decision *decision = transition->decision;
    enum status status = STATUS_OK;
    if (decision->move == SAGA_MOVE_BEGIN && transition->input->cue == SAGA_ON_START) {
        status = try_all_payloads(transition, arena, cause);
    }
    if (status == STATUS_OK) {
        status = add_event(transition, arena, reaction);
    }
    end_timer(transition, reaction);
    if (status == STATUS_OK && decision->call != NULL) {
        status = add_command(transition, arena, reaction, cause);
    }
    if (status == STATUS_OK && decision->call != NULL) {
        status = set_timer(transition, arena, reaction);
    }
    return status;
}
