// SPDX-License-Identifier: Apache-2.0
// One suite for every register of suspect messages, in memory and in PostgreSQL.
#include "application/ports/suspect_register.h"

#include <criterion/criterion.h>
#include <sys/random.h>

#include "../support/test_database.h"
#include "infrastructure/memory/suspect_register_memory.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/suspect_register_postgres.h"

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
    (void)set;
    test_database_make();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    test_database_drop();
}

static struct suspect_register *memory;
static struct suspect_register *table;
static struct postgres *postgres;

static void open_both(void)
{
    const struct postgres_options options = {.conninfo = test_database()};
    postgres = postgres_new(&options);
    memory = suspect_register_memory_new(10);
    table = suspect_register_postgres_new(postgres);
    cr_assert_not_null(memory);
    cr_assert_not_null(table);
}

static void close_both(void)
{
    suspect_register_memory_free(memory);
    suspect_register_postgres_free(table);
    postgres_free(postgres);
}

#define PROMISE(name)                                                            \
    static void name(struct suspect_register *suspects);                         \
    Test(suspect_register_memory, name, .init = open_both, .fini = close_both)   \
    {                                                                            \
        name(memory);                                                            \
    }                                                                            \
    Test(suspect_register_postgres, name, .init = open_both, .fini = close_both) \
    {                                                                            \
        name(table);                                                             \
    }                                                                            \
    static void name(struct suspect_register *suspects)

static struct uuid new_message(void)
{
    struct uuid id;
    cr_assert_eq(getrandom(id.bytes, sizeof(id.bytes), 0), (ssize_t)sizeof(id.bytes));
    return id;
}

static int mark(struct suspect_register *suspects, struct str consumer, struct uuid message)
{
    int attempts = 0;
    cr_assert_eq(suspect_register_mark(suspects, consumer, message, &attempts), STATUS_OK);
    return attempts;
}

PROMISE(given_marks_when_counted_then_each_is_one_more)
{
    struct uuid message = new_message();
    cr_assert_eq(mark(suspects, STR("payment"), message), 1);
    cr_assert_eq(mark(suspects, STR("payment"), message), 2);
    cr_assert_eq(mark(suspects, STR("payment"), message), 3);
}

PROMISE(given_a_cleared_message_when_marked_then_it_counts_from_one)
{
    struct uuid message = new_message();
    (void)mark(suspects, STR("payment"), message);
    cr_assert_eq(suspect_register_clear(suspects, STR("payment"), &message, 1), STATUS_OK);
    cr_assert_eq(mark(suspects, STR("payment"), message), 1);
}

PROMISE(given_another_consumer_or_message_when_marked_then_they_are_apart)
{
    struct uuid message = new_message();
    (void)mark(suspects, STR("payment"), message);
    cr_assert_eq(mark(suspects, STR("shipping"), message), 1);
    cr_assert_eq(mark(suspects, STR("payment"), new_message()), 1);
}

PROMISE(given_a_message_that_was_not_marked_when_cleared_then_that_is_fine)
{
    struct uuid message = new_message();
    cr_assert_eq(suspect_register_clear(suspects, STR("payment"), &message, 1), STATUS_OK);
}

enum { GROUP = 4 };

static void given_group(struct uuid messages[GROUP])
{
    for (int at = 0; at < GROUP; at++) {
        messages[at] = new_message();
    }
}

static void then_known(struct suspect_register *suspects, const struct uuid messages[GROUP],
                       bool first, bool others)
{
    bool known[GROUP];
    cr_assert_eq(suspect_register_mark_group(suspects, STR("payment"), messages, GROUP, known),
                 STATUS_OK);
    cr_assert_eq(known[0], first);
    for (int at = 1; at < GROUP; at++) {
        cr_assert_eq(known[at], others, "message %d", at);
    }
}

PROMISE(given_a_group_when_marked_again_then_each_is_known_and_has_no_attempts_alone)
{
    struct uuid messages[GROUP];
    given_group(messages);
    then_known(suspects, messages, false, false);
    then_known(suspects, messages, true, true);
    cr_assert_eq(mark(suspects, STR("payment"), messages[1]), 1);
}

PROMISE(given_a_group_when_cleared_then_nothing_of_it_is_known)
{
    struct uuid messages[GROUP];
    given_group(messages);
    then_known(suspects, messages, false, false);
    cr_assert_eq(suspect_register_clear(suspects, STR("payment"), messages, GROUP), STATUS_OK);
    then_known(suspects, messages, false, false);
}

PROMISE(given_one_that_was_marked_alone_when_in_a_group_then_it_is_known_and_keeps_its_attempts)
{
    struct uuid messages[GROUP];
    given_group(messages);
    (void)mark(suspects, STR("payment"), messages[0]);
    then_known(suspects, messages, true, false);
    cr_assert_eq(mark(suspects, STR("payment"), messages[0]), 2);
}

PROMISE(given_one_message_twice_in_a_group_when_marked_then_that_is_fine)
{
    struct uuid messages[GROUP];
    given_group(messages);
    messages[2] = messages[3];
    then_known(suspects, messages, false, false);
    then_known(suspects, messages, true, true);
}

Test(suspect_register_memory, given_no_room_when_marked_then_it_says_so, .init = open_both,
     .fini = close_both)
{
    int attempts = 0;
    for (int at = 0; at < 10; at++) {
        (void)mark(memory, STR("payment"), new_message());
    }
    cr_assert_eq(suspect_register_mark(memory, STR("payment"), new_message(), &attempts),
                 STATUS_FULL);
}
