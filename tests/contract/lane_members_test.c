// SPDX-License-Identifier: Apache-2.0
// One suite for who serves a role's lanes: in memory and in PostgreSQL.
#include "application/ports/lane_members.h"

#include <criterion/criterion.h>
#include <poll.h>

#include "../support/test_database.h"
#include "infrastructure/memory/lane_members_memory.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/lane_members_postgres.h"

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

static struct lane_members *memory;
static struct lane_members *table;
static struct postgres *postgres;

static void open_both(void)
{
    const struct postgres_options options = {.conninfo = test_database()};
    postgres = postgres_new(&options);
    memory = lane_members_memory_new();
    table = lane_members_postgres_new(postgres);
    cr_assert_not_null(memory);
    cr_assert_not_null(table);
}

static void close_both(void)
{
    lane_members_memory_free(memory);
    lane_members_postgres_free(table);
    postgres_free(postgres);
}

// The roles of one test are its own.
#define PROMISE(name)                                                        \
    static void name(struct lane_members *members, const char *role);        \
    Test(lane_members_memory, name, .init = open_both, .fini = close_both)   \
    {                                                                        \
        name(memory, #name);                                                 \
    }                                                                        \
    Test(lane_members_postgres, name, .init = open_both, .fini = close_both) \
    {                                                                        \
        name(table, #name);                                                  \
    }                                                                        \
    static void name(struct lane_members *members, const char *role)

enum { LONG_MS = 600000, SHORT_MS = 50, PATIENCE_MS = 30000 };

static struct uuid member(unsigned char number)
{
    return (struct uuid){.bytes = {number}};
}

static size_t look(struct lane_members *members, const char *role, unsigned char own, int stale_ms,
                   struct uuid all[LANE_MEMBERS_MAX])
{
    size_t count = 0;
    cr_assert_eq(lane_members_look(members, str_from(role), member(own), stale_ms, all, &count),
                 STATUS_OK);
    return count;
}

PROMISE(who_looks_sees_itself)
{
    struct uuid all[LANE_MEMBERS_MAX];
    cr_assert_eq(look(members, role, 5, LONG_MS, all), 1);
    cr_assert(uuid_eq(all[0], member(5)));
    cr_assert_eq(look(members, role, 5, LONG_MS, all), 1, "not twice");
}

PROMISE(all_see_the_same_in_the_same_order)
{
    struct uuid all[LANE_MEMBERS_MAX];
    (void)look(members, role, 7, LONG_MS, all);
    (void)look(members, role, 3, LONG_MS, all);
    cr_assert_eq(look(members, role, 5, LONG_MS, all), 3);
    cr_assert(uuid_eq(all[0], member(3)) && uuid_eq(all[1], member(5)) &&
              uuid_eq(all[2], member(7)));
}

PROMISE(roles_are_apart)
{
    struct uuid all[LANE_MEMBERS_MAX];
    (void)look(members, role, 7, LONG_MS, all);
    cr_assert_eq(look(members, "another", 3, LONG_MS, all), 1);
}

PROMISE(who_leaves_is_gone_at_once)
{
    struct uuid all[LANE_MEMBERS_MAX];
    (void)look(members, role, 7, LONG_MS, all);
    cr_assert_eq(lane_members_leave(members, str_from(role), member(7)), STATUS_OK);
    cr_assert_eq(lane_members_leave(members, str_from(role), member(7)), STATUS_OK);
    cr_assert_eq(look(members, role, 3, LONG_MS, all), 1);
}

PROMISE(who_is_silent_is_gone_after_a_while)
{
    struct uuid all[LANE_MEMBERS_MAX];
    (void)look(members, role, 7, LONG_MS, all);
    size_t count = 2;
    for (int waited = 0; count == 2 && waited < PATIENCE_MS; waited += 20) {
        (void)poll(NULL, 0, 20);
        count = look(members, role, 3, SHORT_MS, all);
    }
    cr_assert_eq(count, 1);
    cr_assert(uuid_eq(all[0], member(3)));
}
