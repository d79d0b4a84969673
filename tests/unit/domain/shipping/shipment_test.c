// SPDX-License-Identifier: Apache-2.0
// The shipment's rules, row by row, with whatever the carrier may say.
#include "domain/shipping/shipment.h"

#include <criterion/criterion.h>

static const struct address home = {
    {"Ana", 3}, {"Rua A", 5}, {"SP", 2}, {"01310-100", 9}, {"BR", 2}};
static const struct carrier_answer not_asked = {0};
static const struct carrier_answer done = {.asked = true, .done = true};
static const struct carrier_answer no = {
    .asked = true, .code = {"no_route", 8}, .detail = {"no van goes there", 17}};

static struct shipment given(enum shipment_status status)
{
    return (struct shipment){.status = status, .refusal_detail = STR("no van goes there")};
}

static struct shipment_decision when_scheduled(struct shipment shipment,
                                               struct carrier_answer answer)
{
    return shipment_schedule(&shipment, &home, &answer);
}

static struct shipment_decision when_cancelled(struct shipment shipment,
                                               struct carrier_answer answer)
{
    return shipment_cancel(&shipment, &answer);
}

// "done" stands for a confirmed order.
static struct shipment_decision when_dispatched(struct shipment shipment,
                                                struct carrier_answer order)
{
    return shipment_dispatch(&shipment, order.done);
}

static struct shipment_decision when_delivered(struct shipment shipment,
                                               struct carrier_answer unused)
{
    (void)unused;
    return shipment_deliver(&shipment);
}

struct row {
    enum shipment_status status;
    struct carrier_answer answer;
    enum shipment_refusal refusal;
    enum shipment_status after;
};

static void assert_rows(struct shipment_decision (*when)(struct shipment, struct carrier_answer),
                        const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct shipment shipment = given(rows[i].status);
        struct shipment_decision decision = when(shipment, rows[i].answer);
        if (decision.event_count > 0) {
            shipment = shipment_evolve(shipment, &decision.events[0]);
        }
        cr_expect_eq(decision.refusal, rows[i].refusal, "row %zu", i);
        cr_expect_eq(decision.event_count, rows[i].status != rows[i].after, "row %zu", i);
        cr_expect_eq(shipment.status, rows[i].after, "row %zu", i);
    }
}

#define ROWS(rows) rows, sizeof(rows) / sizeof((rows)[0])

Test(shipment, given_each_state_when_scheduled_then_the_row_of_the_saga_holds)
{
    const struct row rows[] = {
        {SHIPMENT_NONE, done, SHIPMENT_ACCEPTED, SHIPMENT_SCHEDULED},
        {SHIPMENT_NONE, no, SHIPMENT_IS_REFUSED, SHIPMENT_REFUSED},
        {SHIPMENT_NONE, not_asked, SHIPMENT_WANTS_CARRIER_FIRST, SHIPMENT_NONE},
        {SHIPMENT_SCHEDULED, not_asked, SHIPMENT_ACCEPTED, SHIPMENT_SCHEDULED},
        {SHIPMENT_REFUSED, not_asked, SHIPMENT_IS_REFUSED, SHIPMENT_REFUSED},
        {SHIPMENT_CANCELLED, not_asked, SHIPMENT_IS_CANCELLED, SHIPMENT_CANCELLED},
        {SHIPMENT_CANCELLED, done, SHIPMENT_IS_CANCELLED, SHIPMENT_CANCELLED},
        {SHIPMENT_DISPATCHED, not_asked, SHIPMENT_IS_DISPATCHED, SHIPMENT_DISPATCHED},
        {SHIPMENT_DELIVERED, not_asked, SHIPMENT_IS_DISPATCHED, SHIPMENT_DELIVERED},
    };
    assert_rows(when_scheduled, ROWS(rows));
}

