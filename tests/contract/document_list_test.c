// SPDX-License-Identifier: Apache-2.0
// Pages of the read schema's lists: every shape, in order, by keyset, nothing missed or repeated.
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "../support/test_database.h"
#include "base/arena.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/document_store_postgres.h"
#include "infrastructure/postgres/statement.h"

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

static struct arena arena;
static struct postgres *postgres;
static struct document_store *store;
static struct str tenant;

static void set_up(void)
{
    static int tests;
    arena_init(&arena, 64 * 1024, 16 * 1024 * 1024);
    postgres = postgres_new(&(struct postgres_options){.conninfo = test_database(),
                                                       .application_name = "document_list_test"});
    store = document_store_postgres_new(postgres);
    tenant = arena_printf(&arena, "t%d-%d", (int)getpid(), tests++);
}

static void tear_down(void)
{
    document_store_postgres_free(store);
    postgres_free(postgres);
    arena_free(&arena);
}

TestSuite(document_list, .init = set_up, .fini = tear_down);

static void given_one(const char *key, const char *owner, const char *filter, bool listed)
{
    struct document document = {
        .tenant = tenant,
        .collection = STR("orders"),
        .key = str_from(key),
        .stream = uuid_named(tenant, STR("order"), str_from(key)),
        .version = 1,
        .at = {1, 1, 1},
        .owner = str_from(owner),
        .filter = str_from(filter),
        .sort = str_from(key),
        .listed = listed,
        .body = STR("{}"),
    };
    cr_assert_eq(document_store_put(store, &document, 1), STATUS_OK);
}

static void given_some(void)
{
    given_one("a", "ana", "placed", true);
    given_one("B", "ana", "confirmed", true);
    given_one("c", "ana", "placed", true);
    given_one("d", "bia", "placed", true);
    given_one("e", "ana", "placed", false);
    given_one("f", "", "", true);
}

// The keys of a page, one after another: "abc".
static const char *keys_of(struct document_page page)
{
    page.tenant = tenant;
    page.collection = STR("orders");
    page.limit = page.limit == 0 ? 100 : page.limit;
    struct statement statement;
    cr_assert_eq(statement_list_documents(&page, &arena, &statement), STATUS_OK);
    PGresult *result = NULL;
    cr_assert_eq(postgres_run(postgres, &statement, POSTGRES_READS, &result), STATUS_OK, "%s",
                 postgres_error(postgres));
    struct document *documents;
    size_t count;
    cr_assert_eq(statement_list_documents_read(result, &arena, &documents, &count), STATUS_OK);
    PQclear(result);
    char *keys = arena_alloc(&arena, count + 1);
    for (size_t at = 0; at < count; at++) {
        keys[at] = documents[at].key.data[0];
        cr_assert(documents[at].listed);
    }
    return keys;
}

Test(document_list, given_documents_when_listed_then_only_the_owners_listed_ones_in_byte_order)
{
    given_some();
    cr_assert_str_eq(keys_of((struct document_page){.owner = STR("ana")}), "Bac");
    cr_assert_str_eq(keys_of((struct document_page){.owner = STR("bia")}), "d");
    cr_assert_str_eq(keys_of((struct document_page){.owner = STR("")}), "f");
}

Test(document_list, given_documents_when_listed_newest_first_then_the_order_turns)
{
    given_some();
    struct document_page page = {.owner = STR("ana"), .newest_first = true};
    cr_assert_str_eq(keys_of(page), "caB");
}

Test(document_list, given_documents_when_filtered_then_only_those)
{
    given_some();
    struct document_page page = {.owner = STR("ana"), .filter = STR("placed")};
    cr_assert_str_eq(keys_of(page), "ac");
    page.newest_first = true;
    cr_assert_str_eq(keys_of(page), "ca");
    page.filter = STR("shipped");
    cr_assert_str_eq(keys_of(page), "");
}

Test(document_list, given_documents_when_listed_for_any_owner_then_all_listed_ones)
{
    given_some();
    struct document_page page = {.any_owner = true};
    cr_assert_str_eq(keys_of(page), "Bacdf");
    page.newest_first = true;
    cr_assert_str_eq(keys_of(page), "fdcaB");
    page.filter = STR("placed");
    cr_assert_str_eq(keys_of(page), "dca");
    page.newest_first = false;
    cr_assert_str_eq(keys_of(page), "acd");
}

Test(document_list, given_a_page_when_going_on_after_its_last_then_the_rest_follows)
{
    given_some();
    struct document_page page = {.owner = STR("ana"), .limit = 2};
    cr_assert_str_eq(keys_of(page), "Ba");
    page.after = STR("a");
    cr_assert_str_eq(keys_of(page), "c");
    page = (struct document_page){.owner = STR("ana"), .limit = 2, .newest_first = true};
    cr_assert_str_eq(keys_of(page), "ca");
    page.after = STR("a");
    cr_assert_str_eq(keys_of(page), "B");
    page.filter = STR("placed");
    page.after = STR("c");
    cr_assert_str_eq(keys_of(page), "a");
    page.any_owner = true;
    cr_assert_str_eq(keys_of(page), "a");
}

Test(document_list, given_pages_newest_first_when_others_are_placed_meanwhile_then_none_repeats)
{
    given_one("b", "ana", "placed", true);
    given_one("c", "ana", "placed", true);
    struct document_page page = {.owner = STR("ana"), .limit = 1, .newest_first = true};
    cr_assert_str_eq(keys_of(page), "c");
    given_one("d", "ana", "placed", true);
    page.after = STR("c");
    cr_assert_str_eq(keys_of(page), "b");
}
