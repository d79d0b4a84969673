// SPDX-License-Identifier: Apache-2.0
// One suite for every event store: which snapshots are kept, and which are handed out.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/log_checks.h"
#include "../support/log_subject.h"
#include "../support/test_database.h"
#include "application/ports/event_store.h"

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

static struct uuid a_stream_of(struct log_subject *subject, int32_t length)
{
    struct uuid stream = new_id();
    for (int32_t version = 0; version < length;) {
        struct log_item *item = with_stream(an_item(subject), stream, version);
        for (int part = 0; part < LOG_ITEM_PARTS && version < length; part++, version++) {
            with_row(item);
        }
        cr_assert_eq(append_one(subject, item).outcome, APPENDED);
    }
    return stream;
}

static struct stream_rows read_one(struct log_subject *subject, struct stream_query query)
{
    struct stream_rows rows;
    cr_assert_eq(event_store_read(subject->store, &query, 1, 10000, &subject->arena, &rows),
                 STATUS_OK);
    return rows;
}

static struct snapshot a_snapshot(struct log_subject *subject, enum snapshot_kind kind,
                                  struct uuid stream, int32_t version, struct str bytes)
{
    struct stream_rows rows =
        read_one(subject, (struct stream_query){.stream = stream, .after_version = version - 1});
    return (struct snapshot){.stream = stream,
                             .kind = kind,
                             .codec = 7,
                             .version = version,
                             .event = rows.count == 0 ? new_id() : rows.rows[0].id,
                             .bytes = bytes};
}

static void save(struct log_subject *subject, struct snapshot snapshot)
{
    cr_assert_eq(event_store_save_snapshots(subject->store, &snapshot, 1), STATUS_OK);
}

static void save_state(struct log_subject *subject, struct uuid stream, int32_t version,
                       const char *bytes)
{
    save(subject, a_snapshot(subject, SNAPSHOT_STATE, stream, version, str_from(bytes)));
}

static void save_document(struct log_subject *subject, struct uuid stream, int32_t version,
                          const char *bytes)
{
    save(subject, a_snapshot(subject, SNAPSHOT_DOCUMENT, stream, version, str_from(bytes)));
}

static struct stream_rows read_state(struct log_subject *subject, struct uuid stream)
{
    return read_one(subject, (struct stream_query){.stream = stream, .state_codec = 7});
}

BOTH_STORES(snapshot, given_a_snapshot_when_read_then_rows_begin_after_it)
{
    struct uuid stream = a_stream_of(subject, 4);
    struct stream_rows all = read_one(subject, (struct stream_query){.stream = stream});
    save_state(subject, stream, 3, "{ \"n\" : 3 }");
    struct stream_rows rows = read_state(subject, stream);
    cr_assert_eq(rows.state.version, 3);
    cr_assert(str_eq(rows.state.bytes, STR("{ \"n\" : 3 }")), "the very bytes");
    cr_assert(str_eq(rows.state.tenant, subject->tenant));
    cr_assert(str_eq(rows.state.category, all.rows[2].category));
    cr_assert_eq(rows.state.at.tx, all.rows[2].at.tx);
    cr_assert_eq(rows.state.at.position, all.rows[2].at.position);
    cr_assert_eq(rows.count, 1);
    cr_assert_eq(rows.rows[0].version, 4);
}

BOTH_STORES(snapshot, given_a_snapshot_that_does_not_fit_when_read_then_it_is_left_out)
{
    struct uuid stream = a_stream_of(subject, 4);
    save_state(subject, stream, 3, "{\"n\":3}");
    const struct stream_query queries[] = {
        {.stream = stream},                                        // not asked for
        {.stream = stream, .state_codec = 8},                      // another encoding
        {.stream = stream, .document_codec = 7},                   // of the document
        {.stream = stream, .state_codec = 7, .document_codec = 7}, // not all that was asked for
        {.stream = stream, .state_codec = 7, .until_version = 2},  // too new
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        struct stream_rows rows = read_one(subject, queries[i]);
        cr_assert_eq(rows.state.version, 0, "%zu", i);
        cr_assert_eq(rows.document.version, 0, "%zu", i);
        cr_assert_eq(rows.count, i == 4 ? 2 : 4, "%zu", i);
    }
    struct stream_rows rows = read_one(
        subject, (struct stream_query){.stream = stream, .after_version = 3, .state_codec = 7});
    cr_assert_eq(rows.state.version, 0, "not newer");
    cr_assert_eq(rows.count, 1);
}

