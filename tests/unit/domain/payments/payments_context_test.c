// SPDX-License-Identifier: Apache-2.0
// Payments through the seam: what is asked of the provider, what is recorded, what is answered.
#include <criterion/criterion.h>

#include "domain/bounded_context.h"
#include "support/world.h"

static const struct str category = {"payment", 7};
static const struct uuid payment = {{0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, 0x80, 1, 0x80, 1}};

#define ID "018bcfe5-6800-8001-8001-000000000000"
#define AUTHORIZE "{\"amount\":500,\"currency\":\"BRL\",\"payment_token\":\"tok_ok\"}"
#define CAPTURE "{\"amount\":500,\"currency\":\"BRL\"}"

static struct world world;

static void begin(void)
{
    world_init(&world);
}

static void end(void)
{
    world_free(&world);
}

TestSuite(payments_context, .init = begin, .fini = end);

static struct effect_answer decline(struct world *of, const struct effect_request *request)
{
    (void)of;
    (void)request;
    return (struct effect_answer){.outcome = EFFECT_REFUSED,
                                  .code = STR("insufficient_funds"),
                                  .detail = STR("not enough money")};
}

static struct effect_answer undo_of_captured(struct world *of, const struct effect_request *request)
{
    (void)of;
    (void)request;
    return (struct effect_answer){.outcome = EFFECT_DONE, .body = STR("{\"captured\":true}")};
}

static const struct world_result *when(const char *command, const char *body)
{
    return world_when(&world, command, payment, "saga:order_fulfilment", body);
}

static void assert_request(const struct world_result *result, const char *operation,
                           const char *key, const char *body)
{
    cr_assert(result->asked);
    cr_assert(str_eq(result->request.operation, str_from(operation)));
    cr_assert(str_eq(result->request.key, str_from(key)), "%.*s", STR_FMT(result->request.key));
    cr_assert(str_eq(result->request.body, str_from(body)), "%.*s", STR_FMT(result->request.body));
}

static struct str last_event(void)
{
    return world_stream(&world, payment, category)->last->view.data;
}

Test(payments_context, given_no_payment_when_authorized_then_the_provider_is_asked_under_its_key)
{
    const struct world_result *result = when("payments.authorize_payment", AUTHORIZE);
    assert_request(result, "payment.authorize", ID ":authorize",
                   "{\"payment\":\"" ID "\",\"amount\":500,\"currency\":\"BRL\","
                   "\"token\":\"tok_ok\"}");
    cr_assert_eq(result->decision.outcome, DECISION_ACCEPTED);
    cr_assert(str_eq(last_event(), STR("{\"amount\":500,\"currency\":\"BRL\","
                                       "\"authorized_at\":\"2023-11-14T22:13:20.000Z\"}")));
    cr_assert(!when("payments.authorize_payment", AUTHORIZE)->asked);
}

Test(payments_context, given_a_declining_provider_when_authorized_then_the_refusal_is_remembered)
{
    world.perform = decline;
    const struct world_result *first = when("payments.authorize_payment", AUTHORIZE);
    cr_assert_eq(first->decision.outcome, DECISION_REJECTED);
    cr_assert_eq(first->decision.event_count, 1);
    cr_assert_eq(world_count(&world, payment, category, "PaymentDeclined"), 1);
    const struct world_result *again = when("payments.authorize_payment", AUTHORIZE);
    cr_assert(!again->asked);
    cr_assert_eq(again->decision.event_count, 0);
    cr_assert(str_eq(again->decision.code, STR("payment_declined")));
    cr_assert(str_eq(again->decision.code, first->decision.code));
    cr_assert(str_eq(again->decision.detail, first->decision.detail));
}

Test(payments_context, given_an_authorized_payment_when_captured_then_the_provider_is_asked_once)
{
    when("payments.authorize_payment", AUTHORIZE);
    assert_request(when("payments.capture_payment", CAPTURE), "payment.capture", ID ":capture",
                   "{\"payment\":\"" ID "\",\"amount\":500,\"currency\":\"BRL\"}");
    const struct world_result *again = when("payments.capture_payment", CAPTURE);
    cr_assert(!again->asked);
    cr_assert_eq(again->decision.outcome, DECISION_ACCEPTED);
    cr_assert_eq(again->decision.event_count, 0);
}

