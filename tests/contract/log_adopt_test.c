// SPDX-License-Identifier: Apache-2.0
// A log that was restored: no session uses it until it is adopted, and then every reader meets what
// is appended from now on after all that was ever read of it.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "../support/log_checks.h"
#include "../support/log_subject.h"
#include "../support/test_database.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/relay_lease_postgres.h"

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

#define MOVE "update comanda.log set system_identifier = system_identifier - 1"
#define ADOPT "select count(*) from comanda.log_adopt(false, 0, 0, 0, false)"

static int64_t ask_number(struct log_subject *subject, const char *sql)
{
    int64_t number = -1;
    cr_assert(str_to_int64(ask_sql(subject, sql), &number), "%s", sql);
    return number;
}

// A new session, as a program begins it; gives why it was refused, "" if it was not.
static const char *refusal(const char *conninfo)
{
    static char said[256];
    struct postgres *postgres = postgres_new(&(struct postgres_options){.conninfo = conninfo});
    said[0] = '\0';
    if (postgres_connect(postgres) != STATUS_OK) {
        snprintf(said, sizeof(said), "%s", postgres_error(postgres));
    }
    postgres_free(postgres);
    return said;
}

POSTGRES_STORE(foreign, given_another_clusters_log_then_no_session_uses_it_until_it_is_adopted)
{
    cr_assert_str_eq(refusal(test_database()), "");
    run_sql(subject, MOVE);
    cr_assert_not_null(strstr(refusal(test_database()), "run comandactl log adopt"));
    cr_assert_eq(ask_number(subject, ADOPT), 1);
    cr_assert_str_eq(refusal(test_database()), "");
}

POSTGRES_STORE(foreign, given_no_log_yet_then_no_session_begins_that_would_go_on_in_a_restored_one)
{
    char conninfo[1024], sql[128];
    snprintf(sql, sizeof(sql), "create database \"%s_e\"", subject->tenant_text);
    run_sql(subject, sql);
    snprintf(conninfo, sizeof(conninfo), "%s dbname=%s_e", test_database(), subject->tenant_text);
    cr_assert_not_null(strstr(refusal(conninfo), "run comandactl migrate"));
    snprintf(sql, sizeof(sql), "drop database \"%s_e\"", subject->tenant_text);
    run_sql(subject, sql);
}

POSTGRES_STORE(adopt, given_a_log_at_home_then_nothing_changes)
{
    int64_t epoch = ask_number(subject, "select epoch from comanda.log");
    cr_assert_eq(ask_number(subject, ADOPT), 1);
    cr_assert_eq(ask_number(subject, "select epoch from comanda.log"), epoch);
}

POSTGRES_STORE(adopt, given_one_who_has_read_the_epoch_then_it_waits_for_its_end)
{
    struct log_subject writer;
    log_subject_open_beside(&writer, subject);
    run_sql(&writer, "select 1"); // a session that began before
    run_sql(subject, MOVE);
    run_sql(&writer, "begin; select epoch from comanda.log");
    run_sql(subject, "set lock_timeout = '100ms'");
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(subject->postgres, ADOPT, POSTGRES_WRITES, &result),
                 STATUS_REFUSED);
    cr_assert_str_eq(postgres_sqlstate(subject->postgres), "55P03");
    run_sql(&writer, "commit");
    cr_assert_eq(ask_number(subject, ADOPT), 1);
    log_subject_close(&writer);
}

