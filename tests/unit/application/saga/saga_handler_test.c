// SPDX-License-Identifier: Apache-2.0
// What a message to a saga writes: its event, the next command, timers, meta; and what is poison.
#include <criterion/criterion.h>

#include "application/saga/saga_handler.h"
#include "application/saga/state.h"
#include "base/json.h"
#include "base/json_view.h"
#include "support/saga_fixture.h"

static struct arena arena;
static struct saga_definitions definitions;
static struct saga_handler saga;
static struct uuid order;
static struct uuid instance;
static struct reaction reaction;
static struct str cause;

static const instant_us now = INT64_C(1795503145123000);

static void open_fixture(void)
{
    arena_init(&arena, 65536, 16 << 20);
    struct saga_definition definition = saga_fixture_order_fulfilment(&arena);
    definitions.count = 0;
    cr_assert_eq(saga_definitions_add(&definitions, &definition, &arena, &cause), STATUS_OK);
    saga = saga_handler(STR("saga"), &definitions);
    order = uuid_named(STR("main"), STR("order"), STR("1"));
    instance = uuid_derive(order, STR("saga:order_fulfilment"));
}

static void close_fixture(void)
{
    arena_free(&arena);
}

TestSuite(saga_handler, .init = open_fixture, .fini = close_fixture);

static struct incoming an_event(const char *type)
{
    return (struct incoming){
        .id = uuid_derive(order, str_from(type)),
        .kind = RECORD_EVENT,
        .tenant = STR("main"),
        .category = STR("order"),
        .type = str_from(type),
        .stream = order,
        .version = 1,
        .schema_version = 1,
        .data = definitions.items[0].starts_on[0].example,
        .correlation_id = STR("corr-7"),
        .causation_id = STR(""),
        .traceparent = STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        .now = now,
        .command = STR(""),
    };
}

static struct incoming a_reply(const char *step, const char *direction, const char *outcome)
{
    struct incoming reply = an_event(outcome);
    char id[UUID_TEXT_LEN];
    uuid_format(instance, id);
    reply.kind = RECORD_REPLY;
    reply.category = STR("reply");
    reply.data = arena_printf(&arena,
                              "{\"command_id\":\"%.*s\",\"saga_id\":\"%.*s\",\"saga\":\"x\","
                              "\"step\":\"%s\",\"direction\":\"%s\",\"outcome\":\"%s\","
                              "\"code\":\"stock_short\",\"detail\":\"two are missing\"}",
                              UUID_TEXT_LEN, id, UUID_TEXT_LEN, id, step, direction, outcome);
    return reply;
}

static enum status declare(struct incoming *message, struct handler_streams *streams)
{
    *streams = (struct handler_streams){.count = 0};
    enum status status = saga.handler.ops->streams(&saga.handler, message, &arena, streams, &cause);
    message->plan = streams->plan;
    return status;
}

// What the message leads to on this state; the state goes on as its rows say.
static enum status when(struct saga_state *state, struct incoming message)
{
    struct handler_streams streams;
    void *states[] = {state};
    int32_t version = 0;
    enum status status = declare(&message, &streams);
    if (status != STATUS_OK) {
        return status;
    }
    cr_assert_eq(streams.count, 1);
    cr_assert(uuid_eq(streams.items[0].id, instance));
    reaction = (struct reaction){.row_count = 0};
    status = saga.handler.ops->react(&saga.handler, &message, states, &version, NULL, &arena,
                                     &reaction, &cause);
    for (size_t i = 0; status == STATUS_OK && i < reaction.row_count; i++) {
        struct event_view event = {.type = reaction.rows[i].type, .data = reaction.rows[i].data};
        cr_assert_eq(saga_fold()->evolve(state, &event, &arena), STATUS_OK);
    }
    return status;
}

static struct saga_state *given_nothing(void)
{
    return saga_fold()->initial(&arena);
}

static struct saga_state *given_started(void)
{
    struct saga_state *state = given_nothing();
    cr_assert_eq(when(state, an_event("OrderPlaced")), STATUS_OK);
    return state;
}

