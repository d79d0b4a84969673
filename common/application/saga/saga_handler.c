// SPDX-License-Identifier: Apache-2.0
// The message handler that runs sagas: events that start or cancel, replies, timers, operators.
#include "application/saga/saga_handler.h"

#include "application/saga/decide.h"
#include "application/saga/payload.h"
#include "application/saga/saga_message.h"
#include "application/saga/saga_rows.h"
#include "application/saga/state.h"

static const struct saga_handler *of(const struct message_handler *handler)
{
    return (const struct saga_handler *)handler;
}

static enum status streams(const struct message_handler *handler, const struct incoming *incoming,
                           struct arena *arena, struct handler_streams *declared, struct str *cause)
{
    struct saga_message *message = arena_alloc(arena, sizeof *message);
    if (message == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status =
        saga_message_read(of(handler)->definitions, incoming, arena, message, cause);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = 0; i < message->count; i++) {
        declared->items[declared->count++] = (struct handler_stream){
            .id = message->sagas[i],
            .category = SAGA_CATEGORY,
            .fold = saga_fold(),
            .use = STREAM_APPEND,
        };
    }
    declared->plan = message;
    return STATUS_OK;
}

// The definition that the instance runs on; one that has not begun takes the newest. NULL: either
// there is no instance and nothing begins one, or this process lacks its version (*cause is set).
static const struct saga_definition *definition_of(const struct saga_definitions *definitions,
                                                   const struct saga_message *message, size_t index,
                                                   const struct saga_state *state,
                                                   struct arena *arena, struct str *cause)
{
    size_t step;
    if (state->phase == SAGA_NONE) {
        return message->by_event ? saga_definitions_newest(definitions, message->names[index])
                                 : NULL;
    }
    const struct saga_definition *definition =
        saga_definitions_find(definitions, state->saga, state->version);
    if (definition == NULL) {
        *cause = arena_printf(
            arena, "%.*s version %d is not loaded: its file stays until its last saga ends",
            STR_FMT(state->saga), (int)state->version);
    } else if (saga_definition_call(definition, state->at.step, state->at.direction, &step) ==
               NULL) {
        *cause = arena_printf(
            arena, "%.*s has no step %.*s, where a saga stands: a change wants a new version",
            STR_FMT(definition->file), STR_FMT(state->at.step));
        definition = NULL;
    }
    return definition;
}

static struct saga_decision ignored(void)
{
    return (struct saga_decision){.move = SAGA_MOVE_IGNORE, .label = STR("ignored")};
}

// False: this definition, perhaps another version, has no use for the event.
static bool read_cue(const struct saga_definition *definition, const struct incoming *incoming,
                     const struct saga_message *message, struct saga_input *input)
{
    *input = message->input;
    if (!message->by_event) {
        return true;
    }
    if (saga_definition_starts_on(definition, incoming->category, incoming->type)) {
        input->cue = SAGA_ON_START;
        return true;
    }
    input->cue = SAGA_ON_CANCEL;
    return saga_definition_cancelled_by(definition, incoming->category, incoming->type);
}

