// SPDX-License-Identifier: Apache-2.0
// A cache that could not be written to is emptied once it is back, and not before.
#include "infrastructure/postgres/cache_debt.h"

#include <criterion/criterion.h>

#include "../support/test_database.h"
#include "base/arena.h"
#include "infrastructure/memory/document_store_memory.h"
#include "infrastructure/postgres/connection.h"

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

static struct postgres *postgres;
static struct document_store *cache;

// A cache that is away, and one that another failed write overtakes while it is emptied.
static enum status drop_away(struct document_store *store, struct str tenant, struct str collection)
{
    (void)store, (void)tenant, (void)collection;
    return STATUS_UNAVAILABLE;
}

static enum status drop_overtaken(struct document_store *store, struct str tenant,
                                  struct str collection)
{
    (void)store, (void)tenant, (void)collection;
    return cache_debt_note(postgres, STR("p"));
}

static void put_one(struct str tenant)
{
    struct document document = {.tenant = tenant,
                                .collection = STR("orders"),
                                .key = STR("k"),
                                .version = 1,
                                .body = STR("{}")};
    cr_assert_eq(document_store_put(cache, &document, 1), STATUS_OK);
}

static bool settle(struct document_store *store)
{
    bool settled = false;
    cr_assert_eq(cache_debt_settle(postgres, store, &settled), STATUS_OK);
    return settled;
}

// One test, since its parts share the one table.
Test(cache_debt, given_a_note_when_settled_then_the_cache_is_emptied_once)
{
    postgres = postgres_new(&(struct postgres_options){.conninfo = test_database(),
                                                       .application_name = "cache_debt_test"});
    cache = document_store_memory_new(10);
    put_one(STR("main"));
    put_one(STR("another")); // a note does not say whose document was missed
    cr_assert_not(settle(cache));
    cr_assert_eq(document_store_memory_count(cache), 2);

    cr_assert_eq(cache_debt_note(postgres, STR("p")), STATUS_OK);
    cr_assert_eq(cache_debt_note(postgres, STR("p")), STATUS_OK);
    static const struct document_store_ops away_ops = {.drop = drop_away};
    struct document_store away = {&away_ops};
    bool settled = false;
    cr_assert_eq(cache_debt_settle(postgres, &away, &settled), STATUS_UNAVAILABLE);

    static const struct document_store_ops overtaken_ops = {.drop = drop_overtaken};
    struct document_store overtaken = {&overtaken_ops};
    cr_assert(settle(&overtaken));
    cr_assert(settle(cache), "a note renewed while the cache was emptied must stay");
    cr_assert_eq(document_store_memory_count(cache), 0);
    cr_assert_not(settle(cache));
    document_store_memory_free(cache);
    postgres_free(postgres);
}