BOTH_STORES(snapshot, given_state_and_document_when_read_then_rows_begin_after_the_older)
{
    struct uuid stream = a_stream_of(subject, 5), other = a_stream_of(subject, 2);
    save_state(subject, stream, 4, "{\"n\":4}");
    save_document(subject, stream, 2, "{\"d\":2}");
    const struct stream_query queries[] = {
        {.stream = other, .state_codec = 7, .document_codec = 7},
        {.stream = stream, .state_codec = 7, .document_codec = 7}};
    struct stream_rows rows[2];
    cr_assert_eq(event_store_read(subject->store, queries, 2, 2, &subject->arena, rows), STATUS_OK);
    cr_assert_eq(rows[0].count, 2);
    cr_assert_eq(rows[1].state.version, 4);
    cr_assert_eq(rows[1].document.version, 2);
    cr_assert(str_eq(rows[1].document.bytes, STR("{\"d\":2}")));
    cr_assert_eq(rows[1].count, 2);
    cr_assert_eq(rows[1].rows[0].version, 3);
    cr_assert(rows[1].more);
}

BOTH_STORES(snapshot, given_several_states_of_a_stream_then_the_newest_stays)
{
    struct uuid stream = a_stream_of(subject, 4);
    const struct snapshot snapshots[] = {
        a_snapshot(subject, SNAPSHOT_STATE, stream, 2, STR("{\"n\":2}")),
        a_snapshot(subject, SNAPSHOT_STATE, stream, 3, STR("{\"n\":3}")),
        a_snapshot(subject, SNAPSHOT_STATE, stream, 1, STR("{\"n\":1}"))};
    cr_assert_eq(event_store_save_snapshots(subject->store, snapshots, 3), STATUS_OK);
    save_state(subject, stream, 2, "{\"late\":2}");
    struct stream_rows rows = read_state(subject, stream);
    cr_assert_eq(rows.state.version, 3);
    cr_assert(str_eq(rows.state.bytes, STR("{\"n\":3}")));
    rows = read_one(subject,
                    (struct stream_query){.stream = stream, .state_codec = 7, .until_version = 2});
    cr_assert_eq(rows.state.version, 0, "older ones are gone");
}

BOTH_STORES(snapshot, given_two_encodings_then_each_release_finds_its_own)
{
    struct uuid stream = a_stream_of(subject, 4);
    save_state(subject, stream, 3, "{\"n\":3}");
    struct snapshot newer = a_snapshot(subject, SNAPSHOT_STATE, stream, 4, STR("{\"new\":4}"));
    newer.codec = 8;
    save(subject, newer);
    struct stream_rows rows = read_state(subject, stream);
    cr_assert_eq(rows.state.version, 3);
    rows = read_one(subject, (struct stream_query){.stream = stream, .state_codec = 8});
    cr_assert_eq(rows.state.version, 4);
    cr_assert(str_eq(rows.state.bytes, STR("{\"new\":4}")));
}