Test(payments_context, given_a_provider_that_refuses_capture_then_no_event_is_left)
{
    when("payments.authorize_payment", AUTHORIZE);
    world.perform = decline;
    const struct world_result *result = when("payments.capture_payment", CAPTURE);
    cr_assert_eq(result->decision.outcome, DECISION_REJECTED);
    cr_assert_eq(result->decision.event_count, 0);
    cr_assert(str_eq(result->decision.code, STR("payment_declined")));
}

Test(payments_context,
     given_nothing_known_when_voided_then_the_provider_is_asked_and_a_tombstone_stays)
{
    assert_request(when("payments.void_payment", "{}"), "payment.undo", ID ":undo",
                   "{\"payment\":\"" ID "\"}");
    cr_assert_eq(world_count(&world, payment, category, "PaymentVoided"), 1);
    const struct world_result *late = when("payments.authorize_payment", AUTHORIZE);
    cr_assert(!late->asked);
    cr_assert(str_eq(late->decision.code, STR("payment_undone")));
}

Test(payments_context,
     given_an_ended_payment_when_undone_again_then_the_provider_is_asked_all_the_same)
{
    when("payments.void_payment", "{}");
    const struct world_result *again = when("payments.refund_payment", "{}");
    assert_request(again, "payment.undo", ID ":undo", "{\"payment\":\"" ID "\"}");
    cr_assert_eq(again->decision.outcome, DECISION_ACCEPTED);
    cr_assert_eq(again->decision.event_count, 0);
}

Test(payments_context,
     given_a_capture_that_only_the_provider_knows_when_voided_then_both_events_come)
{
    when("payments.authorize_payment", AUTHORIZE);
    world.perform = undo_of_captured;
    cr_assert_eq(when("payments.void_payment", "{}")->decision.event_count, 2);
    cr_assert(str_eq(world_state(&world, payment, category),
                     STR("{\"status\":\"refunded\",\"currency\":\"BRL\",\"authorized\":500,"
                         "\"captured\":500,\"refunded\":500}")));
}

Test(payments_context, given_a_provider_that_refuses_an_undo_then_it_is_rejected_without_an_event)
{
    when("payments.authorize_payment", AUTHORIZE);
    world.perform = decline;
    const struct world_result *result = when("payments.void_payment", "{}");
    cr_assert(str_eq(result->decision.code, STR("payment_undo_refused")));
    cr_assert_eq(result->decision.event_count, 0);
}

Test(payments_context, given_more_than_authorized_when_captured_then_nobody_is_asked)
{
    when("payments.authorize_payment", AUTHORIZE);
    const struct world_result *result =
        when("payments.capture_payment", "{\"amount\":501,\"currency\":\"BRL\"}");
    cr_assert(!result->asked);
    cr_assert(str_eq(result->decision.code, STR("payment_exceeds_authorization")));
}

Test(payments_context, given_an_effect_that_was_not_asked_when_decided_then_there_is_no_decision)
{
    const struct command_type *type = context_command(STR("payments.void_payment"));
    const struct command command = {.tenant = world.tenant, .target = payment};
    void *states[] = {world_stream(&world, payment, category)->state};
    struct decide_input input = {.command = &command, .states = states, .state_count = 1};
    static struct decision decision;
    cr_assert_eq(type->decide(&input, &world.arena, &decision), STATUS_INVALID);
}

Test(payments_context, given_bad_bodies_when_read_then_their_faults_are_named)
{
    const struct world_result *result = when("payments.authorize_payment", "{\"amount\":0}");
    cr_assert_eq(result->faults.total, 3);
    cr_assert(world_has_fault(result, "/amount") && world_has_fault(result, "/currency") &&
              world_has_fault(result, "/payment_token"));
    cr_assert(world_has_fault(when("payments.capture_payment", "{\"amount\":1}"), "/currency"));
    cr_assert(world_has_fault(when("payments.void_payment", "[]"), ""));
    cr_assert_eq(when("payments.void_payment", "{\"anything\":1}")->decision.outcome,
                 DECISION_ACCEPTED);
}

Test(payments_context, given_an_unknown_event_when_folded_then_the_state_stays)
{
    when("payments.authorize_payment", AUTHORIZE);
    struct str before = world_state(&world, payment, category);
    world_given(&world, payment, category, "PaymentDisputed", "{\"amount\":1}");
    cr_assert(str_eq(before, world_state(&world, payment, category)));
}
