// SPDX-License-Identifier: Apache-2.0
// Migrations, on databases of their own: each applied once, in order, and which programs a schema
// serves.
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support/log_checks.h"
#include "../support/log_subject.h"
#include "../support/test_database.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/migrate.h"
#include "infrastructure/postgres/migrations.h"

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

enum {
    EXACT_MAX = 17, // programs up to this one want exactly their own version
    DROP_TRIES = 40,
    DROP_PAUSE_US = 250000,
};

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

// An autovacuum worker in it belongs to a role that we may not end.
static void drop_database(struct log_subject *subject, struct database *database)
{
    char sql[128];
    enum status status;
    int left = DROP_TRIES;
    snprintf(sql, sizeof(sql), "drop database \"%s\" with (force)", database->name);
    do {
        PGresult *result = NULL;
        status = postgres_script(subject->postgres, sql, POSTGRES_READS, &result);
        PQclear(result);
    } while (status != STATUS_OK && --left > 0 && usleep(DROP_PAUSE_US) == 0);
    cr_assert_eq(status, STATUS_OK, "%s", postgres_error(subject->postgres));
    arena_free(&database->arena);
}

static struct postgres *open_database(const struct database *database)
{
    return postgres_new(
        &(struct postgres_options){.conninfo = database->conninfo, .any_log = true});
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
    cr_assert_eq(migrators[0].report.applied + migrators[1].report.applied, (int)migration_count);
    drop_database(subject, &database);
}

POSTGRES_STORE(migrate, given_a_changed_old_migration_then_it_is_refused_by_name)
{
    struct database database;
    make_database(subject, &database);
    struct postgres *postgres = open_database(&database);
    struct schema_range range = {-1, -1};
    cr_assert_eq(migrate_read_range(postgres, &range), STATUS_OK);
    cr_assert_eq(range.version, 0); // an empty database
    cr_assert_eq(migrate_fit(range), SCHEMA_OLDER);
    struct migrate_report report;
    cr_assert_eq(migrate_run(postgres, &database.arena, &report), STATUS_OK);
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(postgres,
                                 "update comanda.schema_versions set checksum = 'x'"
                                 " where version = 2",
                                 POSTGRES_WRITES, &result),
                 STATUS_OK);
    PQclear(result);
    cr_assert_eq(migrate_run(postgres, &database.arena, &report), STATUS_INVALID);
    cr_assert_not_null(strstr(report.cause.data, "migration 2 (append)"), "%s", report.cause.data);
    struct migration_status *list = NULL;
    size_t count = 0;
    cr_assert_eq(migrate_read_status(postgres, &database.arena, &list, &count), STATUS_OK);
    cr_assert_eq(count, migration_count);
    cr_assert_eq(list[0].state, MIGRATION_APPLIED);
    cr_assert_eq(list[1].state, MIGRATION_CHANGED);
    postgres_free(postgres);
    drop_database(subject, &database);
}

static void run_on(struct postgres *postgres, const char *sql)
{
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(postgres, sql, POSTGRES_WRITES, &result), STATUS_OK, "%s",
                 postgres_error(postgres));
    PQclear(result);
}

static int ask_on(struct postgres *postgres, const char *sql)
{
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(postgres, sql, POSTGRES_READS, &result), STATUS_OK, "%s",
                 postgres_error(postgres));
    int number = atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    return number;
}

static enum schema_fit fit_of(struct postgres *postgres, char words[SCHEMA_WORDS_MAX])
{
    struct schema_range range;
    cr_assert_eq(migrate_read_range(postgres, &range), STATUS_OK);
    migrate_describe(range, words, SCHEMA_WORDS_MAX);
    return migrate_fit(range);
}

static void add_later(struct postgres *postgres, int version, int serves)
{
    char sql[256];
    (void)snprintf(sql, sizeof(sql),
                   "insert into comanda.schema_versions (version, serves, name, checksum)"
                   " values (%d, %d, 'future', 'x')",
                   version, serves);
    run_on(postgres, sql);
}

POSTGRES_STORE(range, given_a_later_migration_that_serves_us_then_this_program_is_ready)
{
    struct database database;
    char words[SCHEMA_WORDS_MAX];
    make_database(subject, &database);
    struct postgres *postgres = open_database(&database);
    struct migrate_report report;
    cr_assert_eq(migrate_run(postgres, &database.arena, &report), STATUS_OK);
    add_later(postgres, 9998, migrate_version());
    cr_assert_eq(fit_of(postgres, words), SCHEMA_FITS, "%s", words);
    cr_assert_not_null(strstr(words, "version 9998 serves programs of"), "%s", words);
    // Its comandactl has nothing to do there, and says so.
    cr_assert_eq(migrate_run(postgres, &database.arena, &report), STATUS_OK);
    cr_assert_eq(report.applied, 0);
    cr_assert_eq(report.version, 9998);
    postgres_free(postgres);
    drop_database(subject, &database);
}

