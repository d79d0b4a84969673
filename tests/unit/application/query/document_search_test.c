// SPDX-License-Identifier: Apache-2.0
// A document looked for in the log: candidates, pages, snapshots, limits.
// registry: tests/contexts/registry.c
#include <criterion/criterion.h>
#include <string.h>

#include "application/query/document_search.h"

static struct arena arena;

static void open_arena(void)
{
    arena_init(&arena, 8 * 1024, 1024 * 1024);
}

static void close_arena(void)
{
    arena_free(&arena);
}

TestSuite(document_search, .init = open_arena, .fini = close_arena, .timeout = 10);

static const char key[] = "01930909-0909-7001-8001-000000000000";

static struct document_search search; // its folds stay at their place

static void given_a_search(void)
{
    const struct document_id id = {STR("main"), STR("counters"), STR(key)};
    document_search_begin(&search, context_projection(STR("counters")), &id, &arena);
}

static struct recorded_event row_at(struct uuid stream, int32_t version)
{
    return (struct recorded_event){
        .tenant = STR("main"),
        .category = STR("counter"),
        .stream = stream,
        .version = version,
        .id = {{1}},
        .kind = RECORD_EVENT,
        .type = version == 1 ? STR("CounterOpened") : STR("CounterAdded"),
        .data = version == 1 ? STR("{\"owner\":\"ana\",\"start\":0}") : STR("{\"amount\":1}")};
}

Test(document_search, given_a_key_that_is_an_id_then_both_meanings_are_looked_for)
{
    given_a_search();
    cr_assert_eq(search.count, 2);
    struct uuid id;
    cr_assert(uuid_parse(STR(key), false, &id));
    cr_assert(uuid_eq(search.queries[0].stream, id));
    cr_assert(uuid_eq(search.queries[1].stream, uuid_named(STR("main"), STR("counter"), STR(key))));
    cr_assert_eq(search.queries[0].document_codec, 1);
}

Test(document_search, given_pages_then_the_document_is_found_and_snapshots_are_left)
{
    given_a_search();
    struct recorded_event first[60];
    struct recorded_event second[60];
    for (int32_t i = 0; i < 60; i++) {
        first[i] = row_at(search.queries[0].stream, 1 + i);
        second[i] = row_at(search.queries[0].stream, 61 + i);
    }
    struct stream_rows pages[2] = {{.rows = first, .count = 60, .more = true}, {.count = 0}};
    cr_assert_eq(document_search_take(&search, pages), STATUS_OK);
    cr_assert(search.between_pages);
    cr_assert_eq(search.snapshot_count, 0);
    cr_assert_eq(document_search_version(&search), 60);
    cr_assert_eq(search.queries[0].after_version, 60);
    cr_assert_eq(search.queries[0].document_codec, 0);
    document_search_give_up(&search); // as if its time ended here
    cr_assert_eq(search.snapshot_count, 1);
    cr_assert_eq(search.snapshots[0].version, 60);
    search.folds[0].snapshot_at = 0; // it did not
    pages[0] = (struct stream_rows){.rows = second, .count = 60};
    cr_assert_eq(document_search_take(&search, pages), STATUS_OK);
    cr_assert_not(search.between_pages);
    cr_assert_eq(search.snapshot_count, 1);
    cr_assert_eq(search.snapshots[0].version, 120);
    struct document document;
    cr_assert_eq(document_search_finish(&search, &document), STATUS_OK);
    cr_assert_eq(document.version, 120);
    cr_assert(str_eq(document.body, search.snapshots[0].bytes), "a document is its own snapshot");
}

Test(document_search, given_another_tenants_snapshot_then_there_is_none)
{
    given_a_search();
    struct stream_rows pages[2] = {{.document = {.version = 300,
                                                 .bytes = STR("{}"),
                                                 .tenant = STR("other"),
                                                 .category = STR("counter")}}};
    cr_assert_eq(document_search_take(&search, pages), STATUS_OK);
    cr_assert_not(search.between_pages);
    struct document document;
    cr_assert_eq(document_search_finish(&search, &document), STATUS_OK);
    cr_assert_eq(document.version, 0);
}

Test(document_search, given_an_unreadable_snapshot_then_the_same_is_asked_for_without)
{
    given_a_search();
    struct stream_rows pages[2] = {{.document = {.version = 300,
                                                 .bytes = STR("[]"),
                                                 .tenant = STR("main"),
                                                 .category = STR("counter")}}};
    cr_assert_eq(document_search_take(&search, pages), STATUS_OK);
    cr_assert(search.between_pages);
    cr_assert_eq(search.queries[0].after_version, 0);
    cr_assert_eq(search.queries[0].document_codec, 0);
}

Test(document_search, given_an_event_past_the_arena_then_the_limit_is_told)
{
    static char large[1024 * 1024];
    given_a_search();
    memset(large, ' ', sizeof(large));
    struct recorded_event row = row_at(search.queries[0].stream, 1);
    row.data = (struct str){large, sizeof(large)};
    struct stream_rows pages[2] = {{.rows = &row, .count = 1}};
    cr_assert_eq(document_search_take(&search, pages), STATUS_NO_MEMORY);
}