Test(shipment, given_each_state_when_cancelled_then_the_row_of_the_saga_holds)
{
    const struct row rows[] = {
        {SHIPMENT_NONE, done, SHIPMENT_ACCEPTED, SHIPMENT_CANCELLED},
        {SHIPMENT_SCHEDULED, done, SHIPMENT_ACCEPTED, SHIPMENT_CANCELLED},
        {SHIPMENT_REFUSED, done, SHIPMENT_ACCEPTED, SHIPMENT_REFUSED},
        {SHIPMENT_CANCELLED, done, SHIPMENT_ACCEPTED, SHIPMENT_CANCELLED},
        {SHIPMENT_DISPATCHED, not_asked, SHIPMENT_IS_DISPATCHED, SHIPMENT_DISPATCHED},
        {SHIPMENT_DELIVERED, not_asked, SHIPMENT_IS_DISPATCHED, SHIPMENT_DELIVERED},
        {SHIPMENT_SCHEDULED, no, SHIPMENT_CANCEL_REFUSED, SHIPMENT_SCHEDULED},
        {SHIPMENT_CANCELLED, not_asked, SHIPMENT_WANTS_CARRIER_FIRST, SHIPMENT_CANCELLED},
    };
    assert_rows(when_cancelled, ROWS(rows));
}

Test(shipment, given_each_state_when_dispatched_then_only_a_confirmed_orders_parcel_leaves)
{
    const struct row rows[] = {
        {SHIPMENT_NONE, done, SHIPMENT_NOT_SCHEDULED, SHIPMENT_NONE},
        {SHIPMENT_SCHEDULED, done, SHIPMENT_ACCEPTED, SHIPMENT_DISPATCHED},
        {SHIPMENT_SCHEDULED, not_asked, SHIPMENT_ORDER_NOT_CONFIRMED, SHIPMENT_SCHEDULED},
        {SHIPMENT_REFUSED, done, SHIPMENT_NOT_SCHEDULED, SHIPMENT_REFUSED},
        {SHIPMENT_CANCELLED, done, SHIPMENT_IS_CANCELLED, SHIPMENT_CANCELLED},
        {SHIPMENT_DISPATCHED, done, SHIPMENT_ACCEPTED, SHIPMENT_DISPATCHED},
        {SHIPMENT_DELIVERED, done, SHIPMENT_ACCEPTED, SHIPMENT_DELIVERED},
    };
    assert_rows(when_dispatched, ROWS(rows));
}

Test(shipment, given_each_state_when_delivered_then_only_a_dispatched_parcel_arrives)
{
    const struct row rows[] = {
        {SHIPMENT_NONE, done, SHIPMENT_NOT_DISPATCHED, SHIPMENT_NONE},
        {SHIPMENT_SCHEDULED, done, SHIPMENT_NOT_DISPATCHED, SHIPMENT_SCHEDULED},
        {SHIPMENT_REFUSED, done, SHIPMENT_NOT_DISPATCHED, SHIPMENT_REFUSED},
        {SHIPMENT_CANCELLED, done, SHIPMENT_NOT_DISPATCHED, SHIPMENT_CANCELLED},
        {SHIPMENT_DISPATCHED, done, SHIPMENT_ACCEPTED, SHIPMENT_DELIVERED},
        {SHIPMENT_DELIVERED, done, SHIPMENT_ACCEPTED, SHIPMENT_DELIVERED},
    };
    assert_rows(when_delivered, ROWS(rows));
}

Test(shipment, given_a_refused_shipment_when_scheduled_again_then_the_answer_is_the_same)
{
    struct shipment_decision first = when_scheduled(given(SHIPMENT_NONE), no);
    struct shipment shipment = shipment_evolve((struct shipment){0}, &first.events[0]);
    cr_assert(str_eq(first.detail, when_scheduled(shipment, not_asked).detail));
}

Test(shipment, given_each_state_when_cancelling_then_the_carrier_is_asked_until_the_parcel_has_left)
{
    for (int status = SHIPMENT_NONE; status <= SHIPMENT_DELIVERED; status++) {
        struct shipment shipment = given((enum shipment_status)status);
        cr_assert_eq(shipment_cancel_asks(&shipment), status < SHIPMENT_DISPATCHED);
        cr_assert_eq(shipment_schedule_asks(&shipment), status == SHIPMENT_NONE);
    }
}