// Restored rows name transactions that did not write them; those written here name their own.
POSTGRES_STORE(adopt, given_rows_written_before_it_then_those_the_relay_overlooked_are_counted)
{
    append_one(subject, an_event(subject, new_id(), 0));
    run_sql(subject,
            "insert into comanda.events (tx, epoch, version, stream_id, event_id, schema_version,"
            " tenant, category, kind, type, data, meta) select '7', epoch, 1, gen_random_uuid(),"
            " gen_random_uuid(), 1, 'main', 'order', 'event', 'A', '{}', '{}' from comanda.log");
    run_sql(subject, "insert into comanda.leases as l (name, holder, fence, renewed_at, epoch, tx)"
                     " select 'relay', 'x', 1, now(), epoch, '999999999999' from comanda.log"
                     " on conflict (name) do update set epoch = excluded.epoch, tx = excluded.tx");
    int64_t own = ask_number(subject, "select count(*) from comanda.events e, comanda.log l"
                                      " where e.epoch = l.epoch and e.tx <> '7'");
    int64_t last = ask_number(subject, "select max(position) from comanda.events where tx <> '7'");
    run_sql(subject, MOVE);
    const char *found = "select overlooked from comanda.log_adopt(false, 0, 0, 0, true)";
    cr_assert_eq(ask_number(subject, found), own);
    cr_assert_eq(ask_number(subject, "select last_position from"
                                     " comanda.log_adopt(false, 0, 0, 0, false)"),
                 last);
    cr_assert_eq(ask_number(subject, found), 0);
}

POSTGRES_STORE(adopt, given_a_restored_log_then_positions_jump_and_what_is_derived_goes)
{
    append_one(subject, an_event(subject, new_id(), 0));
    run_sql(subject, "insert into comanda_read.documents values ('main', 'orders', 'k',"
                     " gen_random_uuid(), 1, 1, 1, 1, '', '', '', true, '{}')");
    int64_t before = ask_number(subject, "select last_value from comanda.event_position");
    int64_t epoch = ask_number(subject, "select epoch from comanda.log");
    int64_t next =
        ask_number(subject, "select next_position from comanda.log_adopt(true, 0, 77, 0, false)");
    cr_assert_geq(next, before + (INT64_C(1) << 40));
    struct append_verdict verdict = append_one(subject, an_event(subject, new_id(), 0));
    cr_assert_eq(verdict.at.position, next);
    cr_assert_gt(verdict.at.epoch, epoch);
    cr_assert_gt(verdict.at.epoch, 3000000, "past what another line of its life may have come to");
    cr_assert_eq(ask_number(subject, "select count(*) from comanda_read.documents"), 0);
    cr_assert_eq(ask_number(subject, "select count(*) from comanda_read.cache_debt"), 1);
    int64_t past = (INT64_C(1) << 50);
    char sql[160];
    snprintf(sql, sizeof(sql),
             "select next_position from comanda.log_adopt(true, 2000000000, %lld, 0, false)",
             (long long)past);
    cr_assert_gt(ask_number(subject, sql), past);
    cr_assert_eq(ask_number(subject, "select epoch from comanda.log"), 2000000001);
}

POSTGRES_STORE(adopt, given_a_leader_then_it_is_fenced_and_the_next_one_begins_further_back)
{
    struct relay_lease *relay = relay_lease_postgres_new(subject->postgres);
    struct lease lease = {0};
    struct str name = STR("relay");
    append_one(subject, an_event(subject, new_id(), 0));
    run_sql(subject, "alter table comanda.events disable trigger user");
    run_sql(subject, "insert into comanda.events (recorded_at, tx, epoch, version, stream_id,"
                     " event_id, schema_version, tenant, category, kind, type, data, meta)"
                     " select now() - interval '1 hour', '7', 0, 1, gen_random_uuid(),"
                     " gen_random_uuid(), 1, 'main', 'order', 'event', 'A', '{}', '{}'");
    cr_assert_eq(relay_lease_acquire(relay, name, STR("x"), 60, &lease), STATUS_OK);
    struct log_cursor at = log_end(subject);
    cr_assert_eq(relay_lease_checkpoint(relay, name, lease.fence, at), STATUS_OK);
    cr_assert_eq(
        ask_number(subject, "select count(*) from comanda.log_adopt(true, 0, 0, 600, false)"), 1);
    cr_assert_eq(relay_lease_checkpoint(relay, name, lease.fence, at), STATUS_FENCED);
    cr_assert_eq(relay_lease_acquire(relay, name, STR("x"), 60, &lease), STATUS_OK);
    cr_assert_eq(lease.checkpoint.epoch, 0);
    cr_assert_eq(lease.checkpoint.tx, 7);
    relay_lease_postgres_free(relay);
}
