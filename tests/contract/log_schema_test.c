// SPDX-License-Identifier: Apache-2.0
// The log's schema: what is recorded stays, who may do what, partitions, and migrations.
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/log_checks.h"
#include "../support/log_subject.h"
#include "../support/test_database.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/migrate.h"

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

static bool is_refused(struct log_subject *subject, const char *sql, const char *sqlstate)
{
    PGresult *result = NULL;
    enum status status = postgres_script(subject->postgres, sql, POSTGRES_WRITES, &result);
    if (status == STATUS_OK) {
        PQclear(result);
        return false;
    }
    cr_assert_eq(status, STATUS_REFUSED, "%s", postgres_error(subject->postgres));
    return strcmp(postgres_sqlstate(subject->postgres), sqlstate) == 0;
}

static long ask_number(struct log_subject *subject, const char *sql)
{
    return atol(ask_sql(subject, sql).data);
}

POSTGRES_STORE(immutable, given_recorded_events_then_not_even_the_owner_changes_them)
{
    append_one(subject, an_event(subject, new_id(), 0));
    cr_assert(is_refused(subject, "update comanda.events set type = 'x'", "42501"));
    cr_assert(is_refused(subject, "delete from comanda.events", "42501"));
    cr_assert(is_refused(subject, "truncate comanda.events", "42501"));
}

POSTGRES_STORE(immutable, given_a_partition_named_directly_then_it_is_refused_too)
{
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(subject->postgres,
                                 "select inhrelid::regclass from pg_inherits"
                                 " where inhparent = 'comanda.events'::regclass",
                                 POSTGRES_READS, &result),
                 STATUS_OK);
    cr_assert_geq(PQntuples(result), 26); // 25 months, the named ones, the default
    for (int i = 0; i < PQntuples(result); i++) {
        char sql[256];
        snprintf(sql, sizeof(sql), "truncate %s", PQgetvalue(result, i, 0));
        cr_assert(is_refused(subject, sql, "42501"), "%s", sql);
        snprintf(sql, sizeof(sql), "delete from %s", PQgetvalue(result, i, 0));
        cr_assert(is_refused(subject, sql, "42501"), "%s", sql);
    }
    PQclear(result);
}

static const char roles[] =
    "(select rolname from pg_roles where rolname like 'comanda\\_%' and"
    " not rolsuper and rolname <> current_user and rolname <> 'comanda_owner')";

POSTGRES_STORE(privilege, given_the_processes_roles_then_none_owns_or_writes_a_table_of_the_log)
{
    char sql[1024];
    snprintf(sql, sizeof(sql),
             "select count(*) from pg_class c, (select rolname, oid from pg_roles where rolname in"
             " %s) r where c.relnamespace = 'comanda'::regnamespace and c.relkind in ('r', 'p')"
             " and (c.relowner = r.oid or has_table_privilege(r.rolname, c.oid, 'insert')"
             " or has_table_privilege(r.rolname, c.oid, 'update')"
             " or has_table_privilege(r.rolname, c.oid, 'delete')"
             " or has_table_privilege(r.rolname, c.oid, 'truncate'))",
             roles);
    cr_assert_eq(ask_number(subject, sql), 0);
}

