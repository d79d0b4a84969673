// SPDX-License-Identifier: Apache-2.0
// An instance of a saga, folded from the events of its stream. Knows no definition: steps by name.
#include "application/saga/state.h"

#include <stdio.h>

#include "base/json.h"
#include "base/json_view.h"

enum { SAGA_STATE_VERSION = 1 };

static const char *const phase_names[] = {"none", "running", "parked", "done", "compensated"};

struct str saga_phase_name(enum saga_phase phase)
{
    return str_from(phase_names[phase]);
}

static enum saga_phase read_phase(struct str name)
{
    for (size_t i = 0; i < sizeof phase_names / sizeof *phase_names; i++) {
        if (str_eq(name, str_from(phase_names[i]))) {
            return (enum saga_phase)i;
        }
    }
    return SAGA_NONE;
}

static void *initial(struct arena *arena)
{
    struct saga_state *state = arena_alloc(arena, sizeof *state);
    if (state != NULL) {
        *state = (struct saga_state){.phase = SAGA_NONE,
                                     .saga = STR(""),
                                     .start = STR(""),
                                     .correlation_id = STR(""),
                                     .traceparent = STR(""),
                                     .at = {.step = STR("")},
                                     .code = STR(""),
                                     .detail = STR("")};
    }
    return state;
}

// A text of our own JSON, kept in the arena; "" when it is not there.
static struct str text_of(struct str object, struct str name, struct arena *arena)
{
    struct str text;
    if (!json_view_string(json_view_member(object, name), arena, &text)) {
        return STR("");
    }
    struct str copy = arena_str(arena, text);
    return copy.data == NULL ? STR("") : copy;
}

static int32_t int_of(struct str object, struct str name)
{
    int64_t number = 0;
    (void)json_view_int(json_view_member(object, name), &number);
    return (int32_t)number;
}

static struct saga_at read_at(struct str object, struct arena *arena)
{
    struct saga_at at = {.step = text_of(object, STR("step"), arena),
                         .attempt = int_of(object, STR("attempt")),
                         .retry = int_of(object, STR("retry"))};
    (void)saga_direction_read(text_of(object, STR("direction"), arena), &at.direction);
    return at;
}

// Why it compensates; an event that does not say leaves what is known.
static void read_cause(struct saga_state *state, struct str object, struct arena *arena)
{
    struct str cause = json_view_member(object, STR("cause"));
    if (cause.data != NULL) {
        state->code = text_of(cause, STR("code"), arena);
        state->detail = text_of(cause, STR("detail"), arena);
    }
}

// What the start event and an encoded state have in common.
static void read_origin(struct saga_state *state, struct str object, struct arena *arena)
{
    struct str start = json_view_member(object, STR("start"));
    state->saga = text_of(object, STR("saga"), arena);
    state->version = int_of(object, STR("saga_version"));
    (void)uuid_parse(text_of(object, STR("subject"), arena), true, &state->subject);
    state->correlation_id = text_of(object, STR("correlation_id"), arena);
    state->traceparent = text_of(object, STR("traceparent"), arena);
    state->start = start.data == NULL ? STR("") : arena_str(arena, start);
}

static enum status evolve(void *folded, const struct event_view *event, struct arena *arena)
{
    struct saga_state *state = folded;
    if (str_eq(event->type, SAGA_STARTED)) {
        read_origin(state, event->data, arena);
        read_cause(state, event->data, arena);
        state->at = read_at(json_view_member(event->data, STR("next")), arena);
        state->phase = SAGA_RUNNING;
    } else if (str_eq(event->type, SAGA_ADVANCED)) {
        read_cause(state, event->data, arena);
        state->at = read_at(json_view_member(event->data, STR("next")), arena);
        state->phase = SAGA_RUNNING;
    } else if (str_eq(event->type, SAGA_PARKED_EVENT)) {
        state->phase = SAGA_PARKED;
    } else if (str_eq(event->type, SAGA_COMPLETED)) {
        state->phase = SAGA_DONE;
    } else if (str_eq(event->type, SAGA_COMPENSATED_EVENT)) {
        state->phase = SAGA_COMPENSATED;
    }
    return state->start.data == NULL && state->phase != SAGA_NONE ? STATUS_NO_MEMORY : STATUS_OK;
}

static void text_member(struct json_writer *writer, struct str name, struct str text)
{
    json_name(writer, name);
    json_string(writer, text);
}

static void int_member(struct json_writer *writer, struct str name, int64_t number)
{
    json_name(writer, name);
    json_int(writer, number);
}

static void write_origin(struct json_writer *writer, const struct saga_state *state)
{
    text_member(writer, STR("saga"), state->saga);
    int_member(writer, STR("saga_version"), state->version);
    json_name(writer, STR("subject"));
    json_uuid(writer, state->subject.bytes);
    text_member(writer, STR("correlation_id"), state->correlation_id);
    text_member(writer, STR("traceparent"), state->traceparent);
    if (state->start.len > 0) {
        json_name(writer, STR("start"));
        json_raw(writer, state->start);
    }
}

static enum status encode(const void *folded, struct buffer *out)
{
    const struct saga_state *state = folded;
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_object_begin(&writer);
    text_member(&writer, STR("phase"), saga_phase_name(state->phase));
    write_origin(&writer, state);
    text_member(&writer, STR("step"), state->at.step);
    text_member(&writer, STR("direction"), saga_direction_name(state->at.direction));
    int_member(&writer, STR("attempt"), state->at.attempt);
    int_member(&writer, STR("retry"), state->at.retry);
    json_name(&writer, STR("cause"));
    json_object_begin(&writer);
    text_member(&writer, STR("code"), state->code);
    text_member(&writer, STR("detail"), state->detail);
    json_object_end(&writer);
    json_object_end(&writer);
    return out->status;
}

static enum status decode(struct str bytes, struct arena *arena, void **folded)
{
    struct saga_state *state = initial(arena);
    if (state == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (json_view_shape(bytes) != JSON_SHAPE_OBJECT) {
        return STATUS_MALFORMED;
    }
    state->phase = read_phase(text_of(bytes, STR("phase"), arena));
    read_origin(state, bytes, arena);
    read_cause(state, bytes, arena);
    state->at = read_at(bytes, arena);
    if (state->start.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    *folded = state;
    return STATUS_OK;
}

const struct fold *saga_fold(void)
{
    static const struct fold fold = {SAGA_STATE_VERSION, initial, evolve, encode, decode};
    return &fold;
}

struct uuid saga_command_id(struct uuid saga, const struct saga_at *at)
{
    char role[2 * SAGA_NAME_MAX + 32];
    struct str direction = saga_direction_name(at->direction);
    int len = at->retry == 0 ? snprintf(role, sizeof role, "%.*s:%.*s:%d", STR_FMT(at->step),
                                        STR_FMT(direction), (int)at->attempt)
                             : snprintf(role, sizeof role, "%.*s:%.*s:%d:r%d", STR_FMT(at->step),
                                        STR_FMT(direction), (int)at->attempt, (int)at->retry);
    return uuid_derive(saga, (struct str){role, (size_t)len});
}

struct uuid saga_timer_id(struct uuid command)
{
    return uuid_derive(command, STR("timer"));
}
