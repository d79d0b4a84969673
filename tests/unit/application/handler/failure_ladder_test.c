// SPDX-License-Identifier: Apache-2.0
// Where a failed message goes, attempt by attempt.
#include "application/handler/failure_ladder.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena arena;

static void open_arena(void)
{
    arena_init(&arena, 4096, 64 * 1024);
}

static void close_arena(void)
{
    arena_free(&arena);
}

TestSuite(failure_ladder, .init = open_arena, .fini = close_arena);

static struct message copy_of(struct message failed, enum message_outcome outcome, bool *dead)
{
    struct message copy;
    cr_assert_eq(failure_ladder_copy(STR("comanda.payment"), &failed, outcome, STR("no answer"), 77,
                                     &arena, &copy, dead),
                 STATUS_OK);
    return copy;
}

Test(failure_ladder, given_a_transient_failure_when_repeated_then_it_climbs_to_the_dead_letters)
{
    static const char *const keys[] = {"comanda.payment.1", "comanda.payment.2",
                                       "comanda.payment.3", "comanda.payment"};
    struct message message = {.body = STR("{}")};
    for (int at = 0; at < 4; at++) {
        bool dead = false;
        message = copy_of(message, MESSAGE_TRANSIENT, &dead);
        cr_assert(str_eq(message.routing_key, str_from(keys[at])));
        cr_assert_eq(dead, at == 3);
        cr_assert(str_eq(message.exchange, at == 3 ? STR("comanda.dead") : STR("comanda.retry")));
        cr_assert_eq(message.attempts.count, at + 1);
    }
}

Test(failure_ladder, given_poison_when_it_fails_then_it_is_dead_at_once)
{
    bool dead = false;
    struct message copy = copy_of((struct message){.body = STR("{}")}, MESSAGE_POISON, &dead);
    cr_assert(dead);
    cr_assert(str_eq(copy.exchange, STR("comanda.dead")));
    cr_assert(str_eq(copy.attempts.cause, STR("no answer")));
}

Test(failure_ladder, given_a_second_failure_when_copied_then_the_first_ones_time_stays)
{
    bool dead = false;
    struct message failed = {.body = STR("body"),
                             .content_type = STR("text/plain"),
                             .attempts = {.count = 1, .first_at_us = 5, .last_at_us = 6}};
    struct message copy = copy_of(failed, MESSAGE_TRANSIENT, &dead);
    cr_assert_eq(copy.attempts.first_at_us, 5);
    cr_assert_eq(copy.attempts.last_at_us, 77);
    cr_assert(str_eq(copy.body, failed.body));
    cr_assert(str_eq(copy.content_type, failed.content_type));
}

Test(failure_ladder, given_forged_counts_when_copied_then_they_cannot_overflow)
{
    bool dead = false;
    struct message below = {.attempts = {.count = INT32_MIN}};
    cr_assert_eq(copy_of(below, MESSAGE_TRANSIENT, &dead).attempts.count, 1);
    cr_assert_not(dead);
    struct message above = {.attempts = {.count = INT32_MAX}};
    cr_assert_eq(copy_of(above, MESSAGE_TRANSIENT, &dead).attempts.count, INT32_MAX);
    cr_assert(dead);
}

Test(failure_ladder, given_a_long_cause_when_copied_then_it_is_cut_between_characters)
{
    char text[600];
    memset(text, 'x', sizeof(text));
    memcpy(text + FAILURE_CAUSE_MAX - 1, "\xc3\xa9", 2); // its second byte would be the first cut
    struct message copy;
    struct message failed = {.body = STR("")};
    bool dead = false;
    cr_assert_eq(failure_ladder_copy(STR("q"), &failed, MESSAGE_TRANSIENT,
                                     (struct str){text, sizeof(text)}, 1, &arena, &copy, &dead),
                 STATUS_OK);
    cr_assert_eq(copy.attempts.cause.len, FAILURE_CAUSE_MAX - 1);
}