POSTGRES_STORE(privilege, given_the_processes_roles_then_each_may_call_what_it_needs)
{
    static const struct {
        const char *role;
        const char *function;
        bool may;
    } expected[] = {
        {"comanda_edge", "append", true},
        {"comanda_edge", "find_keys", true},
        {"comanda_edge", "read_streams", true},
        {"comanda_edge", "save_snapshots", true},
        {"comanda_edge", "snapshot_digest", false},
        {"comanda_edge", "read_tail", false},
        {"comanda_edge", "lease_acquire", false},
        {"comanda_edge", "relay_behind_s", true},
        {"comanda_edge", "trim", false},
        {"comanda_relay", "read_tail", true},
        {"comanda_relay", "lease_acquire", true},
        {"comanda_relay", "keep_partitions", true},
        {"comanda_relay", "trim", true},
        {"comanda_relay", "append", false},
        {"comanda_saga", "append", true},
        {"comanda_saga", "claim_timers", true},
        {"comanda_payment", "append", true},
        {"comanda_payment", "claim_timers", false},
        {"comanda_inventory", "save_snapshots", true},
        {"comanda_shipping", "append", true},
        {"comanda_projector", "read_streams", true},
        {"comanda_projector", "append", false},
        {"comanda_projector", "save_snapshots", false},
        {"comanda_readonly", "append", false},
        {"comanda_readonly", "read_streams", false},
        {"comanda_operator", "append", true},
        {"comanda_edge", "append_take_back", false},
        {"comanda_edge", "make_partition", false},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        char sql[256];
        snprintf(sql, sizeof(sql),
                 "select has_function_privilege('%s', p.oid, 'execute')::int from pg_proc p where"
                 " p.pronamespace = 'comanda'::regnamespace and p.proname = '%s'",
                 expected[i].role, expected[i].function);
        cr_assert_eq(ask_number(subject, sql), expected[i].may, "%s %s", expected[i].role,
                     expected[i].function);
    }
}

POSTGRES_STORE(privilege, given_the_readonly_role_then_it_may_look_at_events_and_journal)
{
    cr_assert_eq(ask_number(subject, "select (has_table_privilege('comanda_readonly',"
                                     " 'comanda.events', 'select') and has_table_privilege("
                                     "'comanda_readonly', 'sandbox.journal', 'select') and not"
                                     " has_table_privilege('comanda_readonly', 'comanda.keys',"
                                     " 'select'))::int"),
                 1);
}

POSTGRES_STORE(privilege, given_functions_of_the_owner_then_each_has_a_fixed_search_path)
{
    cr_assert_eq(ask_number(subject, "select count(*) from pg_proc p where p.prosecdef and"
                                     " p.pronamespace in ('comanda'::regnamespace,"
                                     " 'comanda_read'::regnamespace, 'sandbox'::regnamespace) and"
                                     " not exists (select from unnest(p.proconfig) c where c like"
                                     " 'search_path=%')"),
                 0);
    cr_assert_eq(ask_number(subject, "select count(*) from pg_proc p where p.pronamespace ="
                                     " 'comanda'::regnamespace and has_function_privilege("
                                     "'public', p.oid, 'execute')"),
                 0);
}

POSTGRES_STORE(privilege, given_the_processes_roles_then_each_has_its_time_limits)
{
    cr_assert_eq(ask_number(subject, "select count(*) from pg_roles r where r.rolname in"
                                     " ('comanda_edge', 'comanda_relay', 'comanda_saga',"
                                     " 'comanda_payment', 'comanda_inventory', 'comanda_shipping',"
                                     " 'comanda_projector', 'comanda_readonly', 'comanda_operator')"
                                     " and array_to_string(r.rolconfig, ',') like"
                                     " '%statement_timeout=%' and array_to_string(r.rolconfig, ',')"
                                     " like '%lock_timeout=%' and array_to_string(r.rolconfig, ',')"
                                     " like '%idle_in_transaction_session_timeout=%'"),
                 9);
}

static struct str partition_of(struct log_subject *subject, struct uuid stream)
{
    char text[UUID_TEXT_LEN], sql[160];
    uuid_format(stream, text);
    snprintf(sql, sizeof(sql),
             "select tableoid::regclass from comanda.events where stream_id = '%.*s'",
             UUID_TEXT_LEN, text);
    append_one(subject, an_event(subject, stream, 0));
    return ask_sql(subject, sql);
}

POSTGRES_STORE(partition, given_ids_of_each_kind_then_they_fall_where_they_belong)
{
    struct uuid order = new_id();
    struct str month = partition_of(subject, order);
    cr_assert(str_starts_with(month, STR("comanda.events_20")), "%.*s", STR_FMT(month));
    cr_assert(str_eq(partition_of(subject, uuid_derive(order, STR("payment"))), month));
    struct uuid named = uuid_named(subject->tenant, STR("stock_item"), subject->tenant);
    cr_assert(str_eq(partition_of(subject, named), STR("comanda.events_named")));
    struct uuid stray = {.bytes = {1}}; // of 2004
    stray.bytes[15] = order.bytes[15];
    cr_assert(str_eq(partition_of(subject, stray), STR("comanda.events_default")));
}

