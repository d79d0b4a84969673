// SPDX-License-Identifier: Apache-2.0
// The reservation's rules, row by row, and the stock that moves with it.
#include "domain/inventory/reservation.h"

#include <criterion/criterion.h>

static const struct line_list lines = {{{{"A", 1}, 2}, {{"B", 1}, 3}}, 2};

static struct reservation given(enum reservation_status status)
{
    bool held = status == RESERVATION_MADE || status == RESERVATION_COMMITTED;
    return (struct reservation){.status = status,
                                .lines = held ? lines : (struct line_list){.count = 0},
                                .short_sku = STR("B")};
}

static struct reservation_decision when_reserved(struct reservation reservation, int64_t b_on_hand)
{
    struct stock_item a = {.on_hand = 2}, b = {.on_hand = b_on_hand};
    const struct stock_item *items[] = {&a, &b};
    return reservation_reserve(&reservation, &lines, items);
}

static struct reservation_decision when_reserved_from_plenty(struct reservation reservation)
{
    return when_reserved(reservation, 3);
}

static struct reservation_decision when_reserved_from_little(struct reservation reservation)
{
    return when_reserved(reservation, 2);
}

static struct reservation_decision when_released(struct reservation reservation)
{
    return reservation_release(&reservation, &lines);
}

static struct reservation_decision when_committed(struct reservation reservation)
{
    return reservation_commit(&reservation, &lines);
}

struct row {
    enum reservation_status status;
    enum reservation_refusal refusal;
    bool moves_stock;
    enum reservation_status after;
};

static void assert_rows(struct reservation_decision (*when)(struct reservation),
                        const struct row rows[5])
{
    for (int i = 0; i < 5; i++) {
        struct reservation reservation = given(rows[i].status);
        struct reservation_decision decision = when(reservation);
        if (decision.event_count > 0) {
            reservation = reservation_evolve(reservation, &decision.events[0]);
        }
        cr_expect_eq(decision.refusal, rows[i].refusal, "row %d", i);
        cr_expect_eq(decision.moves_stock, rows[i].moves_stock, "row %d", i);
        cr_expect_eq(decision.event_count, rows[i].status != rows[i].after, "row %d", i);
        cr_expect_eq(reservation.status, rows[i].after, "row %d", i);
    }
}

Test(reservation, given_each_state_when_reserved_then_the_row_of_the_saga_holds)
{
    static const struct row rows[] = {
        {RESERVATION_NONE, RESERVATION_ACCEPTED, true, RESERVATION_MADE},
        {RESERVATION_MADE, RESERVATION_ACCEPTED, false, RESERVATION_MADE},
        {RESERVATION_REFUSED, RESERVATION_STOCK_SHORT, false, RESERVATION_REFUSED},
        {RESERVATION_RELEASED, RESERVATION_IS_RELEASED, false, RESERVATION_RELEASED},
        {RESERVATION_COMMITTED, RESERVATION_IS_COMMITTED, false, RESERVATION_COMMITTED},
    };
    assert_rows(when_reserved_from_plenty, rows);
}

Test(reservation, given_each_state_when_stock_is_short_then_only_the_first_time_matters)
{
    static const struct row rows[] = {
        {RESERVATION_NONE, RESERVATION_STOCK_SHORT, false, RESERVATION_REFUSED},
        {RESERVATION_MADE, RESERVATION_ACCEPTED, false, RESERVATION_MADE},
        {RESERVATION_REFUSED, RESERVATION_STOCK_SHORT, false, RESERVATION_REFUSED},
        {RESERVATION_RELEASED, RESERVATION_IS_RELEASED, false, RESERVATION_RELEASED},
        {RESERVATION_COMMITTED, RESERVATION_IS_COMMITTED, false, RESERVATION_COMMITTED},
    };
    assert_rows(when_reserved_from_little, rows);
}