POSTGRES_STORE(range, given_a_later_migration_that_serves_us_no_more_then_the_program_is_to_blame)
{
    struct database database;
    char words[SCHEMA_WORDS_MAX];
    make_database(subject, &database);
    struct postgres *postgres = open_database(&database);
    struct migrate_report report;
    cr_assert_eq(migrate_run(postgres, &database.arena, &report), STATUS_OK);
    add_later(postgres, 9998, 9998);
    add_later(postgres, 9999, 1); // what came before it stays undone
    cr_assert_eq(fit_of(postgres, words), SCHEMA_NEWER);
    cr_assert_not_null(strstr(words, "serves programs of 9998 and later"), "%s", words);
    cr_assert_not_null(strstr(words, "start a newer program"), "%s", words);
    cr_assert_eq(migrate_run(postgres, &database.arena, &report), STATUS_INVALID);
    cr_assert_not_null(strstr(report.cause.data, "9998 (future)"), "%s", report.cause.data);
    postgres_free(postgres);
    drop_database(subject, &database);
}

// As a program of that version left it.
static void make_exact(struct postgres *postgres, struct arena *arena)
{
    run_on(postgres, "create schema comanda; create table comanda.migrations (version int4 primary"
                     " key, name text not null, checksum text not null, applied_at timestamptz not"
                     " null default clock_timestamp())");
    for (size_t i = 0; i < migration_count && migrations[i].version <= EXACT_MAX; i++) {
        const struct migration *one = &migrations[i];
        struct str sql = arena_printf(arena,
                                      "%s;insert into comanda.migrations (version, name, checksum)"
                                      " select %d, '%s', encode(sha256(convert_to($file$%s$file$,"
                                      " 'UTF8')), 'hex')",
                                      one->sql, one->version, one->name, one->sql);
        cr_assert_not_null(sql.data);
        run_on(postgres, sql.data);
    }
}

POSTGRES_STORE(range, given_a_database_of_0017_when_migrated_then_programs_of_0017_are_served_still)
{
    struct database database;
    char words[SCHEMA_WORDS_MAX];
    make_database(subject, &database);
    struct postgres *postgres = open_database(&database);
    make_exact(postgres, &database.arena);
    cr_assert_eq(fit_of(postgres, words), SCHEMA_OLDER);
    cr_assert_not_null(strstr(words, "the schema is version 17"), "%s", words);
    cr_assert_not_null(strstr(words, "run comandactl migrate"), "%s", words);
    struct migrate_report report;
    cr_assert_eq(migrate_run(postgres, &database.arena, &report), STATUS_OK, "%.*s",
                 STR_FMT(report.cause));
    int served = 1;
    int later = 0;
    for (size_t i = 0; i < migration_count; i++) {
        later += migrations[i].version > EXACT_MAX;
        served =
            served && (migrations[i].version <= EXACT_MAX || migrations[i].serves <= EXACT_MAX);
    }
    cr_assert_eq(report.applied, later);
    cr_assert_eq(fit_of(postgres, words), SCHEMA_FITS, "%s", words);
    // What those programs ask, and want to be exactly their own.
    cr_assert_eq(ask_on(postgres, "select coalesce(max(version), 0) from comanda.migrations") ==
                     EXACT_MAX,
                 served);
    cr_assert_eq(ask_on(postgres, "select count(*) from comanda.schema_versions"),
                 (int)migration_count);
    postgres_free(postgres);
    drop_database(subject, &database);
}

static bool waits_for_a_lock(struct log_subject *subject, const struct database *database)
{
    char sql[256];
    (void)snprintf(sql, sizeof(sql),
                   "select count(*) from pg_stat_activity where datname = '%s'"
                   " and wait_event_type = 'Lock' and query not like '%%pg_stat_activity%%'",
                   database->name);
    return ask_sql(subject, sql).data[0] != '0';
}

POSTGRES_STORE(migrate, given_a_table_that_is_held_then_it_gives_way_to_writers_and_tries_again)
{
    struct database database;
    make_database(subject, &database);
    struct postgres *holder = open_database(&database);
    struct postgres *writer = open_database(&database);
    make_exact(holder, &database.arena);
    run_on(holder, "begin; lock table comanda.timers in row exclusive mode");
    struct migrator migrator = {.database = &database};
    cr_assert_eq(pthread_create(&migrator.thread, NULL, migrate_beside, &migrator), 0);
    while (!waits_for_a_lock(subject, &database)) { // its trigger on timers
    }
    for (int i = 0; i < 3; i++) { // stood behind it for ever
        run_on(writer, "set lock_timeout = '20s'; begin; lock table comanda.timers in row exclusive"
                       " mode; commit");
    }
    run_on(holder, "commit");
    pthread_join(migrator.thread, NULL);
    cr_assert_eq(migrator.status, STATUS_OK, "%.*s", STR_FMT(migrator.report.cause));
    cr_assert_eq(migrator.report.version, migrate_version());
    postgres_free(holder);
    postgres_free(writer);
    drop_database(subject, &database);
}