#define KEYS_OF_WEEK "to_char(week, '\"keys_\"YYYY\"_\"MM\"_\"DD')"
#define WEEKS_BEFORE                                                                            \
    " from (select n, date_trunc('week', now() at time zone 'UTC') - n * interval '7 days' as " \
    "week"                                                                                      \
    " from generate_series(1, 3) n) weeks"

POSTGRES_STORE(partition, given_upkeep_then_there_are_24_months_ahead_and_old_keys_are_dropped)
{
    cr_assert_geq(ask_number(subject, "select comanda.partition_months()"), 24);
    run_sql(subject, "select comanda.make_partition('keys', 'keys_2020_01_06',"
                     " comanda.id_floor('2020-01-06Z'), comanda.id_floor('2020-01-13Z')),"
                     " comanda.make_partition('inbox', 'inbox_2020_01',"
                     " comanda.id_floor('2020-01-01Z'), comanda.id_floor('2020-02-01Z'))");
    run_sql(subject, "select comanda.make_partition('keys', " KEYS_OF_WEEK ", comanda.id_floor(week"
                     " at time zone 'UTC'), comanda.id_floor((week + interval '7 days') at time"
                     " zone 'UTC'))" WEEKS_BEFORE);
    cr_assert_eq(ask_number(subject, "select comanda.keep_partitions()"), 0);
    cr_assert_eq(ask_number(subject, "select (to_regclass('comanda.keys_2020_01_06') is null and"
                                     " to_regclass('comanda.inbox_2020_01') is null)::int"),
                 1);
    // Keys live 7 days, so the week in which one of 7 days ago lies must stay.
    cr_assert_eq(ask_number(subject, "select string_agg((to_regclass('comanda.' || " KEYS_OF_WEEK
                                     ") is null)::int::text, '' order by n)::int" WEEKS_BEFORE),
                 11, "last week's is there, the two before are gone");
}

POSTGRES_STORE(partition,
               given_outlived_keys_when_trimmed_then_a_few_go_at_a_time_and_young_ones_stay)
{
    run_sql(subject, "insert into comanda.keys (id, recorded_at, version, status, fingerprint,"
                     " stream_id) select ('f' || lpad(i::text, 31, '0'))::uuid, now() - case when"
                     " i < 6 then interval '8 days' else interval '6 days' end, 1, 201,"
                     " gen_random_uuid(), gen_random_uuid() from generate_series(1, 6) i");
    cr_assert_eq(ask_number(subject, "select comanda.trim(2)"), 2);
    cr_assert_eq(ask_number(subject, "select comanda.trim(2)"), 2);
    cr_assert_eq(ask_number(subject, "select comanda.trim(2)"), 1);
    cr_assert_eq(ask_number(subject, "select comanda.trim(2)"), 0);
    cr_assert_eq(ask_number(subject, "select count(*) from comanda.keys_random"), 1);
}

POSTGRES_STORE(relay, given_rows_past_its_checkpoint_then_their_age_is_told_and_without_one_nothing)
{
    cr_assert_eq(ask_number(subject, "select coalesce(comanda.relay_behind_s(), -1)"), -1);
    run_sql(subject, "insert into comanda.leases (name, holder, fence, renewed_at, epoch)"
                     " values ('relay', 'x', 1, now(), 1000)");
    cr_assert_eq(ask_number(subject, "select comanda.relay_behind_s()"), 0);
    run_sql(subject, "insert into comanda.events (epoch, tenant, category, stream_id, version,"
                     " event_id, kind, type, schema_version, data, meta, recorded_at, tx, position)"
                     " select 1, 'main', 'order', gen_random_uuid(), 1, gen_random_uuid(), 'event',"
                     " 'X', 1, '{}', '{}', now() - interval '90 seconds', '1'::xid8, -1");
    run_sql(subject, "update comanda.leases set epoch = 0, tx = '0', position = -2");
    cr_assert_geq(ask_number(subject, "select comanda.relay_behind_s()"), 90);
}

