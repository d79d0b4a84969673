// SPDX-License-Identifier: Apache-2.0
// Effects as contexts ask for them, by providers in this process.
#include <criterion/criterion.h>

#include "infrastructure/psp/carrier_effects.h"
#include "infrastructure/psp/carrier_memory.h"
#include "infrastructure/psp/payment_effects.h"
#include "infrastructure/psp/payment_provider_memory.h"

static struct arena arena;
static struct payment_provider *provider;
static struct carrier *carrier;
static struct payment_effects payments;
static struct carrier_effects shipments;

static void open_providers(void)
{
    arena_init(&arena, 4096, 1024 * 1024);
    provider = payment_provider_memory_new(10);
    carrier = carrier_memory_new(10);
    payments = payment_effects(provider);
    shipments = carrier_effects(carrier);
}

static void close_providers(void)
{
    payment_provider_memory_free(provider);
    carrier_memory_free(carrier);
    arena_free(&arena);
}

TestSuite(effects, .init = open_providers, .fini = close_providers);

static struct effect_request request(const char *operation, const char *key, const char *body)
{
    return (struct effect_request){str_from(operation), str_from(key), str_from(body)};
}

static struct effect_result ask(struct effect_runner *runner, struct effect_request asked)
{
    struct effect_result result;
    cr_assert_eq(effect_runner_perform(runner, &asked, 1, 100, &arena, &result), STATUS_OK);
    return result;
}

#define AUTHORIZE(token) \
    "{\"payment\":\"p\",\"amount\":10,\"currency\":\"BRL\",\"token\":\"" token "\"}"

Test(effects, given_a_payment_when_undone_then_the_answer_tells_whether_money_was_taken)
{
    cr_assert_eq(
        ask(&payments.port, request("payment.authorize", "p:authorize", AUTHORIZE("tok_ok")))
            .answer.outcome,
        EFFECT_DONE);
    struct effect_result undone =
        ask(&payments.port, request("payment.undo", "q:undo", "{\"payment\":\"q\"}"));
    cr_assert(str_eq(undone.answer.body, STR("{\"captured\":false}")));
    cr_assert_eq(
        ask(&payments.port, request("payment.capture", "p:capture",
                                    "{\"payment\":\"p\",\"amount\":10,\"currency\":\"BRL\"}"))
            .answer.outcome,
        EFFECT_DONE);
    undone = ask(&payments.port, request("payment.undo", "p:undo", "{\"payment\":\"p\"}"));
    cr_assert(str_eq(undone.answer.body, STR("{\"captured\":true}")));
}

Test(effects, given_refusal_and_silence_when_asked_then_only_the_refusal_is_an_answer)
{
    struct effect_result declined =
        ask(&payments.port, request("payment.authorize", "p:authorize", AUTHORIZE("tok_declined")));
    cr_assert(declined.answered);
    cr_assert_eq(declined.answer.outcome, EFFECT_REFUSED);
    cr_assert(str_eq(declined.answer.code, STR("payment_declined")));
    cr_assert_not(
        ask(&payments.port, request("payment.authorize", "p:other", AUTHORIZE("tok_silent")))
            .answered);
}

Test(effects, given_a_body_that_lacks_a_member_when_asked_then_it_is_refused_and_others_are_not)
{
    const struct effect_request asked[] = {
        request("payment.authorize", "p:authorize", "{\"payment\":\"p\"}"),
        request("payment.authorize", "p:authorize", AUTHORIZE("tok_ok"))};
    struct effect_result results[2];
    cr_assert_eq(effect_runner_perform(&payments.port, asked, 2, 100, &arena, results), STATUS_OK);
    cr_assert_eq(results[0].answer.outcome, EFFECT_REFUSED);
    cr_assert(str_eq(results[0].answer.code, STR("malformed_effect")));
    cr_assert_eq(results[1].answer.outcome, EFFECT_DONE);
}

Test(effects, given_an_unknown_operation_among_others_when_asked_then_that_alone_is_unknown)
{
    const struct effect_request payment[] = {
        request("payment.print", "k", "{}"),
        request("payment.authorize", "q:authorize", AUTHORIZE("tok_ok"))};
    const struct effect_request shipment[] = {
        request("carrier.cancel", "s:cancel", "{\"shipment\":\"s\"}"),
        request("carrier.print", "k", "{}")};
    struct effect_result results[2];
    cr_assert_eq(effect_runner_perform(&payments.port, payment, 2, 100, &arena, results),
                 STATUS_OK);
    cr_assert(results[0].unknown && !results[0].answered);
    cr_assert(results[1].answered && !results[1].unknown);
    cr_assert_eq(effect_runner_perform(&shipments.port, shipment, 2, 100, &arena, results),
                 STATUS_OK);
    cr_assert(results[0].answered && !results[0].unknown);
    cr_assert(results[1].unknown && !results[1].answered);
}

Test(effects, given_a_shipment_when_scheduled_and_cancelled_then_the_carrier_answers)
{
    const char *good = "{\"shipment\":\"s\",\"country\":\"BR\",\"postal_code\":\"01310-100\"}";
    const char *bad = "{\"shipment\":\"t\",\"country\":\"BR\",\"postal_code\":\"00000-000\"}";
    cr_assert_eq(
        ask(&shipments.port, request("carrier.schedule", "s:schedule", good)).answer.outcome,
        EFFECT_DONE);
    cr_assert(
        str_eq(ask(&shipments.port, request("carrier.schedule", "t:schedule", bad)).answer.code,
               STR("shipment_refused")));
    cr_assert_eq(ask(&shipments.port, request("carrier.cancel", "s:cancel", "{\"shipment\":\"s\"}"))
                     .answer.outcome,
                 EFFECT_DONE);
}
