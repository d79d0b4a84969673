// SPDX-License-Identifier: Apache-2.0
// The payment's rules, row by row, with whatever the provider may say.
#include "domain/payments/payment.h"

#include <criterion/criterion.h>

static const struct money price = {1000, {"BRL"}};
static const struct provider_answer not_asked = {0};
static const struct provider_answer done = {.asked = true, .done = true};
static const struct provider_answer was_captured = {.asked = true, .done = true, .captured = true};
static const struct provider_answer no = {
    .asked = true, .code = {"card_expired", 12}, .detail = {"the card has expired", 20}};

static struct payment given(enum payment_status status)
{
    bool held =
        status == PAYMENT_AUTHORIZED || status == PAYMENT_CAPTURED || status == PAYMENT_REFUNDED;
    bool taken = status == PAYMENT_CAPTURED || status == PAYMENT_REFUNDED;
    return (struct payment){
        .status = status,
        .authorized = held ? price : (struct money){0},
        .captured =
            taken ? price : (struct money){0, held ? price.currency : (struct currency){""}},
        .decline_code = STR("card_expired"),
        .decline_detail = STR("the card has expired"),
    };
}

static struct payment_decision when_authorized(struct payment payment,
                                               struct provider_answer answer)
{
    struct authorize_payment command = {price, STR("tok_ok")};
    return payment_authorize(&payment, &command, &answer);
}

static struct payment_decision when_captured(struct payment payment, struct provider_answer answer)
{
    return payment_capture(&payment, price, &answer);
}

static struct payment_decision when_undone(struct payment payment, struct provider_answer answer)
{
    return payment_undo(&payment, &answer);
}

static enum payment_status then_it_is(struct payment payment, struct payment_decision decision)
{
    for (int i = 0; i < decision.event_count; i++) {
        payment = payment_evolve(payment, &decision.events[i]);
    }
    return payment.status;
}

struct row {
    enum payment_status status;
    struct provider_answer answer;
    enum payment_refusal refusal;
    int event_count;
    enum payment_status after;
};

typedef struct payment_decision when_fn(struct payment, struct provider_answer);

static void assert_rows(when_fn *when, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct payment payment = given(rows[i].status);
        struct payment_decision decision = when(payment, rows[i].answer);
        cr_expect_eq(decision.refusal, rows[i].refusal, "row %zu", i);
        cr_expect_eq(decision.event_count, rows[i].event_count, "row %zu", i);
        cr_expect_eq(then_it_is(payment, decision), rows[i].after, "row %zu", i);
    }
}

Test(payment, given_each_state_when_authorized_then_the_row_of_the_saga_holds)
{
    const struct row rows[] = {
        {PAYMENT_NONE, done, PAYMENT_ACCEPTED, 1, PAYMENT_AUTHORIZED},
        {PAYMENT_NONE, no, PAYMENT_IS_DECLINED, 1, PAYMENT_DECLINED},
        {PAYMENT_NONE, not_asked, PAYMENT_WANTS_PROVIDER_FIRST, 0, PAYMENT_NONE},
        {PAYMENT_AUTHORIZED, not_asked, PAYMENT_ACCEPTED, 0, PAYMENT_AUTHORIZED},
        {PAYMENT_CAPTURED, not_asked, PAYMENT_ACCEPTED, 0, PAYMENT_CAPTURED},
        {PAYMENT_DECLINED, not_asked, PAYMENT_IS_DECLINED, 0, PAYMENT_DECLINED},
        {PAYMENT_VOIDED, not_asked, PAYMENT_IS_UNDONE, 0, PAYMENT_VOIDED},
        {PAYMENT_REFUNDED, not_asked, PAYMENT_IS_UNDONE, 0, PAYMENT_REFUNDED},
        // asked on a state that has moved on meanwhile: the state decides
        {PAYMENT_VOIDED, done, PAYMENT_IS_UNDONE, 0, PAYMENT_VOIDED},
        {PAYMENT_AUTHORIZED, no, PAYMENT_ACCEPTED, 0, PAYMENT_AUTHORIZED},
    };
    assert_rows(when_authorized, rows, sizeof(rows) / sizeof(rows[0]));
}