POSTGRES_STORE(plan, given_a_tail_query_then_it_walks_the_index_and_never_sorts)
{
    append_one(subject, an_event(subject, new_id(), 0));
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(subject->postgres,
                                 "set enable_sort = off; set enable_seqscan = off;"
                                 " set enable_bitmapscan = off; explain select * from"
                                 " comanda.events e where (e.epoch, e.tx, e.position) >"
                                 " (0, '0'::xid8, 0) and (e.epoch, e.tx) < ((select l.epoch from"
                                 " comanda.log l), pg_snapshot_xmin(pg_current_snapshot()))"
                                 " order by e.epoch, e.tx, e.position limit 100",
                                 POSTGRES_READS, &result),
                 STATUS_OK);
    bool merges = false;
    for (int i = 0; i < PQntuples(result); i++) {
        const char *line = PQgetvalue(result, i, 0);
        merges = merges || strstr(line, "Merge Append") != NULL;
        cr_assert_null(strstr(line, "Sort  ("), "%s", line);
        cr_assert(strstr(line, "Seq Scan") == NULL || strstr(line, " on log l") != NULL, "%s",
                  line);
    }
    cr_assert(merges);
    PQclear(result);
}

// With what the role's sessions begin with.
#define PROJECTORS_PLAN(query)                                                                 \
    "select set_config(split_part(c, '=', 1), split_part(c, '=', 2), false)"                   \
    " from pg_db_role_setting r, unnest(r.setconfig) c where r.setrole ="                      \
    " 'comanda_projector'::regrole and r.setdatabase = (select d.oid from pg_database d where" \
    " d.datname = current_database()); explain " query

POSTGRES_STORE(plan, given_few_documents_when_the_projector_looks_some_up_then_it_is_by_their_key)
{
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(subject->postgres,
                                 PROJECTORS_PLAN("select d.* from unnest(array['a', 'b'],"
                                                 " array['c', 'd'], array['e', 'f']) as q (tenant,"
                                                 " collection, key) join comanda_read.documents d"
                                                 " using (tenant, collection, key)"),
                                 POSTGRES_READS, &result),
                 STATUS_OK);
    bool by_key = false;
    for (int i = 0; i < PQntuples(result); i++) {
        const char *line = PQgetvalue(result, i, 0);
        by_key = by_key || strstr(line, "documents_pkey") != NULL;
        cr_assert_null(strstr(line, "Seq Scan"), "%s", line);
        cr_assert_null(strstr(line, "JIT"), "%s", line);
    }
    cr_assert(by_key);
    PQclear(result);
}

POSTGRES_STORE(plan, given_functions_that_guide_the_planner_then_none_lets_it_compile)
{
    // Forbidden plans cost 1e10 each, which switches just-in-time compilation on: 3 s for 0.5 ms.
    cr_assert_eq(ask_number(subject, "select count(*) from pg_proc p where p.pronamespace ="
                                     " 'comanda'::regnamespace and array_to_string(p.proconfig,"
                                     " ',') like '%enable\\_%' and not 'jit=off' ="
                                     " any (p.proconfig)"),
                 0);
    cr_assert_geq(ask_number(subject, "select count(*) from pg_proc p where p.pronamespace ="
                                      " 'comanda'::regnamespace and 'jit=off' ="
                                      " any (p.proconfig)"),
                  8);
}

POSTGRES_STORE(epoch, given_rows_of_an_older_epoch_then_they_are_settled_and_come_first)
{
    struct log_cursor at = log_end(subject);
    append_one(subject, an_event(subject, new_id(), 0));
    // As after a restore: the new cluster's transaction ids are far behind the old rows'.
    run_sql(subject, "update comanda.log set system_identifier = system_identifier - 1");
    struct migrate_report report;
    cr_assert_eq(migrate_run(subject->postgres, &subject->arena, &report), STATUS_OK);
    cr_assert(report.epoch_raised);
    append_one(subject, an_event(subject, new_id(), 0));
    struct recorded_event rows[2];
    cr_assert_eq(follow_tail(subject, &at, 10, rows, 2), 2);
    cr_assert_eq(rows[1].at.epoch, rows[0].at.epoch + 1);
}

// Migrations: on databases of their own.

struct database {
    char name[64];
    char conninfo[1024];
    struct arena arena;
};

