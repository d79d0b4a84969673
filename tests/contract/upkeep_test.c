// SPDX-License-Identifier: Apache-2.0
// Upkeep gives way to commands, goes on when it can, and says what it has left undone; timers whose
// rows are dead are not read at each poll, and none is overlooked for that.
#include <criterion/criterion.h>
#include <criterion/options.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support/log_checks.h"
#include "../support/log_subject.h"
#include "../support/test_database.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/upkeep.h"

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
    (void)set;
    criterion_options.jobs = 1; // upkeep is the whole database's, and so is the floor of timers
    test_database_make();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    test_database_drop();
}

static struct postgres *open_session(void)
{
    struct postgres *postgres = postgres_new(
        &(struct postgres_options){.conninfo = test_database(), .application_name = "upkeep_test"});
    cr_assert_not_null(postgres);
    return postgres;
}

static void run_on(struct postgres *postgres, const char *sql)
{
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(postgres, sql, POSTGRES_WRITES, &result), STATUS_OK, "%s",
                 postgres_error(postgres));
    PQclear(result);
}

static long ask_number(struct log_subject *subject, const char *sql)
{
    return atol(ask_sql(subject, sql).data);
}

static enum upkeep_did step(struct log_subject *subject)
{
    enum upkeep_did did = UPKEEP_NOTHING;
    cr_assert_eq(upkeep_step(subject->postgres, &did), STATUS_OK, "%s",
                 postgres_error(subject->postgres));
    return did;
}

static struct upkeep_undone undone(struct log_subject *subject)
{
    struct upkeep_undone undone;
    cr_assert_eq(upkeep_read_undone(subject->postgres, &undone), STATUS_OK);
    return undone;
}

#define OLD_WEEK                                               \
    "select comanda.make_partition('keys', 'keys_2020_01_06'," \
    " comanda.id_floor('2020-01-06Z'), comanda.id_floor('2020-01-13Z'))"
#define LAST_MONTH_AHEAD \
    "to_char(date_trunc('month', now()) + interval '24 months', '\"events_\"YYYY\"_\"MM')"

static void drop_last_month(struct log_subject *subject)
{
    run_sql(subject,
            "do $$ begin execute format('drop table comanda.%I', " LAST_MONTH_AHEAD "); end $$");
}

POSTGRES_STORE(step, given_two_things_to_do_then_each_is_a_step_of_its_own)
{
    while (step(subject) != UPKEEP_NOTHING) {
    }
    run_sql(subject, OLD_WEEK);
    drop_last_month(subject);
    cr_assert_eq(undone(subject).to_make, 1);
    cr_assert_eq(undone(subject).to_drop, 1);
    cr_assert_eq(step(subject), UPKEEP_MADE);
    cr_assert_eq(undone(subject).to_drop, 1);
    cr_assert_eq(step(subject), UPKEEP_DROPPED);
    cr_assert_eq(undone(subject).to_make + undone(subject).to_drop, 0);
    cr_assert_eq(step(subject), UPKEEP_NOTHING);
}

POSTGRES_STORE(step, given_a_reader_of_the_table_then_it_gives_way_and_goes_on_later)
{
    struct postgres *holder = open_session();
    run_sql(subject, OLD_WEEK);
    run_on(holder, "begin; lock table comanda.keys in access share mode"); // as pg_dump does
    enum upkeep_did did = UPKEEP_NOTHING;
    enum status status = upkeep_step(subject->postgres, &did);
    cr_assert_eq(status, STATUS_REFUSED);
    cr_assert(upkeep_met_a_lock(subject->postgres, status));
    cr_assert_eq(undone(subject).to_drop, 1);
    // What an older relay calls does not fail, and does nothing.
    cr_assert_eq(ask_number(subject, "select comanda.keep_partitions()"), 0);
    cr_assert_eq(undone(subject).to_drop, 1);
    run_on(holder, "commit");
    cr_assert_eq(step(subject), UPKEEP_DROPPED);
    postgres_free(holder);
}

POSTGRES_STORE(step, given_a_session_at_it_then_another_has_nothing_to_do)
{
    struct postgres *other = open_session();
    run_sql(subject, OLD_WEEK);
    run_on(other, "begin; select pg_advisory_xact_lock(hashtext('comanda.keep_partitions'))");
    cr_assert_eq(step(subject), UPKEEP_NOTHING);
    run_on(other, "commit");
    cr_assert_eq(step(subject), UPKEEP_DROPPED);
    postgres_free(other);
}

POSTGRES_STORE(step, given_what_locks_tables_then_nobody_waits_behind_it_for_longer_than_40_ms)
{
    // A lock that is waited for holds up who comes after it, so the wait itself has to be short.
    cr_assert_eq(ask_number(subject, "select count(*) from pg_proc p where p.pronamespace ="
                                     " 'comanda'::regnamespace and p.proname in ('upkeep_step',"
                                     " 'keep_partitions') and 'lock_timeout=40ms' ="
                                     " any (p.proconfig)"),
                 2);
}