Test(payment, given_each_state_when_captured_then_the_row_of_the_saga_holds)
{
    const struct row rows[] = {
        {PAYMENT_NONE, not_asked, PAYMENT_IS_NOT_AUTHORIZED, 0, PAYMENT_NONE},
        {PAYMENT_AUTHORIZED, done, PAYMENT_ACCEPTED, 1, PAYMENT_CAPTURED},
        {PAYMENT_AUTHORIZED, no, PAYMENT_IS_DECLINED, 0, PAYMENT_AUTHORIZED},
        {PAYMENT_AUTHORIZED, not_asked, PAYMENT_WANTS_PROVIDER_FIRST, 0, PAYMENT_AUTHORIZED},
        {PAYMENT_CAPTURED, not_asked, PAYMENT_ACCEPTED, 0, PAYMENT_CAPTURED},
        {PAYMENT_DECLINED, not_asked, PAYMENT_IS_NOT_AUTHORIZED, 0, PAYMENT_DECLINED},
        {PAYMENT_VOIDED, not_asked, PAYMENT_IS_UNDONE, 0, PAYMENT_VOIDED},
        {PAYMENT_REFUNDED, not_asked, PAYMENT_IS_UNDONE, 0, PAYMENT_REFUNDED},
    };
    assert_rows(when_captured, rows, sizeof(rows) / sizeof(rows[0]));
}

Test(payment, given_each_state_when_undone_then_the_row_of_the_saga_holds)
{
    const struct row rows[] = {
        {PAYMENT_NONE, done, PAYMENT_ACCEPTED, 1, PAYMENT_VOIDED},
        {PAYMENT_NONE, was_captured, PAYMENT_ACCEPTED, 2, PAYMENT_REFUNDED},
        {PAYMENT_AUTHORIZED, done, PAYMENT_ACCEPTED, 1, PAYMENT_VOIDED},
        {PAYMENT_AUTHORIZED, was_captured, PAYMENT_ACCEPTED, 2, PAYMENT_REFUNDED},
        {PAYMENT_CAPTURED, was_captured, PAYMENT_ACCEPTED, 1, PAYMENT_REFUNDED},
        {PAYMENT_CAPTURED, done, PAYMENT_ACCEPTED, 1, PAYMENT_REFUNDED},
        {PAYMENT_DECLINED, done, PAYMENT_ACCEPTED, 0, PAYMENT_DECLINED},
        {PAYMENT_VOIDED, done, PAYMENT_ACCEPTED, 0, PAYMENT_VOIDED},
        {PAYMENT_REFUNDED, was_captured, PAYMENT_ACCEPTED, 0, PAYMENT_REFUNDED},
        {PAYMENT_AUTHORIZED, no, PAYMENT_UNDO_REFUSED, 0, PAYMENT_AUTHORIZED},
        {PAYMENT_VOIDED, not_asked, PAYMENT_WANTS_PROVIDER_FIRST, 0, PAYMENT_VOIDED},
    };
    assert_rows(when_undone, rows, sizeof(rows) / sizeof(rows[0]));
}

Test(payment,
     given_an_authorized_payment_when_undone_after_a_lost_capture_then_the_capture_comes_first)
{
    struct payment payment = given(PAYMENT_AUTHORIZED);
    struct payment_decision decision = when_undone(payment, was_captured);
    cr_assert_eq(decision.events[0].type, PAYMENT_EVENT_CAPTURED);
    cr_assert_eq(decision.events[1].type, PAYMENT_EVENT_REFUNDED);
    cr_assert(money_eq(decision.events[0].amount, price));
    cr_assert(money_eq(decision.events[1].amount, price));
}

Test(payment, given_a_declined_payment_when_authorized_again_then_the_answer_is_the_same)
{
    struct payment payment = given(PAYMENT_NONE);
    struct payment_decision first = when_authorized(payment, no);
    payment = payment_evolve(payment, &first.events[0]);
    struct payment_decision again = when_authorized(payment, not_asked);
    cr_assert(str_eq(first.code, again.code));
    cr_assert(str_eq(first.detail, again.detail));
}

Test(payment, given_an_authorized_payment_when_more_is_captured_then_the_provider_is_not_even_asked)
{
    struct payment payment = given(PAYMENT_AUTHORIZED);
    struct money more = {price.amount + 1, price.currency};
    struct money other = {price.amount, {"USD"}};
    cr_assert(!payment_capture_asks(&payment, more));
    cr_assert(!payment_capture_asks(&payment, other));
    cr_assert(payment_capture_asks(&payment, price));
    cr_assert_eq(payment_capture(&payment, more, &not_asked).refusal, PAYMENT_EXCEEDS);
    cr_assert_eq(payment_capture(&payment, other, &done).refusal, PAYMENT_EXCEEDS);
}

Test(payment, given_each_state_when_authorizing_or_capturing_then_only_one_state_asks)
{
    for (int status = PAYMENT_NONE; status <= PAYMENT_REFUNDED; status++) {
        struct payment payment = given((enum payment_status)status);
        cr_assert_eq(payment_authorize_asks(&payment), status == PAYMENT_NONE);
        cr_assert_eq(payment_capture_asks(&payment, price), status == PAYMENT_AUTHORIZED);
    }
}
