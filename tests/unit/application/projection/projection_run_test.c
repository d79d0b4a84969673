// SPDX-License-Identifier: Apache-2.0
// Projections through the ports, on memory: a batch, and a rebuild that brings the same bytes back.
// registry: tests/unit/application/projection/tally_registry.c
#include "application/projection/projection_run.h"

#include <criterion/criterion.h>

#include "domain/bounded_context.h"
#include "infrastructure/memory/document_store_memory.h"
#include "infrastructure/memory/event_store_memory.h"

enum { TALLIES = 5, EVENTS = 9 };

static struct arena arena;
static struct projection_run run;

static void set_up(void)
{
    arena_init(&arena, 64 * 1024, 64 * 1024 * 1024);
    run = (struct projection_run){event_store_memory_new(16 * 1024 * 1024),
                                  document_store_memory_new(100), 2}; // reads in small parts
}

static void tear_down(void)
{
    document_store_memory_free(run.documents);
    event_store_memory_free(run.log);
    arena_free(&arena);
}

TestSuite(projection_run, .init = set_up, .fini = tear_down);

static struct str name_of(int tally)
{
    return arena_printf(&arena, "k%d", tally);
}

static struct uuid stream_of(int tally)
{
    return uuid_named(STR("main"), STR("tally"), name_of(tally));
}

static void given_event(int tally, int32_t version, const char *data)
{
    struct append_stream stream = {stream_of(tally), STR("tally"), version - 1};
    struct append_row row = {.id = uuid_derive(stream.id, arena_printf(&arena, "%d", version)),
                             .kind = RECORD_EVENT,
                             .type = version == 1 ? STR("Named") : STR("Added"),
                             .schema_version = 1,
                             .data = str_from(data),
                             .meta = STR("{}")};
    struct append_item item = {
        .tenant = STR("main"), .streams = &stream, .stream_count = 1, .rows = &row, .row_count = 1};
    struct append_verdict verdict;
    cr_assert_eq(event_store_append(run.log, &item, 1, &arena, &verdict), STATUS_OK);
    cr_assert_eq(verdict.outcome, APPENDED);
}

static void given_log(void)
{
    for (int32_t version = 1; version <= EVENTS; version++) {
        for (int tally = 0; tally < TALLIES; tally++) {
            given_event(tally, version,
                        version == 1 ? arena_printf(&arena, "{\"name\":\"k%d\"}", tally).data
                                     : arena_printf(&arena, "{\"by\":%d}", version + tally).data);
        }
    }
}

static struct document document_of(int tally)
{
    struct document_id id = {STR("main"), STR("tallies"), name_of(tally)};
    struct document found;
    cr_assert_eq(document_store_get(run.documents, &id, 1, &arena, &found), STATUS_OK);
    return found;
}

static struct projection_rebuild_report rebuild(size_t page)
{
    struct projection_rebuild_report report;
    cr_assert_eq(projection_rebuild(&run, context_projection(STR("tallies")), STR("main"), page,
                                    &arena, &report),
                 STATUS_OK);
    return report;
}

static void project(int tally, int32_t version)
{
    struct incoming hint = {.kind = RECORD_EVENT,
                            .tenant = STR("main"),
                            .category = STR("tally"),
                            .stream = stream_of(tally),
                            .version = version};
    const struct message_result *results;
    const struct document *cacheable;
    size_t count;
    cr_assert_eq(projection_run_batch(&run, &hint, 1, &arena, &results, &cacheable, &count),
                 STATUS_OK);
    cr_assert_eq(results[0].outcome, MESSAGE_HANDLED);
    cr_assert_eq(count, 1);
    cr_assert(str_eq(cacheable[0].body, document_of(tally).body));
}

Test(projection_run, given_hints_when_projected_then_the_documents_are_as_new_as_the_log)
{
    given_log();
    for (int tally = 0; tally < TALLIES; tally++) {
        project(tally, 3);
        cr_assert_eq(document_of(tally).version, EVENTS);
    }
}

Test(projection_run, given_documents_when_rebuilt_in_any_page_then_the_same_bytes_are_back)
{
    struct document before[TALLIES];
    given_log();
    for (int tally = 0; tally < TALLIES; tally++) {
        project(tally, 1);
        before[tally] = document_of(tally);
    }
    for (size_t page = 1; page <= 50; page += 7) {
        struct projection_rebuild_report report = rebuild(page);
        cr_assert_eq(report.events, TALLIES * EVENTS);
        cr_assert_eq(report.broken, 0);
        for (int tally = 0; tally < TALLIES; tally++) {
            struct document after = document_of(tally);
            cr_assert(str_eq(after.body, before[tally].body));
            cr_assert_eq(after.version, before[tally].version);
            cr_assert_eq(after.at.position, before[tally].at.position);
        }
    }
}