Test(reservation, given_each_state_when_released_then_the_row_of_the_saga_holds)
{
    static const struct row rows[] = {
        {RESERVATION_NONE, RESERVATION_ACCEPTED, false, RESERVATION_RELEASED},
        {RESERVATION_MADE, RESERVATION_ACCEPTED, true, RESERVATION_RELEASED},
        {RESERVATION_REFUSED, RESERVATION_ACCEPTED, false, RESERVATION_REFUSED},
        {RESERVATION_RELEASED, RESERVATION_ACCEPTED, false, RESERVATION_RELEASED},
        {RESERVATION_COMMITTED, RESERVATION_IS_COMMITTED, false, RESERVATION_COMMITTED},
    };
    assert_rows(when_released, rows);
}

Test(reservation, given_each_state_when_committed_then_the_row_of_the_saga_holds)
{
    static const struct row rows[] = {
        {RESERVATION_NONE, RESERVATION_NOT_MADE, false, RESERVATION_NONE},
        {RESERVATION_MADE, RESERVATION_ACCEPTED, true, RESERVATION_COMMITTED},
        {RESERVATION_REFUSED, RESERVATION_NOT_MADE, false, RESERVATION_REFUSED},
        {RESERVATION_RELEASED, RESERVATION_IS_RELEASED, false, RESERVATION_RELEASED},
        {RESERVATION_COMMITTED, RESERVATION_ACCEPTED, false, RESERVATION_COMMITTED},
    };
    assert_rows(when_committed, rows);
}

Test(reservation, given_one_item_short_when_reserved_then_it_is_named_and_remembered)
{
    struct reservation_decision decision = when_reserved_from_little(given(RESERVATION_NONE));
    cr_assert(str_eq(decision.short_sku, STR("B")));
    struct reservation after = reservation_evolve(given(RESERVATION_NONE), &decision.events[0]);
    cr_assert(str_eq(when_reserved_from_plenty(after).short_sku, STR("B")));
}

Test(reservation, given_other_lines_when_released_or_committed_then_no_stock_moves)
{
    static const struct line_list others[] = {
        {{{{"A", 1}, 2}}, 1},
        {{{{"A", 1}, 2}, {{"B", 1}, 4}}, 2},
        {{{{"A", 1}, 2}, {{"C", 1}, 3}}, 2},
    };
    struct reservation made = given(RESERVATION_MADE);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(reservation_release(&made, &others[i]).refusal, RESERVATION_LINES_DIFFER);
        cr_assert_eq(reservation_commit(&made, &others[i]).refusal, RESERVATION_LINES_DIFFER);
    }
    static const struct line_list turned = {{{{"B", 1}, 3}, {{"A", 1}, 2}}, 2};
    cr_assert_eq(reservation_release(&made, &turned).refusal, RESERVATION_ACCEPTED);
}

Test(stock_item, given_its_events_when_applied_then_the_numbers_always_add_up)
{
    static const struct stock_event events[] = {
        {STOCK_RECEIVED, 10}, {STOCK_RESERVED, 4}, {STOCK_RELEASED, 1}, {STOCK_COMMITTED, 3}};
    struct stock_item item = {0};
    for (int i = 0; i < 4; i++) {
        item = stock_item_evolve(item, events[i]);
        cr_assert_eq(item.received, item.on_hand + item.reserved + item.committed);
    }
    cr_assert_eq(item.on_hand, 7);
    cr_assert_eq(item.reserved, 0);
    cr_assert_eq(item.committed, 3);
}

Test(stock_item, given_the_edge_of_numbers_when_received_then_the_sum_may_not_pass_it)
{
    struct stock_item item = {.received = STOCK_MAX - 1};
    cr_assert(stock_item_takes(&item, 1));
    cr_assert(!stock_item_takes(&item, 2));
    struct stock_item some = {.on_hand = 5};
    cr_assert(stock_item_has(&some, 5));
    cr_assert(!stock_item_has(&some, 6));
}
