// SPDX-License-Identifier: Apache-2.0
// An instance folded from its events, and its snapshot.
#include <criterion/criterion.h>

#include "application/saga/state.h"

static struct arena arena;

static void open_fixture(void)
{
    arena_init(&arena, 65536, 1 << 20);
}

static void close_fixture(void)
{
    arena_free(&arena);
}

TestSuite(saga_state, .init = open_fixture, .fini = close_fixture);

static struct saga_state *given(void)
{
    struct saga_state *state = saga_fold()->initial(&arena);
    cr_assert_not_null(state);
    return state;
}

static void when(struct saga_state *state, const char *type, const char *data)
{
    struct event_view event = {.type = str_from(type), .data = str_from(data)};
    cr_assert_eq(saga_fold()->evolve(state, &event, &arena), STATUS_OK);
}

static const char *const started =
    "{\"by\":\"start\",\"saga\":\"order_fulfilment\",\"saga_version\":3,"
    "\"subject\":\"0193a1b2-c3d4-7e5f-8a6b-0c1d2e3f4a5b\",\"correlation_id\":\"c-1\","
    "\"start\":{\"total\":3980},\"next\":{\"step\":\"authorize\",\"direction\":\"forward\","
    "\"attempt\":1,\"retry\":0}}";

static const char *const turned_back =
    "{\"by\":\"refused\",\"next\":{\"step\":\"void\",\"direction\":\"compensate\",\"attempt\":2,"
    "\"retry\":1},\"cause\":{\"code\":\"stock_short\",\"detail\":\"none \\\"left\\\"\"}}";

Test(saga_state, given_nothing_when_started_then_the_first_command_is_out)
{
    struct saga_state *state = given();
    cr_assert_eq(state->phase, SAGA_NONE);
    when(state, "SagaStarted", started);
    cr_assert_eq(state->phase, SAGA_RUNNING);
    cr_assert(str_eq(state->saga, STR("order_fulfilment")));
    cr_assert_eq(state->version, 3);
    cr_assert(str_eq(state->start, STR("{\"total\":3980}")));
    cr_assert(str_eq(state->at.step, STR("authorize")));
    cr_assert_eq(state->at.attempt, 1);
}

Test(saga_state, given_a_running_saga_when_it_turns_back_then_the_reason_stays_to_the_end)
{
    struct saga_state *state = given();
    when(state, "SagaStarted", started);
    when(state, "SagaAdvanced", turned_back);
    cr_assert_eq(state->at.direction, SAGA_COMPENSATE);
    cr_assert_eq(state->at.retry, 1);
    when(state, "SagaAdvanced",
         "{\"by\":\"ok\",\"next\":{\"step\":\"reject\",\"direction\":\"compensate\",\"attempt\":1,"
         "\"retry\":0}}");
    cr_assert(str_eq(state->code, STR("stock_short")));
    cr_assert(str_eq(state->detail, STR("none \"left\"")));
    when(state, "SagaCompensated", "{\"by\":\"ok\"}");
    cr_assert_eq(state->phase, SAGA_COMPENSATED);
}

Test(saga_state, given_a_parked_saga_when_it_advances_then_it_runs_again)
{
    struct saga_state *state = given();
    when(state, "SagaStarted", started);
    when(state, "SagaParked", "{\"by\":\"timer\"}");
    cr_assert_eq(state->phase, SAGA_PARKED);
    when(state, "SagaAdvanced", turned_back);
    cr_assert_eq(state->phase, SAGA_RUNNING);
    when(state, "SagaCompleted", "{\"by\":\"ok\"}");
    cr_assert_eq(state->phase, SAGA_DONE);
}

Test(saga_state, given_a_command_of_its_own_stream_when_folded_then_nothing_changes)
{
    struct saga_state *state = given();
    when(state, "SagaStarted", started);
    when(state, "reserve", "{\"step\":\"reserve\"}");
    cr_assert(str_eq(state->at.step, STR("authorize")));
}

Test(saga_state, given_any_state_when_encoded_and_decoded_then_it_is_the_same)
{
    const char *const types[] = {"SagaStarted", "SagaAdvanced", "SagaParked", "SagaAdvanced",
                                 "SagaCompensated"};
    const char *const data[] = {started, turned_back, "{}", turned_back, "{}"};
    struct saga_state *state = given();
    for (int i = 0; i < 5; i++) {
        when(state, types[i], data[i]);
        struct buffer first;
        struct buffer second;
        void *decoded;
        buffer_init(&first, &arena, 65536);
        buffer_init(&second, &arena, 65536);
        cr_assert_eq(saga_fold()->encode(state, &first), STATUS_OK);
        cr_assert_eq(saga_fold()->decode(buffer_view(&first), &arena, &decoded), STATUS_OK);
        const struct saga_state *copy = decoded;
        cr_assert_eq(copy->phase, state->phase);
        cr_assert_eq(copy->at.retry, state->at.retry);
        cr_assert(uuid_eq(copy->subject, state->subject));
        cr_assert(str_eq(copy->start, state->start));
        cr_assert_eq(saga_fold()->encode(copy, &second), STATUS_OK);
        cr_assert(str_eq(buffer_view(&first), buffer_view(&second)));
    }
    void *decoded;
    cr_assert_eq(saga_fold()->decode(STR("[1]"), &arena, &decoded), STATUS_MALFORMED);
}
