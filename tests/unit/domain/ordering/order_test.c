// SPDX-License-Identifier: Apache-2.0
// The order's rules, row by row: what each command does in each state.
#include "domain/ordering/order.h"

#include <criterion/criterion.h>

static const struct str ana = {"ana", 3};
static const struct order_rejection short_of_stock = {{"stock_short", 11}, {"", 0}};

static struct order given(enum order_status status)
{
    return (struct order){.status = status, .customer = status == ORDER_UNKNOWN ? STR("") : ana};
}

static struct order_decision when_cancelled(struct order order)
{
    return order_cancel(&order, ana, STR("changed my mind"));
}

static struct order_decision when_confirmed(struct order order)
{
    return order_confirm(&order);
}

static struct order_decision when_rejected(struct order order)
{
    return order_reject(&order, short_of_stock);
}

// The state that a decision leaves behind.
static enum order_status then_it_is(struct order order, struct order_decision decision)
{
    for (int i = 0; i < decision.event_count; i++) {
        order = order_evolve(order, &decision.events[i]);
    }
    return order.status;
}

struct row {
    enum order_status status;
    enum order_refusal refusal;
    int event_count;
    enum order_status after;
};

static void assert_rows(struct order_decision (*when)(struct order), const struct row *rows,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct order order = given(rows[i].status);
        struct order_decision decision = when(order);
        cr_expect_eq(decision.refusal, rows[i].refusal, "in state %d", rows[i].status);
        cr_expect_eq(decision.event_count, rows[i].event_count, "in state %d", rows[i].status);
        cr_expect_eq(then_it_is(order, decision), rows[i].after, "in state %d", rows[i].status);
    }
}

Test(order, given_each_state_when_cancelled_then_the_row_of_the_saga_holds)
{
    static const struct row rows[] = {
        {ORDER_UNKNOWN, ORDER_NOT_FOUND, 0, ORDER_UNKNOWN},
        {ORDER_PLACED, ORDER_ACCEPTED, 1, ORDER_CANCELLING},
        {ORDER_CANCELLING, ORDER_ACCEPTED, 0, ORDER_CANCELLING},
        {ORDER_CANCELLED, ORDER_ACCEPTED, 0, ORDER_CANCELLED},
        {ORDER_CONFIRMED, ORDER_NOT_CANCELLABLE, 0, ORDER_CONFIRMED},
        {ORDER_REJECTED, ORDER_NOT_CANCELLABLE, 0, ORDER_REJECTED},
    };
    assert_rows(when_cancelled, rows, 6);
}

Test(order, given_each_state_when_confirmed_then_the_row_of_the_saga_holds)
{
    static const struct row rows[] = {
        {ORDER_UNKNOWN, ORDER_NOT_FOUND, 0, ORDER_UNKNOWN},
        {ORDER_PLACED, ORDER_ACCEPTED, 1, ORDER_CONFIRMED},
        {ORDER_CANCELLING, ORDER_NOT_CONFIRMABLE, 0, ORDER_CANCELLING},
        {ORDER_CANCELLED, ORDER_NOT_CONFIRMABLE, 0, ORDER_CANCELLED},
        {ORDER_CONFIRMED, ORDER_ACCEPTED, 0, ORDER_CONFIRMED},
        {ORDER_REJECTED, ORDER_NOT_CONFIRMABLE, 0, ORDER_REJECTED},
    };
    assert_rows(when_confirmed, rows, 6);
}

Test(order, given_each_state_when_rejected_then_the_row_of_the_saga_holds)
{
    static const struct row rows[] = {
        {ORDER_UNKNOWN, ORDER_NOT_FOUND, 0, ORDER_UNKNOWN},
        {ORDER_PLACED, ORDER_ACCEPTED, 1, ORDER_REJECTED},
        {ORDER_CANCELLING, ORDER_ACCEPTED, 1, ORDER_CANCELLED},
        {ORDER_CANCELLED, ORDER_ACCEPTED, 0, ORDER_CANCELLED},
        {ORDER_CONFIRMED, ORDER_IS_CONFIRMED, 0, ORDER_CONFIRMED},
        {ORDER_REJECTED, ORDER_ACCEPTED, 0, ORDER_REJECTED},
    };
    assert_rows(when_rejected, rows, 6);
}