static void assert_member(struct str object, const char *member, const char *raw)
{
    struct str value = json_view_member(object, str_from(member));
    cr_assert(str_eq(value, str_from(raw)), "%s: wants %s, got %.*s", member, raw, STR_FMT(value));
}

static void assert_uuid(struct str object, const char *member, struct uuid id)
{
    char quoted[UUID_TEXT_LEN + 3] = "\"";
    uuid_format(id, quoted + 1);
    quoted[UUID_TEXT_LEN + 1] = '"';
    quoted[UUID_TEXT_LEN + 2] = '\0';
    assert_member(object, member, quoted);
}

static struct uuid command_id(const char *role)
{
    return uuid_derive(instance, str_from(role));
}

Test(saga_handler, given_a_placed_order_when_it_comes_then_event_command_and_timer_are_written)
{
    given_started();
    cr_assert_eq(reaction.row_count, 2);
    const struct reaction_row *event = &reaction.rows[0];
    const struct reaction_row *command = &reaction.rows[1];
    cr_assert_eq(event->kind, RECORD_EVENT);
    cr_assert(str_eq(event->type, STR("SagaStarted")));
    cr_assert_eq(command->kind, RECORD_COMMAND);
    cr_assert(str_eq(command->type, STR("authorize")));
    cr_assert(uuid_eq(command->id, command_id("authorize:forward:1")));
    assert_uuid(command->data, "saga_id", instance);
    assert_member(command->data, "saga", "\"order_fulfilment\"");
    assert_member(command->data, "saga_version", "1");
    assert_member(command->data, "step", "\"authorize\"");
    assert_member(command->data, "direction", "\"forward\"");
    assert_member(command->data, "attempt", "1");
    assert_uuid(command->data, "stream_id", uuid_derive(order, STR("payment")));
    assert_member(command->data, "command", "\"payments.authorize_payment\"");
    assert_member(command->data, "payload",
                  "{\"amount\":3980,\"currency\":\"BRL\",\"payment_token\":\"tok_ok\"}");
    cr_assert_eq(reaction.timer_count, 1);
    cr_assert(uuid_eq(reaction.timers[0].id, uuid_derive(command->id, STR("timer"))));
    cr_assert(uuid_eq(reaction.timers[0].saga, instance));
    cr_assert_eq(reaction.timers[0].due, now + INT64_C(20000000));
    cr_assert_eq(reaction.timer_done_count, 0);
    cr_assert(str_eq(reaction.label, STR("started")));
}

