// SPDX-License-Identifier: Apache-2.0
// A migrated database of a test program's own, made before its first test and dropped after its
// last.
#include "test_database.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/migrate.h"

// Tests run in processes of their own: what they share with the parent is the environment.
#define DATABASE_VARIABLE "COMANDA_TEST_OWN_DATABASE"

enum { CONNINFO_MAX = 1024, DROP_TRIES = 40, DROP_PAUSE_US = 250000 };

static const char *server(void)
{
    const char *conninfo = getenv("COMANDA_TEST_POSTGRES");
    if (conninfo == NULL) {
        fprintf(stderr, "COMANDA_TEST_POSTGRES must name the test's PostgreSQL server\n");
        exit(1);
    }
    return conninfo;
}

static void name_of(char name[64])
{
    snprintf(name, 64, "test_%d", (int)getpid());
}

static struct postgres *open_server(const char *conninfo)
{
    return postgres_new(&(struct postgres_options){
        .conninfo = conninfo, .application_name = "test_database", .any_log = true});
}

static bool run(const char *conninfo, const char *sql, bool last)
{
    struct postgres *postgres = open_server(conninfo);
    PGresult *result = NULL;
    enum status status = postgres_script(postgres, sql, POSTGRES_WRITES, &result);
    if (status != STATUS_OK && last) {
        fprintf(stderr, "%s: %s\n", sql, postgres_error(postgres));
        exit(1);
    }
    PQclear(result);
    postgres_free(postgres);
    return status == STATUS_OK;
}

static void run_or_exit(const char *conninfo, const char *sql)
{
    (void)run(conninfo, sql, true);
}

static void migrate_or_exit(const char *conninfo)
{
    struct postgres *postgres = open_server(conninfo);
    struct arena arena;
    arena_init(&arena, 64 * 1024, 16 * 1024 * 1024);
    struct migrate_report report = {0};
    if (migrate_run(postgres, &arena, &report) != STATUS_OK) {
        fprintf(stderr, "migrate: %.*s\n", STR_FMT(report.cause));
        exit(1);
    }
    arena_free(&arena);
    postgres_free(postgres);
}

void test_database_make(void)
{
    char name[64], sql[128], conninfo[CONNINFO_MAX];
    name_of(name);
    snprintf(sql, sizeof(sql), "drop database if exists %s", name);
    run_or_exit(server(), sql);
    snprintf(sql, sizeof(sql), "create database %s", name);
    run_or_exit(server(), sql);
    snprintf(conninfo, sizeof(conninfo), "%s dbname=%s", server(), name); // the last one counts
    migrate_or_exit(conninfo);
    setenv(DATABASE_VARIABLE, conninfo, 1);
}

void test_database_drop(void)
{
    char name[64], sql[128];
    name_of(name);
    snprintf(sql, sizeof(sql), "drop database if exists %s with (force)", name);
    // An autovacuum worker in it belongs to a role that we may not end.
    for (int left = DROP_TRIES; !run(server(), sql, left == 1); left--) {
        usleep(DROP_PAUSE_US);
    }
}

const char *test_database(void)
{
    const char *conninfo = getenv(DATABASE_VARIABLE);
    cr_assert_not_null(conninfo, "the test file lacks its PRE_ALL hook");
    return conninfo;
}
