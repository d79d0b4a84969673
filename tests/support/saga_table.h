// SPDX-License-Identifier: Apache-2.0
// Given, when, then for the saga's table: an instance anywhere in the shipped definition, what
// comes in, what it must lead to. Included by the tests of the table; each has its own copy.
#pragma once

#include <criterion/criterion.h>

#include "application/saga/decide.h"
#include "support/saga_fixture.h"

static struct arena arena;
static struct saga_definition order;

static __attribute__((unused)) void open_fixture(void)
{
    arena_init(&arena, 65536, 8 << 20);
    order = saga_fixture_order_fulfilment(&arena);
}

static __attribute__((unused)) void close_fixture(void)
{
    arena_free(&arena);
}

// The steps by their numbers in the specification: F1 to F6, C1 to C4, C0.
static const char *const F[] = {"",        "authorize", "reserve", "schedule",
                                "capture", "confirm",   "commit"};
static const char *const C[] = {"reject", "void", "release", "unschedule", "refund"};

static __attribute__((unused)) struct saga_state forward(int step, int attempt)
{
    return saga_fixture_at(&order, F[step], SAGA_FORWARD, attempt);
}

static __attribute__((unused)) struct saga_state undoing(int step, int attempt)
{
    struct saga_state state = saga_fixture_at(&order, C[step], SAGA_COMPENSATE, attempt);
    state.code = STR("stock_short");
    return state;
}

static __attribute__((unused)) struct saga_state parked(struct saga_state state)
{
    state.phase = SAGA_PARKED;
    return state;
}

static __attribute__((unused)) struct saga_state ended(enum saga_phase phase)
{
    struct saga_state state = phase == SAGA_DONE ? forward(6, 1) : undoing(0, 1);
    state.phase = phase;
    return state;
}

static __attribute__((unused)) struct saga_state none(void)
{
    return (struct saga_state){.phase = SAGA_NONE, .at = {.step = STR("")}};
}

static __attribute__((unused)) struct saga_decision when(struct saga_state state,
                                                         struct saga_input input)
{
    return saga_decide(&order, &state, &input, &arena);
}

static __attribute__((unused)) struct saga_decision when_cue(struct saga_state state,
                                                             enum saga_cue cue)
{
    return when(state, (struct saga_input){.cue = cue, .code = STR(""), .detail = STR("")});
}

static __attribute__((unused)) struct saga_at at(const char *step, enum saga_direction direction,
                                                 int attempt)
{
    return (struct saga_at){.step = str_from(step), .direction = direction, .attempt = attempt};
}

static __attribute__((unused)) struct saga_decision when_ok(struct saga_state state)
{
    return when(state, (struct saga_input){.cue = SAGA_ON_OK, .at = state.at});
}

static __attribute__((unused)) struct saga_decision when_refused(struct saga_state state)
{
    return when(state, (struct saga_input){.cue = SAGA_ON_REFUSED,
                                           .at = state.at,
                                           .code = STR("shipment_refused"),
                                           .detail = STR("no such street")});
}

static __attribute__((unused)) struct saga_decision when_timer(struct saga_state state)
{
    return when(state, (struct saga_input){.cue = SAGA_ON_TIMER, .at = state.at});
}

// The timer comes when the step has had all the time that one gets.
static __attribute__((unused)) struct saga_decision when_spent(struct saga_state state)
{
    return when(state, (struct saga_input){.cue = SAGA_ON_TIMER, .at = state.at, .spent = true});
}

static __attribute__((unused)) void then_issues(struct saga_decision decision, const char *step,
                                                enum saga_direction direction, int attempt)
{
    cr_assert_eq(decision.move, SAGA_MOVE_ISSUE, "%s: move %d", step, decision.move);
    cr_assert(str_eq(decision.next.step, str_from(step)), "wants %s, issues %.*s", step,
              STR_FMT(decision.next.step));
    cr_assert_eq(decision.next.direction, direction);
    cr_assert_eq(decision.next.attempt, attempt, "%s: attempt %d", step, decision.next.attempt);
    cr_assert(str_eq(decision.call->name, str_from(step)));
}

static __attribute__((unused)) void then_forward(struct saga_decision decision, int step)
{
    then_issues(decision, F[step], SAGA_FORWARD, 1);
    cr_assert_not(decision.has_cause);
}

static __attribute__((unused)) void then_undoes(struct saga_decision decision, int step)
{
    then_issues(decision, C[step], SAGA_COMPENSATE, 1);
}

static __attribute__((unused)) void then_because(struct saga_decision decision, const char *code)
{
    cr_assert(decision.has_cause);
    cr_assert(str_eq(decision.code, str_from(code)), "code %.*s", STR_FMT(decision.code));
}

static __attribute__((unused)) void then_ignored(struct saga_decision decision)
{
    cr_assert_eq(decision.move, SAGA_MOVE_IGNORE, "move %d to %.*s", decision.move,
                 STR_FMT(decision.next.step));
}