BOTH_STORES(snapshot, given_documents_then_the_last_of_each_thousand_stays_for_who_asks_what_it_was)
{
    struct uuid stream = a_stream_of(subject, 2010);
    const int32_t versions[] = {300, 900, 1100, 1999, 2005};
    for (size_t i = 0; i < 5; i++) {
        save_document(subject, stream, versions[i], "{}");
    }
    static const struct {
        int32_t until;
        int32_t wanted;
    } cases[] = {{0, 2005}, {2004, 1999}, {1998, 900}, {950, 900}, {899, 0}};
    for (size_t i = 0; i < 5; i++) {
        struct stream_rows rows = read_one(
            subject, (struct stream_query){
                         .stream = stream, .document_codec = 7, .until_version = cases[i].until});
        cr_assert_eq(rows.document.version, cases[i].wanted, "%zu", i);
        int32_t last = cases[i].until == 0 ? 2010 : cases[i].until;
        cr_assert_eq(rows.count, last - cases[i].wanted);
    }
}

BOTH_STORES(snapshot, given_one_that_stands_on_no_row_of_the_log_when_saved_then_it_is_not_kept)
{
    struct uuid stream = a_stream_of(subject, 4);
    struct snapshot ahead = a_snapshot(subject, SNAPSHOT_STATE, stream, 9, STR("{\"n\":9}"));
    struct snapshot foreign = a_snapshot(subject, SNAPSHOT_STATE, stream, 3, STR("{\"n\":3}"));
    foreign.event = new_id();
    const struct snapshot snapshots[] = {ahead, foreign};
    cr_assert_eq(event_store_save_snapshots(subject->store, snapshots, 2), STATUS_OK);
    struct stream_rows rows = read_state(subject, stream);
    cr_assert_eq(rows.state.version, 0);
    cr_assert_eq(rows.count, 4);
}

// --- what somebody has done to the table

static struct uuid with_snapshots(struct log_subject *subject)
{
    struct uuid stream = a_stream_of(subject, 4);
    save_state(subject, stream, 3, "{\"n\":3}");
    return stream;
}

// SQL with the stream's id between two parts of it.
static void do_to(struct log_subject *subject, const char *before, struct uuid stream,
                  const char *after)
{
    char id[UUID_TEXT_LEN + 1] = {0};
    char sql[1024];
    uuid_format(stream, id);
    snprintf(sql, sizeof(sql), "%s'%s'%s", before, id, after);
    run_sql(subject, sql);
}

static void assert_read_whole_and_mended(struct log_subject *subject, struct uuid stream)
{
    struct stream_rows rows = read_state(subject, stream);
    cr_assert_eq(rows.state.version, 0);
    cr_assert_eq(rows.count, 4);
    save_state(subject, stream, 2, "{\"n\":2}"); // whoever reads it whole leaves it behind
    rows = read_state(subject, stream);
    cr_assert_eq(rows.state.version, 2);
    cr_assert(str_eq(rows.state.bytes, STR("{\"n\":2}")));
    cr_assert_eq(rows.count, 2);
}

POSTGRES_STORE(snapshot, given_other_bytes_than_were_written_then_it_is_not_used)
{
    struct uuid stream = with_snapshots(subject);
    do_to(subject, "update comanda.snapshots set state = '{\"n\":4}' where stream_id = ", stream,
          "");
    assert_read_whole_and_mended(subject, stream);
}

POSTGRES_STORE(snapshot, given_a_log_that_was_restored_from_before_then_it_is_not_used)
{
    struct uuid stream = with_snapshots(subject);
    do_to(subject,
          "with other as (select gen_random_uuid() as id) update comanda.snapshots set version = 9,"
          " event_id = o.id, digest = comanda.snapshot_digest(stream_id, kind, codec, 9, o.id,"
          " state) from other o where stream_id = ",
          stream, "");
    assert_read_whole_and_mended(subject, stream);
}

POSTGRES_STORE(snapshot, given_a_log_that_went_another_way_since_then_it_is_not_used)
{
    struct uuid stream = with_snapshots(subject);
    do_to(subject,
          "with other as (select gen_random_uuid() as id) update comanda.snapshots set event_id ="
          " o.id, digest = comanda.snapshot_digest(stream_id, kind, codec, version, o.id, state)"
          " from other o where stream_id = ",
          stream, "");
    assert_read_whole_and_mended(subject, stream);
}

