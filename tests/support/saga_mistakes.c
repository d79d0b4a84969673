// SPDX-License-Identifier: Apache-2.0
// The classical mistakes, planted around the real handlers so that the search can show that it
// catches them.
#include "saga_mistakes.h"

#include "application/saga/saga_message.h"
#include "application/saga/state.h"
#include "base/json_view.h"
#include "domain/payments/payment.h"

static const struct mistaken_handler *of(const struct message_handler *handler)
{
    return (const struct mistaken_handler *)handler;
}

static enum status streams(const struct message_handler *handler, const struct incoming *message,
                           struct arena *arena, struct handler_streams *declared, struct str *cause)
{
    const struct message_handler *real = of(handler)->real;
    return real->ops->streams(real, message, arena, declared, cause);
}

static bool is_undo(const struct incoming *message)
{
    return str_eq(message->type, STR("void")) || str_eq(message->type, STR("refund"));
}

static bool has_ended(const struct payment *payment)
{
    return payment->status == PAYMENT_VOIDED || payment->status == PAYMENT_REFUNDED;
}

// The mistakes in which an undo believes its stream instead of asking.
static bool trusts_stream(const struct mistaken_handler *mistaken, const struct incoming *message,
                          void *const *states)
{
    if (mistaken->mistake == MISTAKE_REFUND_HALF) {
        return str_eq(message->type, STR("void")) && has_ended(states[0]);
    }
    return mistaken->mistake == MISTAKE_PROVIDER_NOT_ASKED && is_undo(message);
}

static bool effect(const struct message_handler *handler, const struct incoming *message,
                   void *const *states, const int32_t *versions, struct arena *arena,
                   struct effect_request *request)
{
    const struct message_handler *real = of(handler)->real;
    if (real->ops->effect == NULL ||
        !real->ops->effect(real, message, states, versions, arena, request)) {
        return false;
    }
    if (trusts_stream(of(handler), message, states)) {
        return false;
    }
    if (of(handler)->mistake == MISTAKE_REFUND_HALF && str_eq(message->type, STR("refund"))) {
        request->operation = STR("payment.undo_capture");
    }
    if (of(handler)->mistake == MISTAKE_KEY_PER_ATTEMPT) {
        struct str attempt = json_view_member(message->data, STR("attempt"));
        request->key = arena_printf(arena, "%.*s:%.*s", STR_FMT(request->key), STR_FMT(attempt));
    }
    return true;
}

static bool is_saga(const struct incoming *message)
{
    return message->is_timer || message->kind != RECORD_COMMAND;
}

// The retry's command gets the id of the first attempt.
static void reuse_command_id(const struct saga_message *message, struct reaction *reaction)
{
    for (size_t i = 0; i < reaction->row_count; i++) {
        struct reaction_row *row = &reaction->rows[i];
        if (row->kind == RECORD_COMMAND) {
            struct saga_at first = {.attempt = 1};
            struct arena none = {.blocks = NULL};
            struct str direction;
            (void)json_view_string(json_view_member(row->data, STR("step")), &none, &first.step);
            (void)json_view_string(json_view_member(row->data, STR("direction")), &none,
                                   &direction);
            (void)saga_direction_read(direction, &first.direction);
            row->id = saga_command_id(message->sagas[0], &first);
        }
    }
}

// The saga is shown to the engine one step further back, so that what is out is not undone.
static void step_back(const struct saga_definition *definition, const struct incoming *message,
                      struct saga_state *state)
{
    const struct saga_message *read = message->plan;
    size_t index = 0;
    bool cancel = read->by_event && str_eq(message->type, STR("OrderCancelRequested"));
    if (state->phase == SAGA_RUNNING && state->at.direction == SAGA_FORWARD && cancel &&
        saga_definition_call(definition, state->at.step, SAGA_FORWARD, &index) != NULL &&
        index > 0 && index < definition->pivot) {
        state->at.step = definition->steps[index - 1].forward.name;
    }
}

// A capture that is answered once more, when the saga has gone on to confirm or further, looks to
// the engine like one that has just been given up.
static void undo_success(const struct saga_definition *definition, struct saga_state *state,
                         struct saga_input *input)
{
    const struct saga_call *capture = &definition->steps[definition->pivot - 1].forward;
    size_t index = 0;
    bool again = input->cue == SAGA_ON_OK && input->at.direction == SAGA_FORWARD &&
                 str_eq(input->at.step, capture->name);
    bool past = state->phase != SAGA_NONE && state->at.direction == SAGA_FORWARD &&
                saga_definition_call(definition, state->at.step, SAGA_FORWARD, &index) != NULL &&
                index >= definition->pivot;
    if (again && past) {
        state->phase = SAGA_RUNNING;
        state->at = (struct saga_at){.step = capture->name, .attempt = definition->attempts};
        *input = (struct saga_input){.cue = SAGA_ON_TIMER, .at = state->at};
    }
}

// The end of a step's patience: the step that waited is not undone, or it is confirm and is.
static void spoil_patience(const struct mistaken_handler *mistaken, struct saga_state *state,
                           struct saga_input *input)
{
    const struct saga_definition *definition = mistaken->definition;
    size_t index = 0;
    bool current = state->phase == SAGA_RUNNING && state->at.direction == SAGA_FORWARD &&
                   str_eq(state->at.step, input->at.step) &&
                   state->at.attempt == input->at.attempt &&
                   saga_definition_call(definition, state->at.step, SAGA_FORWARD, &index) != NULL;
    bool uncovered =
        mistaken->mistake == MISTAKE_WAITING_UNCOVERED && index > 0 && index < definition->pivot;
    bool confirm = mistaken->mistake == MISTAKE_PATIENCE_AT_CONFIRM && index == definition->pivot;
    if (current && (uncovered || confirm)) {
        state->at.step = definition->steps[index - 1].forward.name;
        input->at = state->at;
    }
}