Test(saga_handler, given_a_placed_order_when_it_comes_then_its_meta_tells_whence_and_where)
{
    given_started();
    struct str of_event = reaction.rows[0].meta;
    struct str of_command = reaction.rows[1].meta;
    assert_member(of_command, "correlation_id", "\"corr-7\"");
    assert_uuid(of_command, "causation_id", an_event("OrderPlaced").id);
    assert_member(of_command, "actor", "\"saga:order_fulfilment\"");
    assert_member(of_command, "route", "\"payments.authorize_payment\"");
    assert_member(of_command, "traceparent",
                  "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"");
    assert_uuid(of_event, "causation_id", an_event("OrderPlaced").id);
    cr_assert_null(json_view_member(of_event, STR("route")).data);
}

Test(saga_handler, given_every_row_when_written_then_it_is_i_json)
{
    struct saga_state *state = given_started();
    size_t offset;
    const char *steps[] = {"authorize", "reserve"};
    for (int i = 0; i < 2; i++) {
        for (size_t row = 0; row < reaction.row_count; row++) {
            cr_assert_eq(json_check(reaction.rows[row].data, &offset), JSON_OK);
            cr_assert_eq(json_check(reaction.rows[row].meta, &offset), JSON_OK);
        }
        cr_assert_eq(json_check(reaction.timers[0].data, &offset), JSON_OK);
        cr_assert_eq(when(state, a_reply(steps[i], "forward", i == 0 ? "ok" : "rejected")),
                     STATUS_OK);
    }
}

Test(saga_handler, given_the_same_message_when_decided_again_then_the_rows_are_the_same)
{
    given_started();
    struct reaction first = reaction;
    given_started();
    cr_assert_eq(reaction.row_count, first.row_count);
    for (size_t i = 0; i < first.row_count; i++) {
        cr_assert(uuid_eq(reaction.rows[i].id, first.rows[i].id));
        cr_assert(str_eq(reaction.rows[i].data, first.rows[i].data));
    }
}

Test(saga_handler, given_each_step_when_done_then_the_whole_way_is_gone)
{
    struct saga_state *state = given_started();
    const char *steps[] = {"authorize", "reserve", "schedule", "capture", "confirm", "commit"};
    const char *roles[] = {"payment", "reservation", "shipment", "payment", "", "reservation"};
    for (int i = 0; i < 6; i++) {
        struct str command = reaction.rows[1].data;
        assert_member(command, "step", arena_printf(&arena, "\"%s\"", steps[i]).data);
        assert_uuid(command, "stream_id", i == 4 ? order : uuid_derive(order, str_from(roles[i])));
        struct uuid timer = reaction.timers[0].id;
        cr_assert_eq(when(state, a_reply(steps[i], "forward", "ok")), STATUS_OK);
        cr_assert_eq(reaction.timer_done_count, 1);
        cr_assert(uuid_eq(reaction.timers_done[0], timer), "the step's timer is ended");
    }
    cr_assert_eq(state->phase, SAGA_DONE);
    cr_assert_eq(reaction.row_count, 1);
    cr_assert_eq(reaction.timer_count, 0);
    cr_assert(str_eq(reaction.rows[0].type, STR("SagaCompleted")));
}

Test(saga_handler, given_short_stock_when_refused_then_void_then_reject_with_the_reason)
{
    struct saga_state *state = given_started();
    cr_assert_eq(when(state, a_reply("authorize", "forward", "ok")), STATUS_OK);
    assert_member(reaction.rows[1].data, "payload",
                  "{\"lines\":[{\"sku\":\"SKU-1\",\"quantity\":2}]}");
    cr_assert_eq(when(state, a_reply("reserve", "forward", "rejected")), STATUS_OK);
    cr_assert(uuid_eq(reaction.rows[1].id, command_id("void:compensate:1")));
    assert_member(reaction.rows[1].data, "payload", "{}");
    cr_assert_eq(when(state, a_reply("void", "compensate", "ok")), STATUS_OK);
    assert_uuid(reaction.rows[1].data, "stream_id", order);
    assert_member(reaction.rows[1].data, "payload",
                  "{\"code\":\"stock_short\",\"detail\":\"two are missing\"}");
    cr_assert_eq(when(state, a_reply("reject", "compensate", "ok")), STATUS_OK);
    cr_assert_eq(state->phase, SAGA_COMPENSATED);
}

Test(saga_handler, given_a_cancellation_that_comes_first_when_handled_then_reject_needs_no_start)
{
    struct saga_state *state = given_nothing();
    struct incoming cancel = an_event("OrderCancelRequested");
    cancel.data = STR("{\"reason\":\"changed my mind\"}");
    cr_assert_eq(when(state, cancel), STATUS_OK);
    cr_assert(uuid_eq(reaction.rows[1].id, command_id("reject:compensate:1")));
    assert_member(reaction.rows[1].data, "payload",
                  "{\"code\":\"cancelled\",\"detail\":\"it was cancelled\"}");
    assert_uuid(reaction.rows[1].data, "stream_id", order);
    cr_assert_eq(when(state, an_event("OrderPlaced")), STATUS_OK);
    cr_assert_eq(reaction.row_count, 0);
    cr_assert_eq(when(state, a_reply("reject", "compensate", "ok")), STATUS_OK);
    cr_assert_eq(state->phase, SAGA_COMPENSATED);
}

static struct incoming a_timer(const struct timer *timer)
{
    struct timer claimed = *timer;
    claimed.tenant = STR("main");
    return saga_timer_message(&claimed, false, now);
}

Test(saga_handler, given_a_timer_when_current_then_a_new_attempt_and_the_old_timer_ended)
{
    struct saga_state *state = given_started();
    struct timer timer = reaction.timers[0];
    struct uuid asked = reaction.rows[1].id;
    cr_assert_eq(when(state, a_timer(&timer)), STATUS_OK);
    cr_assert(uuid_eq(reaction.rows[1].id, command_id("authorize:forward:2")));
    cr_assert_eq(reaction.timer_done_count, 1);
    cr_assert(uuid_eq(reaction.timers_done[0], timer.id));
    assert_uuid(reaction.rows[1].meta, "causation_id", asked);
    assert_member(reaction.rows[1].meta, "correlation_id", "\"corr-7\"");
}

Test(saga_handler, given_a_timer_when_not_current_then_it_is_deleted_and_changes_nothing)
{
    struct saga_state *state = given_started();
    struct timer timer = reaction.timers[0];
    cr_assert_eq(when(state, a_reply("authorize", "forward", "ok")), STATUS_OK);
    cr_assert_eq(when(state, a_timer(&timer)), STATUS_OK);
    cr_assert_eq(reaction.row_count, 0);
    cr_assert_eq(reaction.timer_count, 0);
    cr_assert_eq(reaction.timer_done_count, 1);
    cr_assert(uuid_eq(reaction.timers_done[0], timer.id));
}

// Re-decided after a conflict: the reply won the race in between.
Test(saga_handler, given_a_timer_when_the_reply_won_the_race_then_decided_again_it_does_nothing)
{
    struct saga_state *stale = given_started();
    struct timer timer = reaction.timers[0];
    cr_assert_eq(when(stale, a_timer(&timer)), STATUS_OK);
    cr_assert_eq(reaction.row_count, 2);
    struct saga_state *fresh = given_started();
    cr_assert_eq(when(fresh, a_reply("authorize", "forward", "ok")), STATUS_OK);
    cr_assert_eq(when(fresh, a_timer(&timer)), STATUS_OK);
    cr_assert_eq(reaction.row_count, 0);
}

static void silence(struct saga_state *state, int times)
{
    for (int i = 0; i < times; i++) {
        struct timer timer = reaction.timers[0];
        cr_assert_eq(when(state, a_timer(&timer)), STATUS_OK);
    }
}

Test(saga_handler, given_silence_when_every_timer_fires_then_it_ends_rejected_or_parked)
{
    struct saga_state *state = given_started();
    silence(state, 3);
    cr_assert(uuid_eq(reaction.rows[1].id, command_id("void:compensate:1")));
    cr_assert(str_eq(state->code, STR("timed_out")));
    silence(state, 3);
    cr_assert_eq(state->phase, SAGA_PARKED);
    cr_assert_eq(reaction.timer_count, 0);
    cr_assert(str_eq(reaction.label, STR("parked")));
}

Test(saga_handler,
     given_a_timer_whose_step_has_waited_too_long_when_it_fires_then_no_attempt_is_left)
{
    struct saga_state *state = given_started();
    struct incoming spent = saga_timer_message(&reaction.timers[0], true, now);
    spent.tenant = STR("main");
    cr_assert_eq(when(state, spent), STATUS_OK);
    cr_assert(uuid_eq(reaction.rows[1].id, command_id("void:compensate:1")));
    cr_assert(str_eq(state->code, STR("timed_out")));
}

Test(saga_handler, given_a_timer_when_asked_for_its_commands_then_the_first_and_the_latest_are_told)
{
    struct timer timer = {.saga = instance};
    struct uuid ids[SAGA_TIMER_COMMANDS_MAX];
    timer.data = STR("{\"step\":\"void\",\"direction\":\"compensate\",\"attempt\":2,\"retry\":1}");
    cr_assert_eq(saga_timer_commands(&timer, &arena, ids), 2);
    cr_assert(uuid_eq(ids[0], command_id("void:compensate:1:r1")));
    cr_assert(uuid_eq(ids[1], command_id("void:compensate:2:r1")));
    timer.data = STR("{\"step\":\"commit\",\"direction\":\"forward\",\"attempt\":2147483647}");
    cr_assert_eq(saga_timer_commands(&timer, &arena, ids), SAGA_TIMER_COMMANDS_MAX);
    cr_assert(uuid_eq(ids[7], command_id("commit:forward:2147483647")));
    timer.data = STR("{}");
    cr_assert_eq(saga_timer_commands(&timer, &arena, ids), 0);
}

static enum status when_operator(struct saga_state *state, enum saga_operator_action action)
{
    struct uuid id = uuid_named(STR("x"), STR("y"), STR("z"));
    return when(state, saga_operator_message(action, id, STR("main"), instance, now));
}

Test(saga_handler, given_a_parked_saga_when_retried_then_ids_are_new_and_old_timers_are_not_current)
{
    struct saga_state *state = given_started();
    silence(state, 3);
    struct timer first_void = reaction.timers[0];
    silence(state, 3);
    cr_assert_eq(when_operator(state, SAGA_OPERATOR_RETRY), STATUS_OK);
    cr_assert_eq(state->phase, SAGA_RUNNING);
    cr_assert(uuid_eq(reaction.rows[1].id, command_id("void:compensate:1:r1")));
    cr_assert(str_eq(reaction.label, STR("retried")));
    assert_member(reaction.rows[0].meta, "actor", "\"operator\"");
    cr_assert_eq(when(state, a_timer(&first_void)), STATUS_OK);
    cr_assert_eq(reaction.row_count, 0, "an old timer of the same attempt number");
    cr_assert_eq(when(state, a_reply("void", "compensate", "ok")), STATUS_OK);
    cr_assert(uuid_eq(reaction.rows[1].id, command_id("reject:compensate:1")));
}

Test(saga_handler, given_a_running_saga_when_aborted_then_it_turns_back)
{
    struct saga_state *state = given_started();
    cr_assert_eq(when_operator(state, SAGA_OPERATOR_ABORT), STATUS_OK);
    cr_assert(uuid_eq(reaction.rows[1].id, command_id("void:compensate:1")));
    cr_assert(str_eq(state->code, STR("aborted")));
}

Test(saga_handler, given_confirm_issued_when_aborted_then_the_operator_is_told_why_not)
{
    struct saga_state *state = given_started();
    const char *steps[] = {"authorize", "reserve", "schedule", "capture"};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(when(state, a_reply(steps[i], "forward", "ok")), STATUS_OK);
    }
    cr_assert_eq(when_operator(state, SAGA_OPERATOR_ABORT), STATUS_INVALID);
    cr_assert_not_null(saga_fixture_find(cause, "pivot"));
    cr_assert_eq(when_operator(given_nothing(), SAGA_OPERATOR_ABORT), STATUS_INVALID);
    cr_assert_not_null(saga_fixture_find(cause, "no such saga"));
}