POSTGRES_STORE(step, given_rows_of_a_month_in_the_default_partition_then_it_is_barred_and_told)
{
    drop_last_month(subject);
    run_sql(subject,
            "insert into comanda.events (epoch, tenant, category, stream_id, version, event_id,"
            " kind, type, schema_version, data, meta) select 1, 'main', 'order', comanda.id_floor("
            "date_trunc('month', now()) + interval '24 months 1 day'), 1, gen_random_uuid(),"
            " 'event', 'X', 1, '{}', '{}'");
    cr_assert_eq(undone(subject).barred, 1);
    cr_assert_eq(undone(subject).to_make, 0);
    cr_assert_neq(step(subject), UPKEEP_MADE);
    run_sql(subject, "alter table comanda.events_default disable trigger immutable;"
                     " delete from comanda.events_default;"
                     " alter table comanda.events_default enable trigger immutable");
    cr_assert_eq(step(subject), UPKEEP_MADE);
}

POSTGRES_STORE(storage,
               given_tables_that_change_much_then_they_are_tuned_and_partitions_to_come_too)
{
    while (step(subject) != UPKEEP_NOTHING) {
    }
    run_sql(subject, OLD_WEEK);
    cr_assert_eq(ask_number(subject, "select count(*) from comanda.tables_untuned()"), 0);
    cr_assert_eq(ask_number(subject,
                            "select count(*) from pg_class c where c.relnamespace ="
                            " 'comanda'::regnamespace and c.relname in ('timers', 'leases',"
                            " 'keys_random', 'keys_2020_01_06', 'inbox_named') and"
                            " 'vacuum_truncate=off' = any (c.reloptions)"),
                 5);
    while (step(subject) != UPKEEP_NOTHING) {
    }
}

POSTGRES_STORE(index, given_the_owners_upkeep_then_ages_have_indexes_that_narrow)
{
    cr_assert_eq(ask_number(subject,
                            "select count(*) from pg_index i where i.indisvalid and"
                            " i.indexrelid in ('comanda.keys_random_recorded_at'::regclass,"
                            " 'comanda.keys_default_recorded_at'::regclass,"
                            " 'comanda.inbox_default_handled_at'::regclass)"),
                 3);
    cr_assert_eq(
        ask_number(subject, "select (to_regclass('comanda.keys_random_age') is null)::int"), 1);
    // One that was cut short is made anew.
    run_sql(subject, "drop index comanda.keys_random_recorded_at");
    run_sql(subject, "create index keys_random_recorded_at on comanda.keys_random (version)");
    run_sql(subject, "drop index comanda.keys_random_recorded_at");
    cr_assert_eq(upkeep_of_owner(subject->postgres), STATUS_OK);
    cr_assert_eq(ask_number(subject, "select indisvalid::int from pg_index where indexrelid ="
                                     " 'comanda.keys_random_recorded_at'::regclass"),
                 1);
}

POSTGRES_STORE(trim, given_young_keys_then_a_look_reads_none_of_them)
{
    run_sql(subject, "insert into comanda.keys (id, recorded_at, version, status, fingerprint,"
                     " stream_id) select ('f' || lpad(i::text, 31, '0'))::uuid, now() - case when"
                     " i <= 3 then interval '8 days' else i * interval '1 second' end, 1, 201,"
                     " gen_random_uuid(), gen_random_uuid() from generate_series(1, 20000) i");
    run_sql(subject, "begin");
    int most = 0;
    cr_assert_eq(upkeep_trim(subject->postgres, 1000, &most), STATUS_OK);
    cr_assert_eq(most, 3);
    long read = ask_number(subject, "select coalesce(sum(seq_tup_read + idx_tup_fetch), 0) from"
                                    " pg_stat_xact_user_tables where relname = 'keys_random'");
    cr_assert_leq(read, 10, "%ld rows", read);
    run_sql(subject, "rollback");
}

POSTGRES_STORE(parents, given_rows_then_the_partitioned_tables_have_statistics)
{
    append_one(subject, an_event(subject, new_id(), 0));
    cr_assert_eq(upkeep_of_owner(subject->postgres), STATUS_OK);
    cr_assert_gt(ask_number(subject,
                            "select count(*) from pg_stats where schemaname = 'comanda' and"
                            " tablename = 'events' and inherited"),
                 0);
    // And not again within a day.
    run_sql(subject, "create table comanda_analyzed as select pg_stat_get_last_analyze_time("
                     "'comanda.events'::regclass) as at");
    cr_assert_eq(upkeep_of_owner(subject->postgres), STATUS_OK);
    cr_assert_eq(ask_number(subject, "select count(*) from comanda_analyzed where at ="
                                     " pg_stat_get_last_analyze_time('comanda.events'::regclass)"),
                 1);
}

// Timers.

enum { DEAD_TIMERS = 60000 };

