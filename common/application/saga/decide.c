// SPDX-License-Identifier: Apache-2.0
// What a saga does next: SAGA.md's table as one pure function.
#include "application/saga/decide.h"

// The instance, the command that is out and where it stands.
struct standing {
    const struct saga_definition *definition;
    const struct saga_state *state;
    const struct saga_call *call; // NULL before the start
    size_t index;                 // of its step; the step count for the last word
    struct arena *arena;
};

static const char *const cue_names[] = {"start", "cancel", "ok",   "refused",
                                        "timer", "retry",  "abort"};

struct str saga_cue_name(enum saga_cue cue)
{
    return str_from(cue_names[cue]);
}

static struct saga_decision ignore(void)
{
    return (struct saga_decision){.move = SAGA_MOVE_IGNORE, .label = STR("ignored")};
}

static struct saga_decision refuse(struct str why)
{
    return (struct saga_decision){
        .move = SAGA_MOVE_REFUSE, .label = STR("refused"), .refusal = why};
}

static struct saga_decision issue(const struct saga_call *call, enum saga_direction direction,
                                  struct str label)
{
    return (struct saga_decision){
        .move = SAGA_MOVE_ISSUE,
        .call = call,
        .next = {.step = call->name, .direction = direction, .attempt = 1},
        .label = label};
}

static struct saga_decision issue_step(const struct standing *standing, size_t index)
{
    const struct saga_call *call = &standing->definition->steps[index].forward;
    return issue(call, SAGA_FORWARD, STR("advanced"));
}

// C(k) for the covered steps below `end`: the highest of them is undone next; C0 when none is left.
static struct saga_decision undo_below(const struct standing *standing, size_t end)
{
    const struct saga_definition *definition = standing->definition;
    const struct saga_call *call =
        end == 0 ? &definition->otherwise : &definition->steps[end - 1].compensation;
    return issue(call, SAGA_COMPENSATE, STR("advanced"));
}

// Turns back, and remembers why until the last word.
static struct saga_decision turn_back(const struct standing *standing, size_t end, struct str code,
                                      struct str detail)
{
    struct saga_decision decision = undo_below(standing, end);
    decision.has_cause = true;
    decision.code = code;
    decision.detail = detail;
    decision.label = STR("compensating");
    return decision;
}

static struct saga_decision cancelled(const struct standing *standing, size_t end)
{
    return turn_back(standing, end, STR("cancelled"), STR("it was cancelled"));
}

static struct saga_decision timed_out(const struct standing *standing)
{
    struct str detail = arena_printf(standing->arena, "the step %.*s got no answer in time",
                                     STR_FMT(standing->call->name));
    return turn_back(standing, standing->index + 1, STR("timed_out"),
                     detail.data == NULL ? STR("a step got no answer in time") : detail);
}

static struct saga_decision ask_again(const struct standing *standing)
{
    const struct saga_at *at = &standing->state->at;
    struct saga_decision decision = issue(standing->call, at->direction, STR("asked_again"));
    decision.next.attempt = at->attempt + 1;
    decision.next.retry = at->retry;
    if (standing->call->ask_without_limit && at->attempt == standing->definition->parked_after) {
        decision.label = STR("parked");
    }
    return decision;
}

static struct saga_decision ask_afresh(const struct standing *standing)
{
    struct saga_decision decision =
        issue(standing->call, standing->state->at.direction, STR("retried"));
    decision.next.retry = standing->state->at.retry + 1;
    return decision;
}

static struct saga_decision park(void)
{
    return (struct saga_decision){.move = SAGA_MOVE_PARK, .label = STR("parked")};
}

static bool attempts_left(const struct standing *standing)
{
    return standing->state->at.attempt < standing->definition->attempts;
}

static bool goes_forward(const struct standing *standing)
{
    return standing->state->at.direction == SAGA_FORWARD;
}

// Confirm decides it; from there on nothing may turn the saga back but its refusal.
static bool may_turn_back(const struct standing *standing)
{
    return goes_forward(standing) && standing->index < standing->definition->pivot;
}

static struct saga_decision on_ok(const struct standing *standing)
{
    size_t count = standing->definition->step_count;
    if (goes_forward(standing)) {
        return standing->index + 1 < count
                   ? issue_step(standing, standing->index + 1)
                   : (struct saga_decision){.move = SAGA_MOVE_COMPLETE, .label = STR("completed")};
    }
    return standing->index < count
               ? undo_below(standing, standing->index)
               : (struct saga_decision){.move = SAGA_MOVE_COMPENSATE, .label = STR("compensated")};
}

static struct saga_decision on_refused(const struct standing *standing,
                                       const struct saga_input *input)
{
    if (!goes_forward(standing)) {
        return attempts_left(standing) ? ask_again(standing) : park();
    }
    return standing->index <= standing->definition->pivot
               ? turn_back(standing, standing->index, input->code, input->detail)
               : park();
}