Test(saga_handler, given_messages_that_nobody_wants_when_handled_then_no_stream_is_declared)
{
    struct incoming message = an_event("OrderConfirmed");
    struct handler_streams streams;
    cr_assert_eq(declare(&message, &streams), STATUS_OK);
    cr_assert_eq(streams.count, 0);
    cr_assert_eq(saga.handler.ops->react(&saga.handler, &message, NULL, NULL, NULL, &arena,
                                         &reaction, &cause),
                 STATUS_OK);
    cr_assert_eq(reaction.row_count, 0);
}

Test(saga_handler, given_a_reply_to_no_saga_when_handled_then_it_is_recorded_and_ignored)
{
    cr_assert_eq(when(given_nothing(), a_reply("authorize", "forward", "ok")), STATUS_OK);
    cr_assert_eq(reaction.row_count, 0);
    cr_assert(str_eq(reaction.label, STR("ignored")));
}

static void assert_poison(struct incoming message, const char *named)
{
    cause = STR("");
    cr_assert_eq(when(given_started(), message), STATUS_MALFORMED);
    cr_assert_not_null(saga_fixture_find(cause, named), "%.*s", STR_FMT(cause));
}

Test(saga_handler, given_replies_that_cannot_be_read_when_handled_then_the_cause_names_the_field)
{
    struct incoming reply = a_reply("authorize", "sideways", "ok");
    assert_poison(reply, "data.direction");
    assert_poison(a_reply("authorize", "forward", "maybe"), "data.outcome");
    reply.data = STR("{\"saga_id\":7}");
    assert_poison(reply, "data.saga_id");
    reply.data = STR("[]");
    assert_poison(reply, "data.saga_id");
}

