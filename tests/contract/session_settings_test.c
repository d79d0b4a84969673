// SPDX-License-Identifier: Apache-2.0
// A daemon's session means the same bytes and is as durable whatever the database's defaults are.
#include "infrastructure/postgres/session_settings.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "../support/test_database.h"
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

static void run(struct postgres *postgres, const char *sql)
{
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(postgres, sql, POSTGRES_WRITES, &result), STATUS_OK, "%s: %s", sql,
                 postgres_error(postgres));
    PQclear(result);
}

static void set_default(struct postgres *postgres, const char *name, const char *value)
{
    char sql[512];
    snprintf(sql, sizeof(sql),
             "do $$ begin execute format('alter database %%I set %s to %%L', current_database(),"
             " '%s'); end $$",
             name, value);
    run(postgres, sql);
}

static void expect(struct postgres *postgres, const char *name, const char *value)
{
    char sql[128];
    snprintf(sql, sizeof(sql), "select current_setting('%s')", name);
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(postgres, sql, POSTGRES_READS, &result), STATUS_OK, "%s",
                 postgres_error(postgres));
    cr_assert_str_eq(PQgetvalue(result, 0, 0), value, "%s", name);
    PQclear(result);
}

static struct postgres *open_session(const char *options)
{
    char conninfo[1024];
    snprintf(conninfo, sizeof(conninfo), "%s%s", test_database(), options);
    struct postgres *postgres = postgres_new(&(struct postgres_options){.conninfo = conninfo});
    cr_assert_not_null(postgres);
    return postgres;
}

static const struct {
    const char *name;
    const char *theirs;
    const char *ours;
} settings[] = {
    {"client_encoding", "LATIN1", "UTF8"},
    {"DateStyle", "German", "ISO, MDY"},
    {"IntervalStyle", "iso_8601", "postgres"},
    {"TimeZone", "America/Sao_Paulo", "UTC"},
    {"bytea_output", "escape", "hex"},
    {"standard_conforming_strings", "off", "on"},
    {"default_transaction_isolation", "serializable", "read committed"},
    {"default_transaction_read_only", "on", "off"},
};

enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };

Test(session_settings, given_other_defaults_then_ours_stand_and_a_durable_commit)
{
    struct postgres *first = open_session("");
    for (size_t i = 0; i < SETTINGS; i++) {
        set_default(first, settings[i].name, settings[i].theirs);
    }
    static const struct {
        const char *theirs;
        const char *ours;
    } commits[] = {
        {"off", "on"},
        {"local", "on"},
        {"remote_write", "on"},
        {"on", "on"},
        {"remote_apply", "remote_apply"},
    };
    for (size_t i = 0; i < sizeof(commits) / sizeof(commits[0]); i++) {
        set_default(first, "synchronous_commit", commits[i].theirs);
        struct postgres *postgres = open_session(" options='-c DateStyle=SQL -c lock_timeout=7s'");
        for (size_t j = 0; j < SETTINGS; j++) {
            expect(postgres, settings[j].name, settings[j].ours);
        }
        expect(postgres, "synchronous_commit", commits[i].ours);
        expect(postgres, "lock_timeout", "7s"); // what else the operator asks for stays
        postgres_free(postgres);
    }
    struct postgres *explicit = open_session(" options='-c synchronous_commit=off'");
    expect(explicit, "synchronous_commit", "off"); // our own setting says so
    postgres_free(explicit);
    postgres_free(first);
}