Test(projection_run, given_a_broken_event_when_rebuilt_then_it_is_counted_and_its_cause_is_told)
{
    given_log();
    given_event(2, EVENTS + 1, "{\"by\":\"many\"}");
    struct projection_rebuild_report report = rebuild(100);
    cr_assert_eq(report.broken, 1);
    cr_assert(report.cause.len > 0);
    cr_assert_eq(document_of(2).version, EVENTS);
    cr_assert_eq(document_of(1).version, EVENTS);
}

// A store in front of the one in memory that refuses tally 3, whatever comes with it.
static struct {
    struct document_store base;
    struct document_store *inner;
    enum status status;
} picky;

static enum status put_picky(struct document_store *store, const struct document *documents,
                             size_t count)
{
    (void)store;
    for (size_t at = 0; at < count; at++) {
        if (str_eq(documents[at].key, STR("k3"))) {
            return picky.status;
        }
    }
    return document_store_put(picky.inner, documents, count);
}

static enum status find_picky(struct document_store *store, const struct document_stream *streams,
                              size_t count, struct arena *into, struct document *documents)
{
    (void)store;
    return document_store_find(picky.inner, streams, count, into, documents);
}

static enum status drop_picky(struct document_store *store, struct str tenant,
                              struct str collection)
{
    (void)store;
    return document_store_drop(picky.inner, tenant, collection);
}

static const char *say_picky(const struct document_store *store)
{
    (void)store;
    return "no threes";
}

static const struct document_store_ops picky_ops = {
    .put = put_picky, .find = find_picky, .drop = drop_picky, .refusal = say_picky};

static struct projection_run picky_run(enum status status)
{
    picky.base.ops = &picky_ops;
    picky.inner = run.documents;
    picky.status = status;
    return (struct projection_run){run.log, &picky.base, run.rows_max};
}

Test(projection_run, given_a_document_that_is_refused_when_rebuilt_then_the_others_are_there)
{
    struct projection_rebuild_report report;
    given_log();
    struct projection_run refusing = picky_run(STATUS_INVALID);
    cr_assert_eq(projection_rebuild(&refusing, context_projection(STR("tallies")), STR("main"), 100,
                                    &arena, &report),
                 STATUS_OK);
    cr_assert_eq(report.broken, EVENTS);
    cr_assert_eq(report.events, TALLIES * EVENTS);
    cr_assert(str_eq(report.cause, STR("the read schema refuses the document: no threes")));
    for (int tally = 0; tally < TALLIES; tally++) {
        cr_assert_eq(document_of(tally).version, tally == 3 ? 0 : EVENTS);
    }
}

Test(projection_run, given_a_document_that_is_refused_when_projected_then_it_alone_is_poison)
{
    struct incoming hints[TALLIES];
    const struct message_result *results;
    const struct document *cacheable;
    size_t count;
    given_log();
    struct projection_run refusing = picky_run(STATUS_INVALID);
    for (int tally = 0; tally < TALLIES; tally++) {
        hints[tally] = (struct incoming){.kind = RECORD_EVENT,
                                         .tenant = STR("main"),
                                         .category = STR("tally"),
                                         .stream = stream_of(tally),
                                         .version = 1};
    }
    cr_assert_eq(
        projection_run_batch(&refusing, hints, TALLIES, &arena, &results, &cacheable, &count),
        STATUS_OK);
    cr_assert_eq(count, TALLIES - 1);
    for (int tally = 0; tally < TALLIES; tally++) {
        cr_assert_eq(results[tally].outcome, tally == 3 ? MESSAGE_POISON : MESSAGE_HANDLED);
    }
}

Test(projection_run, given_a_store_that_is_away_when_rebuilt_then_that_is_the_status)
{
    struct projection_rebuild_report report;
    given_log();
    struct projection_run away = picky_run(STATUS_UNAVAILABLE);
    cr_assert_eq(projection_rebuild(&away, context_projection(STR("tallies")), STR("main"), 100,
                                    &arena, &report),
                 STATUS_UNAVAILABLE);
}