static void spoil_input(const struct mistaken_handler *mistaken, struct incoming *message,
                        struct saga_state *state, struct saga_message *changed)
{
    *changed = *(const struct saga_message *)message->plan;
    message->plan = changed;
    bool timer = changed->input.cue == SAGA_ON_TIMER;
    bool reply = changed->input.cue == SAGA_ON_OK || changed->input.cue == SAGA_ON_REFUSED;
    if (timer && mistaken->mistake == MISTAKE_OLD_TIMER_FIRES && state->phase == SAGA_RUNNING &&
        state->at.direction == SAGA_FORWARD && changed->input.at.direction == SAGA_FORWARD) {
        state->at = changed->input.at;
    }
    if (reply && !changed->by_event && mistaken->mistake == MISTAKE_ANY_REPLY_COUNTS) {
        changed->input.at = state->at;
    }
    if (mistaken->mistake == MISTAKE_SECOND_OK_REFUNDED && !changed->by_event) {
        undo_success(mistaken->definition, state, &changed->input);
    }
    if (timer && changed->input.spent) {
        spoil_patience(mistaken, state, &changed->input);
    }
    if (mistaken->mistake == MISTAKE_IN_FLIGHT_UNCOVERED) {
        step_back(mistaken->definition, message, state);
    }
}

static enum status react_saga(const struct mistaken_handler *mistaken,
                              const struct incoming *message, void *const *states,
                              const int32_t *versions, const struct effect_answer *answer,
                              struct arena *arena, struct reaction *reaction, struct str *cause)
{
    const struct message_handler *real = mistaken->real;
    const struct saga_message *read = message->plan;
    struct incoming spoilt = *message;
    struct saga_message changed;
    struct saga_state copy;
    void *seen[1] = {NULL};
    if (read->count == 1) {
        copy = *(const struct saga_state *)states[0];
        seen[0] = &copy;
        spoil_input(mistaken, &spoilt, &copy, &changed);
    }
    enum status status = real->ops->react(real, &spoilt, read->count == 1 ? seen : states, versions,
                                          answer, arena, reaction, cause);
    if (mistaken->mistake == MISTAKE_SAME_COMMAND_ID && read->count == 1) {
        reuse_command_id(read, reaction);
    }
    return status;
}

// As if the order had only been placed.
static void *placed_only(const struct incoming *message, struct arena *arena)
{
    const struct fold *fold = &context_aggregate(STR("order"))->state;
    void *state = fold->initial(arena);
    struct event_view placed = {.stream = message->stream,
                                .version = 1,
                                .type = STR("OrderPlaced"),
                                .schema_version = 1,
                                .data = *(const struct str *)message->plan};
    return fold->evolve(state, &placed, arena) == STATUS_OK ? state : NULL;
}

static enum status react_blindly(const struct mistaken_handler *mistaken,
                                 const struct incoming *message, void *const *states,
                                 const int32_t *versions, const struct effect_answer *answer,
                                 struct arena *arena, struct reaction *reaction, struct str *cause)
{
    const struct message_handler *real = mistaken->real;
    struct incoming about = {.stream = message->stream,
                             .plan = &mistaken->definition->starts_on[0].example};
    void *seen[REACTION_STREAMS_MAX] = {placed_only(&about, arena)};
    for (size_t i = 1; i < REACTION_STREAMS_MAX && i < 4; i++) {
        seen[i] = NULL;
    }
    (void)states;
    return real->ops->react(real, message, seen, versions, answer, arena, reaction, cause);
}

static void drop_events(struct reaction *reaction)
{
    size_t kept = 0;
    for (size_t i = 0; i < reaction->row_count; i++) {
        if (reaction->rows[i].kind != RECORD_EVENT) {
            reaction->rows[kept++] = reaction->rows[i];
        }
    }
    reaction->row_count = kept;
}

static enum status react(const struct message_handler *handler, const struct incoming *message,
                         void *const *states, const int32_t *versions,
                         const struct effect_answer *answer, struct arena *arena,
                         struct reaction *reaction, struct str *cause)
{
    const struct mistaken_handler *mistaken = of(handler);
    if (is_saga(message)) {
        return react_saga(mistaken, message, states, versions, answer, arena, reaction, cause);
    }
    if (mistaken->mistake == MISTAKE_BLIND_CONFIRM && str_eq(message->type, STR("confirm"))) {
        return react_blindly(mistaken, message, states, versions, answer, arena, reaction, cause);
    }
    struct effect_answer believed = {.outcome = EFFECT_DONE,
                                     .code = STR(""),
                                     .detail = STR(""),
                                     .body = STR("{\"captured\":false}")};
    bool trusts = trusts_stream(mistaken, message, states);
    enum status status =
        mistaken->real->ops->react(mistaken->real, message, states, versions,
                                   trusts ? &believed : answer, arena, reaction, cause);
    bool of_nothing = str_eq(message->type, STR("void")) && versions[0] == 0;
    if (mistaken->mistake == MISTAKE_STREAM_UNMARKED && of_nothing) {
        drop_events(reaction);
    }
    return status;
}

struct mistaken_handler mistaken_handler(const struct message_handler *real,
                                         const struct saga_definition *definition,
                                         enum saga_mistake mistake)
{
    static const struct message_handler_ops ops = {streams, effect, react};
    return (struct mistaken_handler){.handler = {.ops = &ops, .consumer = real->consumer},
                                     .real = real,
                                     .definition = definition,
                                     .mistake = mistake};
}