static struct saga_decision on_timer(const struct standing *standing,
                                     const struct saga_input *input)
{
    if (standing->call->ask_without_limit || (attempts_left(standing) && !input->spent)) {
        return ask_again(standing);
    }
    return goes_forward(standing) ? timed_out(standing) : park();
}

static struct saga_decision on_abort(const struct standing *standing)
{
    if (may_turn_back(standing)) {
        struct saga_decision decision =
            turn_back(standing, standing->index + 1, STR("aborted"), STR("an operator aborted it"));
        decision.label = STR("aborted");
        return decision;
    }
    return refuse(goes_forward(standing) ? STR("its pivot is issued: it can only go on to its end")
                                         : STR("it compensates already"));
}

static bool is_same_step(const struct saga_at *left, const struct saga_at *right)
{
    return left->direction == right->direction && str_eq(left->step, right->step);
}

// A reply to any attempt of the step that is out counts; a timer only of the last one.
static bool is_current(const struct saga_state *state, const struct saga_input *input)
{
    bool same = is_same_step(&state->at, &input->at);
    if (input->cue != SAGA_ON_TIMER) {
        return same;
    }
    return same && state->at.attempt == input->at.attempt && state->at.retry == input->at.retry;
}

static struct saga_decision decide_none(const struct standing *standing,
                                        const struct saga_input *input)
{
    struct saga_decision decision;
    switch (input->cue) {
    case SAGA_ON_START:
        decision = issue_step(standing, 0);
        break;
    case SAGA_ON_CANCEL:
        decision = cancelled(standing, 0);
        break;
    case SAGA_ON_RETRY:
    case SAGA_ON_ABORT:
        return refuse(STR("there is no such saga"));
    case SAGA_ON_OK:
    case SAGA_ON_REFUSED:
    case SAGA_ON_TIMER:
        return ignore();
    }
    decision.move = SAGA_MOVE_BEGIN;
    decision.label = STR("started");
    return decision;
}

static struct saga_decision decide_running(const struct standing *standing,
                                           const struct saga_input *input)
{
    bool current = is_current(standing->state, input);
    switch (input->cue) {
    case SAGA_ON_START:
        return ignore();
    case SAGA_ON_CANCEL:
        return may_turn_back(standing) ? cancelled(standing, standing->index + 1) : ignore();
    case SAGA_ON_OK:
        return current ? on_ok(standing) : ignore();
    case SAGA_ON_REFUSED:
        return current ? on_refused(standing, input) : ignore();
    case SAGA_ON_TIMER:
        return current ? on_timer(standing, input) : ignore();
    case SAGA_ON_RETRY:
        return saga_is_parked(standing->definition, standing->state)
                   ? ask_afresh(standing)
                   : refuse(STR("it is not parked: it goes on by itself"));
    case SAGA_ON_ABORT:
        return on_abort(standing);
    }
    return ignore();
}

static struct saga_decision decide_parked(const struct standing *standing,
                                          const struct saga_input *input)
{
    switch (input->cue) {
    case SAGA_ON_OK:
        return is_current(standing->state, input) ? on_ok(standing) : ignore();
    case SAGA_ON_RETRY:
        return ask_afresh(standing);
    case SAGA_ON_ABORT:
        return refuse(STR("it is parked past the point of turning back: retry it"));
    case SAGA_ON_START:
    case SAGA_ON_CANCEL:
    case SAGA_ON_REFUSED:
    case SAGA_ON_TIMER:
        break;
    }
    return ignore();
}

struct saga_decision saga_decide(const struct saga_definition *definition,
                                 const struct saga_state *state, const struct saga_input *input,
                                 struct arena *arena)
{
    struct standing standing = {.definition = definition, .state = state, .arena = arena};
    standing.call =
        saga_definition_call(definition, state->at.step, state->at.direction, &standing.index);
    switch (state->phase) {
    case SAGA_NONE:
        return decide_none(&standing, input);
    case SAGA_RUNNING:
        return decide_running(&standing, input);
    case SAGA_PARKED:
        return decide_parked(&standing, input);
    case SAGA_DONE:
    case SAGA_COMPENSATED:
        break;
    }
    return input->cue == SAGA_ON_RETRY || input->cue == SAGA_ON_ABORT ? refuse(STR("it has ended"))
                                                                      : ignore();
}

bool saga_is_parked(const struct saga_definition *definition, const struct saga_state *state)
{
    size_t index;
    const struct saga_call *call =
        saga_definition_call(definition, state->at.step, state->at.direction, &index);
    return state->phase == SAGA_PARKED ||
           (state->phase == SAGA_RUNNING && call != NULL && call->ask_without_limit &&
            state->at.attempt > definition->parked_after);
}