static enum status no_instance(const struct saga_message *message, struct str *cause)
{
    if (message->input.cue == SAGA_ON_RETRY || message->input.cue == SAGA_ON_ABORT) {
        *cause = STR("there is no such saga");
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

// One instance's part of the reaction.
static enum status advance(const struct saga_handler *saga, const struct incoming *incoming,
                           const struct saga_message *message, size_t index,
                           const struct saga_state *state, struct arena *arena,
                           struct reaction *reaction, struct str *cause)
{
    struct saga_input input = message->input;
    struct saga_decision decision = ignored();
    *cause = STR("");
    const struct saga_definition *definition =
        definition_of(saga->definitions, message, index, state, arena, cause);
    if (definition == NULL) {
        // Another process, or this one with its file back, can do what this one cannot.
        return cause->len > 0 ? STATUS_UNAVAILABLE : no_instance(message, cause);
    }
    if (read_cue(definition, incoming, message, &input)) {
        decision = saga_decide(definition, state, &input, arena);
    }
    if (decision.move == SAGA_MOVE_REFUSE) {
        *cause = decision.refusal;
        return STATUS_INVALID;
    }
    if (decision.move == SAGA_MOVE_IGNORE) {
        return STATUS_OK;
    }
    reaction->label = decision.label;
    struct saga_transition transition = {.definition = definition,
                                         .saga = message->sagas[index],
                                         .stream = index,
                                         .before = state,
                                         .incoming = incoming,
                                         .input = &input,
                                         .decision = &decision};
    return saga_transition_write(&transition, arena, reaction, cause);
}

static enum status react(const struct message_handler *handler, const struct incoming *incoming,
                         void *const *states, const int32_t *versions,
                         const struct effect_answer *effect, struct arena *arena,
                         struct reaction *reaction, struct str *cause)
{
    const struct saga_message *message = incoming->plan;
    enum status status = STATUS_OK;
    (void)versions;
    (void)effect;
    reaction->label = STR("ignored");
    if (incoming->is_timer) {
        reaction->timers_done[reaction->timer_done_count++] = incoming->id;
    }
    for (size_t i = 0; i < message->count && status == STATUS_OK; i++) {
        status = advance(of(handler), incoming, message, i, states[i], arena, reaction, cause);
    }
    return status;
}

static const struct message_handler_ops saga_handler_ops = {
    .streams = streams,
    .effect = NULL,
    .react = react,
};

struct saga_handler saga_handler(struct str consumer, const struct saga_definitions *definitions)
{
    return (struct saga_handler){.handler = {.ops = &saga_handler_ops, .consumer = consumer},
                                 .definitions = definitions};
}

struct incoming saga_operator_message(enum saga_operator_action action, struct uuid id,
                                      struct str tenant, struct uuid saga, instant_us now)
{
    return (struct incoming){
        .id = id,
        .kind = RECORD_COMMAND,
        .tenant = tenant,
        .category = SAGA_CATEGORY,
        .type = action == SAGA_OPERATOR_RETRY ? STR("retry") : STR("abort"),
        .stream = saga,
        .schema_version = 1,
        .data = STR("{}"),
        .correlation_id = STR(""),
        .causation_id = STR(""),
        .traceparent = STR(""),
        .now = now,
        .command = STR(""),
    };
}

struct incoming saga_timer_message(const struct timer *timer, bool spent, instant_us now)
{
    return (struct incoming){
        .id = timer->id,
        .is_timer = true,
        .kind = RECORD_EVENT,
        .tenant = timer->tenant,
        .category = SAGA_CATEGORY,
        .type = spent ? SAGA_TIMER_SPENT : SAGA_TIMER,
        .stream = timer->saga,
        .schema_version = 1,
        .data = timer->data,
        .correlation_id = STR(""),
        .causation_id = STR(""),
        .traceparent = STR(""),
        .now = now,
        .command = STR(""),
    };
}

size_t saga_timer_commands(const struct timer *timer, struct arena *arena,
                           struct uuid commands[SAGA_TIMER_COMMANDS_MAX])
{
    struct incoming incoming = saga_timer_message(timer, false, 0);
    struct saga_message message = {.count = 0};
    struct str cause;
    size_t count = 0;
    if (saga_message_read(NULL, &incoming, arena, &message, &cause) != STATUS_OK) {
        return 0;
    }
    struct saga_at at = message.input.at;
    int64_t last = at.attempt;
    int64_t latest = last > SAGA_TIMER_COMMANDS_MAX ? last - SAGA_TIMER_COMMANDS_MAX + 2 : 2;
    at.attempt = 1;
    commands[count++] = saga_command_id(timer->saga, &at);
    for (int64_t attempt = latest; attempt <= last; attempt++) {
        at.attempt = (int32_t)attempt;
        commands[count++] = saga_command_id(timer->saga, &at);
    }
    return count;
}
