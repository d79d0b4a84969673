// SPDX-License-Identifier: Apache-2.0
// Payments under any order and any duplicates of their commands, with a provider that may decline,
// stay silent, or have done what nobody heard: they settle, in the log and at the provider.
#include <criterion/criterion.h>

#include "domain/payments/payment.h"
#include "support/delivery.h"

static const struct str category = {"payment", 7};
static const struct uuid payment_id = {{1, 2, 3, 4, 5, 6, 0x80, 7, 0x80, 9}};

// A small provider that keeps the promises of the port.
struct provider {
    struct delivery *delivery;
    bool declines;         // says no to authorize
    bool capture_declines; // says no to capture
    bool authorize_known, authorized;
    bool capture_known, captured;
    bool undone; // what was captured is refunded; nothing new is done
    int captures;
    int undos_asked;
};

static struct effect_answer answer(bool done, const char *body)
{
    return (struct effect_answer){.outcome = done ? EFFECT_DONE : EFFECT_REFUSED,
                                  .code = done ? STR("") : STR("insufficient_funds"),
                                  .detail = done ? STR("") : STR("not enough money"),
                                  .body = str_from(body)};
}

static struct effect_answer authorize(struct provider *provider)
{
    if (!provider->authorize_known) {
        provider->authorize_known = true;
        provider->authorized = !provider->declines && !provider->undone;
    }
    return answer(provider->authorized, NULL);
}

static struct effect_answer capture(struct provider *provider)
{
    if (!provider->capture_known) {
        provider->capture_known = true;
        provider->captured =
            provider->authorized && !provider->undone && !provider->capture_declines;
        provider->captures += provider->captured;
    }
    return answer(provider->captured, NULL);
}

static struct effect_answer undo(struct provider *provider)
{
    provider->undone = true;
    provider->undos_asked++;
    return answer(true, provider->captured ? "{\"captured\":true}" : "{\"captured\":false}");
}

static struct effect_answer perform(struct world *world, const struct effect_request *request)
{
    struct provider *provider = world->other_side;
    struct effect_answer answered;
    bool before = chance_percent(provider->delivery->chance, 50);
    if (before && delivery_disturb(provider->delivery)) {
        return (struct effect_answer){.outcome = EFFECT_NOT_ASKED}; // it never got there
    }
    if (str_eq(request->operation, STR("payment.authorize"))) {
        answered = authorize(provider);
    } else if (str_eq(request->operation, STR("payment.capture"))) {
        answered = capture(provider);
    } else {
        cr_assert(str_eq(request->operation, STR("payment.undo")));
        answered = undo(provider);
    }
    if (!before && delivery_disturb(provider->delivery)) {
        return (struct effect_answer){.outcome = EFFECT_NOT_ASKED}; // done, but nobody heard
    }
    return answered;
}

static void check_amounts(void *state)
{
    struct world *world = state;
    const struct payment *payment = world_stream(world, payment_id, category)->state;
    cr_assert_leq(payment->captured.amount, payment->authorized.amount);
    cr_assert_leq(payment->refunded.amount, payment->captured.amount);
    cr_assert_leq(world_count(world, payment_id, category, "PaymentCaptured"), 1);
    cr_assert_leq(world_count(world, payment_id, category, "PaymentRefunded"), 1);
}

static bool add_some(struct delivery *delivery, const char *command, const char *body, int percent)
{
    if (!chance_percent(delivery->chance, percent)) {
        return false;
    }
    for (uint64_t copies = 1 + chance_below(delivery->chance, 3); copies > 0; copies--) {
        delivery_add(delivery, command, payment_id, "saga:s", body);
    }
    return true;
}

static void assert_settled(struct world *world, const struct provider *provider, bool compensated,
                           uint64_t seed)
{
    const struct payment *payment = world_stream(world, payment_id, category)->state;
    cr_assert_leq(provider->captures, 1);
    if (!compensated) {
        cr_assert_eq(payment->status == PAYMENT_CAPTURED, provider->captured, "seed %lu", seed);
        return;
    }
    cr_assert(provider->undone, "seed %lu", seed);
    cr_assert_eq(payment->captured.amount, payment->refunded.amount, "seed %lu", seed);
    cr_assert(payment->status == PAYMENT_VOIDED || payment->status == PAYMENT_DECLINED ||
                  payment->status == PAYMENT_REFUNDED,
              "seed %lu: status %d", seed, payment->status);
    cr_assert_eq(payment->status == PAYMENT_REFUNDED, provider->captured, "seed %lu", seed);
}

static void settle_once(struct chance *chance)
{
    struct world world;
    struct delivery delivery = {
        .world = &world, .chance = chance, .check = check_amounts, .state = &world};
    struct provider provider = {.delivery = &delivery,
                                .declines = chance_percent(chance, 20),
                                .capture_declines = chance_percent(chance, 20)};
    world_init(&world);
    world.perform = perform;
    world.other_side = &provider;
    add_some(&delivery, "payments.authorize_payment",
             "{\"amount\":500,\"currency\":\"BRL\",\"payment_token\":\"tok\"}", 90);
    add_some(&delivery, "payments.capture_payment", "{\"amount\":500,\"currency\":\"BRL\"}", 70);
    bool compensated = add_some(&delivery, "payments.void_payment", "{}", 40);
    compensated |= add_some(&delivery, "payments.refund_payment", "{}", 40);
    if (delivery.count > 0) {
        delivery_run(&delivery);
        assert_settled(&world, &provider, compensated, chance->seed);
        int undos = provider.undos_asked;
        int repeated = delivery_repeat(&delivery);
        cr_assert(repeated == 0 || !compensated, "duplicates changed something, seed %lu",
                  chance->seed);
        cr_assert(!compensated || provider.undos_asked > undos); // asked again, ended or not
        cr_assert(world_folds_alike(&world, world_stream(&world, payment_id, category)));
    }
    world_free(&world);
}

Test(payments_property, given_any_order_and_duplicates_when_all_is_delivered_then_payments_settle)
{
    struct chance chance = chance_begin("payments_property");
    for (int round = 0; round < 1500; round++) {
        settle_once(&chance);
    }
}