static void make_database(struct log_subject *subject, struct database *database)
{
    snprintf(database->name, sizeof(database->name), "%s_m", subject->tenant_text);
    snprintf(database->conninfo, sizeof(database->conninfo), "%s dbname=%s", test_database(),
             database->name);
    char sql[128];
    snprintf(sql, sizeof(sql), "create database \"%s\"", database->name);
    run_sql(subject, sql);
    arena_init(&database->arena, 64 * 1024, 16 * 1024 * 1024);
}

static void drop_database(struct log_subject *subject, struct database *database)
{
    char sql[128];
    snprintf(sql, sizeof(sql), "drop database \"%s\" with (force)", database->name);
    run_sql(subject, sql);
    arena_free(&database->arena);
}

static struct postgres *open_database(const struct database *database)
{
    return postgres_new(&(struct postgres_options){.conninfo = database->conninfo});
}

struct migrator {
    pthread_t thread;
    const struct database *database;
    struct migrate_report report;
    enum status status;
};

static void *migrate_beside(void *context)
{
    struct migrator *migrator = context;
    struct postgres *postgres = open_database(migrator->database);
    struct arena arena;
    arena_init(&arena, 64 * 1024, 16 * 1024 * 1024);
    migrator->status = migrate_run(postgres, &arena, &migrator->report);
    arena_free(&arena);
    postgres_free(postgres);
    return NULL;
}

POSTGRES_STORE(migrate, given_two_at_once_then_each_migration_is_applied_once)
{
    struct database database;
    make_database(subject, &database);
    struct migrator migrators[2] = {{.database = &database}, {.database = &database}};
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(pthread_create(&migrators[i].thread, NULL, migrate_beside, &migrators[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(migrators[i].thread, NULL);
        cr_assert_eq(migrators[i].status, STATUS_OK);
        cr_assert_eq(migrators[i].report.version, migrate_version());
    }
    cr_assert_eq(migrators[0].report.applied + migrators[1].report.applied, migrate_version());
    drop_database(subject, &database);
}

POSTGRES_STORE(migrate, given_a_changed_old_migration_then_it_is_refused_by_name)
{
    struct database database;
    make_database(subject, &database);
    struct postgres *postgres = open_database(&database);
    int version = -1;
    cr_assert_eq(migrate_read_version(postgres, &version), STATUS_OK);
    cr_assert_eq(version, 0); // an empty database
    struct migrate_report report;
    cr_assert_eq(migrate_run(postgres, &database.arena, &report), STATUS_OK);
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(postgres,
                                 "update comanda.migrations set checksum = 'x' where version = 2",
                                 POSTGRES_WRITES, &result),
                 STATUS_OK);
    PQclear(result);
    cr_assert_eq(migrate_run(postgres, &database.arena, &report), STATUS_INVALID);
    cr_assert_not_null(strstr(report.cause.data, "migration 2 (append)"), "%s", report.cause.data);
    struct migration_status *list = NULL;
    size_t count = 0;
    cr_assert_eq(migrate_read_status(postgres, &database.arena, &list, &count), STATUS_OK);
    cr_assert_eq(count, (size_t)migrate_version());
    cr_assert_eq(list[0].state, MIGRATION_APPLIED);
    cr_assert_eq(list[1].state, MIGRATION_CHANGED);
    postgres_free(postgres);
    drop_database(subject, &database);
}

POSTGRES_STORE(migrate, given_a_newer_database_then_the_old_program_refuses)
{
    struct database database;
    make_database(subject, &database);
    struct postgres *postgres = open_database(&database);
    struct migrate_report report;
    cr_assert_eq(migrate_run(postgres, &database.arena, &report), STATUS_OK);
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(postgres,
                                 "insert into comanda.migrations (version, name, checksum)"
                                 " values (9999, 'future', 'x')",
                                 POSTGRES_WRITES, &result),
                 STATUS_OK);
    PQclear(result);
    cr_assert_eq(migrate_run(postgres, &database.arena, &report), STATUS_INVALID);
    cr_assert_not_null(strstr(report.cause.data, "9999 (future)"), "%s", report.cause.data);
    postgres_free(postgres);
    drop_database(subject, &database);
}