POSTGRES_STORE(snapshot, given_the_snapshot_of_another_stream_then_it_is_not_used)
{
    struct uuid other = with_snapshots(subject), stream = a_stream_of(subject, 4);
    char event[UUID_TEXT_LEN + 1] = {0};
    char after[512];
    uuid_format(a_snapshot(subject, SNAPSHOT_STATE, other, 3, STR("")).event, event);
    snprintf(after, sizeof(after),
             "::uuid as id) insert into comanda.snapshots select i.id, kind, codec, version,"
             " event_id, comanda.snapshot_digest(i.id, kind, codec, version, event_id, state),"
             " state from into_stream i, comanda.snapshots where event_id = '%s'",
             event);
    do_to(subject, "with into_stream as (select ", stream, after);
    assert_read_whole_and_mended(subject, stream);
}

POSTGRES_STORE(snapshot, given_the_table_is_emptied_then_nothing_is_lost)
{
    struct uuid stream = with_snapshots(subject);
    do_to(subject, "delete from comanda.snapshots where stream_id = ", stream, "");
    assert_read_whole_and_mended(subject, stream);
}

POSTGRES_STORE(snapshot, given_the_edges_role_then_it_keeps_and_reads_them_and_no_more)
{
    struct uuid stream = a_stream_of(subject, 4);
    run_sql(subject, "grant comanda_edge to current_user; set role comanda_edge");
    save_state(subject, stream, 3, "{\"n\":3}");
    cr_assert_eq(read_state(subject, stream).state.version, 3);
    struct str may = ask_sql(subject, "select has_table_privilege('comanda.snapshots',"
                                      " 'select, insert, update, delete, truncate')");
    cr_assert(str_eq(may, STR("f")));
    run_sql(subject, "reset role; revoke comanda_edge from current_user");
}

// --- what a long stream costs: rows that PostgreSQL reads, not time

static struct uuid a_stream_made_by_sql(struct log_subject *subject, int length)
{
    struct uuid stream = new_id();
    char after[256];
    snprintf(after, sizeof(after),
             ", n, gen_random_uuid(), 'event', 'Happened', 1, '{}', '{}'"
             " from generate_series(1, %d) n",
             length);
    do_to(subject,
          "insert into comanda.events (epoch, tenant, category, stream_id, version, event_id, kind,"
          " type, schema_version, data, meta) select 1, 'main', 'thing', ",
          stream, after);
    return stream;
}

static int rows_read_for(struct log_subject *subject, struct uuid stream, size_t *count)
{
    run_sql(subject, "begin");
    *count =
        read_one(subject,
                 (struct stream_query){.stream = stream, .state_codec = 7, .document_codec = 7})
            .count;
    struct str read = ask_sql(subject, "select sum(idx_tup_fetch) from pg_stat_xact_user_tables"
                                       " where schemaname = 'comanda' and relname like 'events%'");
    run_sql(subject, "rollback");
    return atoi(read.data);
}

POSTGRES_STORE(snapshot, given_100000_events_when_read_then_it_costs_at_most_twice_what_100_do)
{
    struct uuid short_one = a_stream_made_by_sql(subject, 100);
    struct uuid long_one = a_stream_made_by_sql(subject, 100000);
    save_state(subject, long_one, 99950, "{\"n\":99950}");
    save_document(subject, long_one, 99901, "{\"n\":99901}"); // the worst that is left: 99 after it
    size_t short_count, long_count;
    int short_cost = rows_read_for(subject, short_one, &short_count);
    int long_cost = rows_read_for(subject, long_one, &long_count);
    cr_assert_eq(short_count, 100);
    cr_assert_eq(long_count, 99);
    cr_assert_geq(short_cost, 100, "what is counted");
    cr_assert_leq(long_cost, 2 * short_cost, "%d rows against %d", long_cost, short_cost);
}