Test(order, given_a_placed_order_when_cancelled_then_it_asks_for_cancellation_with_the_reason)
{
    struct order_decision decision = when_cancelled(given(ORDER_PLACED));
    cr_assert_eq(decision.events[0].type, ORDER_EVENT_CANCEL_REQUESTED);
    cr_assert(str_eq(decision.events[0].reason, STR("changed my mind")));
}

Test(order, given_someone_elses_order_when_cancelled_in_any_state_then_it_is_not_found)
{
    for (int status = ORDER_UNKNOWN; status <= ORDER_REJECTED; status++) {
        struct order order = given((enum order_status)status);
        struct order_decision decision = order_cancel(&order, STR("bob"), STR("mine now"));
        cr_assert_eq(decision.refusal, ORDER_NOT_FOUND);
        cr_assert_eq(decision.event_count, 0);
    }
}

Test(order, given_a_cancelling_order_when_rejected_then_it_is_cancelled_and_not_rejected)
{
    cr_assert_eq(when_rejected(given(ORDER_CANCELLING)).events[0].type, ORDER_EVENT_CANCELLED);
}

Test(order, given_a_placed_order_when_rejected_then_the_event_says_why)
{
    struct order_decision decision = when_rejected(given(ORDER_PLACED));
    cr_assert_eq(decision.events[0].type, ORDER_EVENT_REJECTED);
    cr_assert(str_eq(decision.events[0].rejection.code, STR("stock_short")));
}

static const struct currency brl = {"BRL"};

static struct place_order order_of(size_t count, int32_t quantity)
{
    static const char skus[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    struct place_order command = {.currency = brl, .lines.count = count};
    for (size_t i = 0; i < count; i++) {
        command.lines.items[i] = (struct line){{skus + i, 1}, quantity};
    }
    return command;
}

static struct order_pricing when_placed(const struct place_order *command, int64_t price)
{
    struct offer offers[LINES_MAX];
    struct order_pricing pricing;
    for (size_t i = 0; i < LINES_MAX; i++) {
        offers[i] = (struct offer){true, {price, brl}};
    }
    order_place(command, offers, ana, &pricing);
    return pricing;
}

Test(order, given_offers_when_placed_then_lines_and_total_are_priced_by_them)
{
    struct place_order command = order_of(3, 7);
    struct order_pricing pricing = when_placed(&command, 250);
    cr_assert(pricing.accepted);
    cr_assert_eq(pricing.placed.lines[2].unit_price.amount, 250);
    cr_assert_eq(pricing.placed.lines[2].total.amount, 1750);
    cr_assert_eq(pricing.placed.total.amount, 5250);
    cr_assert(str_eq(pricing.placed.customer, ana));
}

Test(order, given_an_unknown_sku_or_a_foreign_price_when_placed_then_each_line_says_so)
{
    struct place_order command = order_of(3, 1);
    struct offer offers[] = {{true, {1, brl}}, {false, {0, brl}}, {true, {1, {"USD"}}}};
    struct order_pricing pricing;
    order_place(&command, offers, ana, &pricing);
    cr_assert(!pricing.accepted);
    cr_assert_eq(pricing.line_faults[0], LINE_FINE);
    cr_assert_eq(pricing.line_faults[1], LINE_UNKNOWN_SKU);
    cr_assert_eq(pricing.line_faults[2], LINE_OTHER_CURRENCY);
}

Test(order, given_prices_at_the_edge_when_placed_then_the_last_that_fits_is_taken)
{
    struct place_order fits = order_of(1, 1), line = order_of(1, 2), sum = order_of(2, 1);
    struct order_pricing pricing = when_placed(&fits, MONEY_AMOUNT_MAX);
    cr_assert(pricing.accepted);
    cr_assert_eq(pricing.placed.total.amount, MONEY_AMOUNT_MAX);
    pricing = when_placed(&line, MONEY_AMOUNT_MAX);
    cr_assert_eq(pricing.line_faults[0], LINE_OVERFLOW);
    pricing = when_placed(&sum, MONEY_AMOUNT_MAX);
    cr_assert(!pricing.accepted && pricing.total_overflows);
    cr_assert_eq(pricing.line_faults[1], LINE_FINE);
}
