// SPDX-License-Identifier: Apache-2.0
// What has to be done for the log now and then, as said to PostgreSQL.
#include "infrastructure/postgres/upkeep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SQL_MAX = 512, OWNER_PATIENCE_MS = 12 * 3600 * 1000 };

static enum status run(struct postgres *postgres, const char *sql)
{
    PGresult *result = NULL;
    enum status status = postgres_script(postgres, sql, POSTGRES_READS, &result);
    PQclear(result);
    return status;
}

static int int_at(const PGresult *result, int column)
{
    return (int)strtol(PQgetvalue(result, 0, column), NULL, 10);
}

static enum upkeep_did did_of(const char *words)
{
    return strncmp(words, "made ", 5) == 0      ? UPKEEP_MADE
           : strncmp(words, "dropped ", 8) == 0 ? UPKEEP_DROPPED
           : strncmp(words, "tuned ", 6) == 0   ? UPKEEP_TUNED
                                                : UPKEEP_NOTHING;
}

enum status upkeep_step(struct postgres *postgres, enum upkeep_did *did)
{
    PGresult *result = NULL;
    enum status status =
        postgres_script(postgres, "select comanda.upkeep_step()", POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        *did = did_of(PQgetvalue(result, 0, 0));
        PQclear(result);
    }
    return status;
}

// lock_not_available, deadlock_detected.
bool upkeep_met_a_lock(const struct postgres *postgres, enum status status)
{
    const char *state = postgres_sqlstate(postgres);
    return status == STATUS_REFUSED && (strcmp(state, "55P03") == 0 || strcmp(state, "40P01") == 0);
}

enum status upkeep_read_undone(struct postgres *postgres, struct upkeep_undone *undone)
{
    PGresult *result = NULL;
    enum status status =
        postgres_script(postgres, "select to_make, to_drop, barred from comanda.upkeep_undone()",
                        POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        *undone = (struct upkeep_undone){.to_make = int_at(result, 0),
                                         .to_drop = int_at(result, 1),
                                         .barred = int_at(result, 2)};
        PQclear(result);
    }
    return status;
}

enum status upkeep_trim(struct postgres *postgres, int row_limit, int *most)
{
    char sql[SQL_MAX];
    PGresult *result = NULL;
    (void)snprintf(sql, sizeof(sql), "select comanda.trim(%d)", row_limit);
    enum status status = postgres_script(postgres, sql, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        *most = int_at(result, 0);
        PQclear(result);
    }
    return status;
}

static const struct {
    const char *name;
    const char *of;
} ages[] = {
    {"keys_random_recorded_at", "keys_random (recorded_at)"},
    {"keys_default_recorded_at", "keys_default (recorded_at)"},
    {"inbox_default_handled_at", "inbox_default (handled_at)"},
};

// 't' or 'f': there, and valid or left behind by an attempt that was cut short. '\0': not there.
static enum status read_validity(struct postgres *postgres, const char *name, char *valid)
{
    char sql[SQL_MAX];
    PGresult *result = NULL;
    (void)snprintf(sql, sizeof(sql),
                   "select i.indisvalid from pg_catalog.pg_index i"
                   " where i.indexrelid = to_regclass('comanda.%s')",
                   name);
    enum status status = postgres_script(postgres, sql, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        *valid = '\0';
        if (PQntuples(result) == 1) {
            *valid = PQgetvalue(result, 0, 0)[0];
        }
        PQclear(result);
    }
    return status;
}

static enum status make_index(struct postgres *postgres, const char *name, const char *of)
{
    char sql[SQL_MAX];
    char valid = '\0';
    enum status status = read_validity(postgres, name, &valid);
    if (status == STATUS_OK && valid == 'f') {
        (void)snprintf(sql, sizeof(sql), "drop index concurrently comanda.%s", name);
        status = run(postgres, sql);
    }
    if (status == STATUS_OK && valid != 't') {
        (void)snprintf(sql, sizeof(sql), "create index concurrently %s on comanda.%s", name, of);
        status = run(postgres, sql);
    }
    return status;
}

static enum status make_indexes(struct postgres *postgres)
{
    enum status status = STATUS_OK;
    char valid = '\0';
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]) && status == STATUS_OK; i++) {
        status = make_index(postgres, ages[i].name, ages[i].of);
    }
    // What the first of them is there instead of.
    if (status == STATUS_OK) {
        status = read_validity(postgres, "keys_random_age", &valid);
    }
    return status == STATUS_OK && valid != '\0'
               ? run(postgres, "drop index concurrently comanda.keys_random_age")
               : status;
}

// Each table in a transaction of its own. In a function all would be one, and once the first was
// written its id would hold the log's readers back until the last was read.
static enum status analyze_parents(struct postgres *postgres)
{
    static const char stale_sql[] =
        "select c.relname from pg_catalog.pg_class c"
        " where c.relnamespace = 'comanda'::regnamespace and c.relkind = 'p'"
        " and coalesce(pg_stat_get_last_analyze_time(c.oid), '-infinity') < now() - interval '1 "
        "day'"
        " and exists (select from pg_catalog.pg_inherits i where i.inhparent = c.oid"
        "  and pg_relation_size(i.inhrelid) > 0)";
    PGresult *stale = NULL;
    enum status status = postgres_script(postgres, stale_sql, POSTGRES_READS, &stale);
    for (int row = 0; status == STATUS_OK && row < PQntuples(stale); row++) {
        char sql[SQL_MAX];
        (void)snprintf(sql, sizeof(sql), "analyze (skip_locked) comanda.%s",
                       PQgetvalue(stale, row, 0));
        status = run(postgres, sql);
    }
    PQclear(stale);
    return status;
}

enum status upkeep_of_owner(struct postgres *postgres)
{
    postgres_set_reply_timeout(postgres, OWNER_PATIENCE_MS);
    // Nothing here waits for, or is waited for by, who reads or writes rows.
    enum status status = run(postgres, "set lock_timeout = 0");
    if (status == STATUS_OK) {
        status = make_indexes(postgres);
    }
    if (status == STATUS_OK) {
        status = analyze_parents(postgres);
    }
    postgres_set_reply_timeout(postgres, 0);
    return status;
}