Test(saga_handler, given_an_order_that_cannot_make_a_later_payload_when_placed_then_it_never_starts)
{
    struct incoming placed = an_event("OrderPlaced");
    placed.data = STR("{\"total\":1,\"currency\":\"BRL\",\"payment_token\":\"t\",\"lines\":[]}");
    struct saga_state *state = given_nothing();
    cr_assert_eq(when(state, placed), STATUS_MALFORMED);
    cr_assert_not_null(saga_fixture_find(cause, "$.ship_to"), "%.*s", STR_FMT(cause));
}

Test(saga_handler, given_a_version_that_is_not_loaded_when_a_message_comes_then_it_waits)
{
    struct saga_state *state = given_started();
    state->version = 9;
    cr_assert_eq(when(state, a_reply("authorize", "forward", "ok")), STATUS_UNAVAILABLE);
    cr_assert_not_null(saga_fixture_find(cause, "version 9"));
    cr_assert_eq(reaction.row_count, 0);
    cr_assert_eq(when(state, an_event("OrderCancelRequested")), STATUS_UNAVAILABLE);
    cr_assert_eq(when_operator(state, SAGA_OPERATOR_ABORT), STATUS_UNAVAILABLE);
}

Test(saga_handler, given_a_file_that_was_changed_under_a_saga_when_a_reply_comes_then_it_waits)
{
    struct saga_state *state = given_started();
    state->at.step = STR("pay");
    cr_assert_eq(when(state, a_reply("pay", "forward", "ok")), STATUS_UNAVAILABLE);
    cr_assert_not_null(saga_fixture_find(cause, "no step pay"));
}

