// SPDX-License-Identifier: Apache-2.0
// Unit tests of the window of confirms: any order, several at once, returns before their ack.
#include "infrastructure/rabbitmq/confirm_window.h"

#include <criterion/criterion.h>

static struct confirm_window window;
static enum publish_outcome outcomes[16];

static void set_up(void)
{
    cr_assert_eq(confirm_window_init(&window, 8), STATUS_OK);
}

static void tear_down(void)
{
    confirm_window_free(&window);
}

TestSuite(confirm_window, .init = set_up, .fini = tear_down);

static struct uuid id_of(unsigned char number)
{
    return (struct uuid){.bytes = {[15] = number}};
}

static void given_published(unsigned char from, unsigned char to)
{
    for (unsigned char number = from; number <= to; number++) {
        confirm_window_add(&window, id_of(number));
    }
}

Test(confirm_window, given_confirms_out_of_order_when_taken_then_they_come_in_order)
{
    given_published(1, 3);
    confirm_window_confirm(&window, 3, false, PUBLISHED);
    confirm_window_confirm(&window, 2, false, PUBLISHED);
    cr_assert_eq(confirm_window_take(&window, 16, outcomes), 0);
    confirm_window_confirm(&window, 1, false, PUBLISHED);
    cr_assert_eq(confirm_window_take(&window, 16, outcomes), 3);
    cr_assert_eq(confirm_window_room(&window), 8);
}

Test(confirm_window, given_a_multiple_confirm_when_taken_then_it_means_all_up_to_it)
{
    given_published(1, 5);
    confirm_window_confirm(&window, 4, true, PUBLISHED);
    cr_assert_eq(confirm_window_take(&window, 16, outcomes), 4);
    confirm_window_confirm(&window, 0, true, PUBLISHED); // tag 0: all so far
    cr_assert_eq(confirm_window_take(&window, 16, outcomes), 1);
}

Test(confirm_window, given_a_return_when_its_ack_follows_then_the_outcome_is_returned)
{
    given_published(1, 3);
    confirm_window_return(&window, id_of(2));
    confirm_window_confirm(&window, 3, true, PUBLISHED);
    cr_assert_eq(confirm_window_take(&window, 16, outcomes), 3);
    cr_assert_eq(outcomes[0], PUBLISHED);
    cr_assert_eq(outcomes[1], RETURNED);
    cr_assert_eq(outcomes[2], PUBLISHED);
}

Test(confirm_window, given_one_id_twice_when_both_are_returned_then_both_are_marked)
{
    given_published(7, 7);
    given_published(7, 7);
    confirm_window_return(&window, id_of(7));
    confirm_window_return(&window, id_of(7));
    confirm_window_confirm(&window, 2, true, PUBLISHED);
    cr_assert_eq(confirm_window_take(&window, 16, outcomes), 2);
    cr_assert(outcomes[0] == RETURNED && outcomes[1] == RETURNED);
}

Test(confirm_window, given_a_nack_when_taken_then_the_outcome_is_nacked_and_stays_so)
{
    given_published(1, 2);
    confirm_window_confirm(&window, 1, false, NACKED);
    confirm_window_confirm(&window, 2, true, PUBLISHED);
    cr_assert_eq(confirm_window_take(&window, 16, outcomes), 2);
    cr_assert_eq(outcomes[0], NACKED);
    cr_assert_eq(outcomes[1], PUBLISHED);
}

Test(confirm_window, given_a_gap_when_asked_what_is_known_then_what_stands_behind_it_is_told_too)
{
    given_published(1, 1);
    confirm_window_abandon(&window);
    given_published(2, 4);
    confirm_window_confirm(&window, 3, false, PUBLISHED);
    confirm_window_confirm(&window, 4, false, NACKED);
    confirm_window_known(&window, 16, outcomes);
    cr_assert(outcomes[0] == UNSETTLED && outcomes[1] == PUBLISHED && outcomes[2] == NACKED);
    cr_assert_eq(confirm_window_take(&window, 16, outcomes), 0, "nothing was handed out");
}

Test(confirm_window, given_foreign_tags_when_confirmed_then_nothing_happens)
{
    given_published(1, 2);
    confirm_window_confirm(&window, 9, false, PUBLISHED);
    confirm_window_confirm(&window, 3, true, PUBLISHED);
    confirm_window_confirm(&window, 0, false, PUBLISHED);
    confirm_window_return(&window, id_of(99));
    cr_assert_eq(confirm_window_take(&window, 16, outcomes), 0);
}

Test(confirm_window, given_abandoned_ones_when_confirmed_then_they_go_without_a_word)
{
    given_published(1, 3);
    confirm_window_abandon(&window);
    given_published(4, 4);
    confirm_window_confirm(&window, 4, true, PUBLISHED);
    cr_assert_eq(confirm_window_take(&window, 1, outcomes), 1);
    cr_assert_eq(confirm_window_used(&window), 0);
}

Test(confirm_window, given_many_rounds_when_the_ring_wraps_then_nothing_is_mixed_up)
{
    for (unsigned char round = 0; round < 100; round++) {
        given_published(1, 5);
        confirm_window_confirm(&window, (uint64_t)round * 5 + 5, true, PUBLISHED);
        cr_assert_eq(confirm_window_take(&window, 16, outcomes), 5);
    }
}

Test(confirm_window, given_a_fresh_channel_when_reset_then_tags_begin_at_one)
{
    given_published(1, 3);
    confirm_window_reset(&window);
    given_published(4, 4);
    confirm_window_confirm(&window, 1, false, PUBLISHED);
    cr_assert_eq(confirm_window_take(&window, 16, outcomes), 1);
}