static void set_timer(struct log_subject *subject, const char *id, const char *due)
{
    char sql[256];
    (void)snprintf(sql, sizeof(sql),
                   "insert into comanda.timers (id, saga_id, due, tenant, data) values"
                   " ('00000000-0000-0000-0000-0000000000%s', gen_random_uuid(), %s, 'main', '{}')",
                   id, due);
    run_sql(subject, sql);
}

static long claim(struct log_subject *subject)
{
    return ask_number(subject, "select count(*) from comanda.claim_timers(100, 3600)");
}

static long number_after(const char *text, const char *label)
{
    const char *found = strstr(text, label);
    cr_assert_not_null(found, "%s in %s", label, text);
    return atol(found + strlen(label));
}

// Blocks of tables and indexes that a claim looks at, whatever is dead or alive in them.
static long touched(struct log_subject *subject)
{
    struct str plan = ask_sql(subject, "explain (analyze, buffers, format json)"
                                       " select * from comanda.claim_timers(100, 3600)");
    return number_after(plan.data, "\"Shared Hit Blocks\": ") +
           number_after(plan.data, "\"Shared Read Blocks\": ");
}

// As a dump holds it, while a saga's timers are set and deleted.
static struct postgres *bury_timers(struct log_subject *subject)
{
    struct postgres *dump = open_session();
    run_on(dump, "begin isolation level repeatable read; select count(*) from comanda.log");
    run_sql(subject, "insert into comanda.timers (id, saga_id, due, tenant, data)"
                     " select gen_random_uuid(), gen_random_uuid(), now() - i * interval '10 ms'"
                     " - interval '2 s', 'main', '{}' from generate_series(60000, 1, -1) i");
    _Static_assert(DEAD_TIMERS == 60000, "as the statement says");
    run_sql(subject, "delete from comanda.timers");
    return dump;
}

// What holds it, for whoever reads a failure.
static const char *floor_state(struct log_subject *subject)
{
    return ask_sql(
               subject,
               "select format('%s, snapshot %s, %s alive, running %s', f, pg_current_snapshot(),"
               " (select count(*) from comanda.timers t where t.due <= now()),"
               " (select string_agg(concat_ws(' ', datname, backend_type, backend_xid, state,"
               " left(query, 60)), '; ') from pg_stat_activity where backend_xid is not null))"
               " from comanda.timers_floor f")
        .data;
}

static void raise_floor(struct log_subject *subject)
{
    long blocks = touched(subject);
    for (int tries = 0; blocks > DEAD_TIMERS / 400; tries++) {
        cr_assert_lt(tries, 100, "%ld blocks; %s", blocks, floor_state(subject));
        usleep(100000);
        blocks = touched(subject);
    }
}

POSTGRES_STORE(floor, given_an_hour_of_dead_timers_then_a_claim_does_not_walk_over_them)
{
    struct postgres *dump = bury_timers(subject);
    raise_floor(subject);
    set_timer(subject, "01", "now()");
    cr_assert_eq(claim(subject), 1);
    postgres_free(dump);
    run_sql(subject, "delete from comanda.timers");
}

POSTGRES_STORE(floor, given_a_timer_that_is_set_below_it_then_it_is_claimed_all_the_same)
{
    struct postgres *dump = bury_timers(subject);
    struct postgres *slow = open_session();
    raise_floor(subject);
    set_timer(subject, "01", "now() - interval '1 hour'");
    cr_assert_eq(claim(subject), 1);
    // One whose transaction is still running while others claim, and the floor would go past it.
    run_on(slow,
           "begin; insert into comanda.timers (id, saga_id, due, tenant, data) values"
           " (gen_random_uuid(), gen_random_uuid(), now() + interval '100 ms', 'main', '{}')");
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(claim(subject), 0);
        run_sql(subject, "begin; select pg_current_xact_id(); commit");
        run_sql(subject, "select comanda.timers_floor_raise(f.due, clock_timestamp())"
                         " from comanda.timers_floor f");
        usleep(100000);
    }
    run_on(slow, "commit");
    cr_assert_eq(claim(subject), 1);
    postgres_free(slow);
    postgres_free(dump);
    run_sql(subject, "delete from comanda.timers");
}

POSTGRES_STORE(floor, given_a_timer_that_another_session_lets_go_of_then_it_is_claimed)
{
    struct postgres *other = open_session();
    set_timer(subject, "01", "now() - interval '1 second'");
    run_on(other, "begin; delete from comanda.timers");
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(claim(subject), 0);
        run_sql(subject, "select comanda.timers_floor_raise(f.due, clock_timestamp() - interval"
                         " '1 ms') from comanda.timers_floor f");
        usleep(100000);
    }
    run_on(other, "rollback");
    cr_assert_eq(claim(subject), 1);
    postgres_free(other);
    run_sql(subject, "delete from comanda.timers");
}

POSTGRES_STORE(floor, given_a_clock_that_went_back_then_it_begins_anew)
{
    set_timer(subject, "01", "now() - interval '1 second'");
    run_sql(subject, "update comanda.timers_floor set due = now() + interval '1 hour'");
    cr_assert_eq(claim(subject), 1);
    run_sql(subject, "delete from comanda.timers");
}