Test(saga_handler, given_a_newer_version_when_a_saga_runs_then_it_ends_on_the_one_it_began_with)
{
    struct saga_state *old = given_started();
    struct saga_definition newer = definitions.items[0];
    newer.version = 2;
    newer.steps[1].forward.name = STR("reserve_twice");
    cr_assert_eq(saga_definitions_add(&definitions, &newer, &arena, &cause), STATUS_OK);
    cr_assert_eq(when(old, a_reply("authorize", "forward", "ok")), STATUS_OK);
    assert_member(reaction.rows[1].data, "step", "\"reserve\"");
    assert_member(reaction.rows[1].data, "saga_version", "1");
    struct saga_state *young = given_started();
    cr_assert_eq(young->version, 2);
    cr_assert_eq(when(young, a_reply("authorize", "forward", "ok")), STATUS_OK);
    assert_member(reaction.rows[1].data, "step", "\"reserve_twice\"");
}

Test(saga_handler, given_a_foreign_code_when_refused_then_it_is_made_fit_for_the_last_word)
{
    struct saga_state *state = given_started();
    struct incoming reply = a_reply("authorize", "forward", "rejected");
    char id[UUID_TEXT_LEN];
    uuid_format(instance, id);
    reply.data = arena_printf(&arena,
                              "{\"saga_id\":\"%.*s\",\"step\":\"authorize\",\"direction\":"
                              "\"forward\",\"outcome\":\"rejected\",\"code\":\"Card-Lost 7\","
                              "\"detail\":\"%s\"}",
                              UUID_TEXT_LEN, id,
                              "0123456789012345678901234567890123456789012345678901234567890123456"
                              "0123456789012345678901234567890123456789012345678901234567890123456"
                              "0123456789012345678901234567890123456789012345678901234567890123456"
                              "0123456789012345678901234567890123456789012345678901234567890123456"
                              "0123456789012345678901234567890123456789012345678901234567890123456"
                              "0123456789012345678901234567890123456789012345678901234567890123456"
                              "0123456789012345678901234567890123456789012345678901234567890123456"
                              "0123456789012345678901234567890\xc3\xa9\xc3\xa9");
    cr_assert_eq(when(state, reply), STATUS_OK);
    cr_assert(str_eq(state->code, STR("card_lost__")));
    cr_assert_eq(state->detail.len, 500);
    reply.data = STR("{}");
}
