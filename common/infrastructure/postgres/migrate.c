// SPDX-License-Identifier: Apache-2.0
// Brings a database's schema to this program's version, once and in order, and tells where it
// stands. A migration that was applied with other bytes than ours is refused.
#include "infrastructure/postgres/migrate.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/sha256.h"
#include "infrastructure/postgres/migrations.h"
#include "infrastructure/postgres/upkeep.h"

enum {
    SCRIPT_BYTES_MAX = 1 << 20,
    CHECKSUM_LEN = 2 * SHA256_LEN,
    EXACT_MAX = 17,        // programs up to this one want exactly their own version
    LOCK_TRIES_MAX = 3000, // for another migrate, ten minutes
    APPLY_TRIES_MAX = 900, // for who holds what a migration must lock, three minutes at least
    STEP_TRIES_MAX = 5,
    PAUSE_US = 200000,
};

static const char read_sql[] =
    "select version, name, checksum,"
    " to_char(applied_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), serves"
    " from comanda.schema_versions order by version";

// As programs up to EXACT_MAX left it.
static const char read_exact_sql[] =
    "select version, name, checksum,"
    " to_char(applied_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), version"
    " from comanda.migrations order by version";

// For locks of commands' tables none waits longer than commands may, who queue up behind it.
static const char session_sql[] =
    "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;"
    " set client_min_messages = warning; set lock_timeout = '100ms'";

// The session's: it falls with it, and spans the transactions of all migrations. Who has to wait
// asks again: a statement that waits holds a snapshot, for which the making of an index would wait.
static const char lock_sql[] = "select pg_try_advisory_lock(hashtext('comanda.migrate'))";

// comanda.schema_versions has all; comanda.migrations is what programs up to EXACT_MAX compare with
// their own version, and has what they must not work with (make_script).
static const char tables_sql[] =
    "create schema if not exists comanda;"
    " create table if not exists comanda.migrations (version int4 primary key, name text not null,"
    " checksum text not null, applied_at timestamptz not null default clock_timestamp());"
    " create table if not exists comanda.schema_versions (version int4 primary key, serves int4 not"
    " null, name text not null, checksum text not null, applied_at timestamptz not null default"
    " clock_timestamp());"
    " insert into comanda.schema_versions (version, serves, name, checksum, applied_at)"
    " select version, version, name, checksum, applied_at from comanda.migrations"
    " on conflict do nothing";

static const char encoding_sql[] = "select current_setting('server_encoding'), current_database()";

static const char unlock_sql[] = "select pg_advisory_unlock(hashtext('comanda.migrate'))";

// A dump restored into another cluster brings rows whose transaction ids mean nothing there.
static const char adopt_sql[] =
    "select (new_epoch > old_epoch)::int4, overlooked, first_position, last_position"
    " from comanda.log_adopt(false, 0, 0, 0, false)";

int migrate_version(void)
{
    return migrations[migration_count - 1].version;
}

static void checksum(const struct migration *migration, char text[CHECKSUM_LEN + 1])
{
    unsigned char digest[SHA256_LEN];
    struct str sql = str_from(migration->sql);
    sha256(&sql, 1, digest);
    for (size_t i = 0; i < SHA256_LEN; i++) {
        text[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    text[CHECKSUM_LEN] = '\0';
}

static bool schema_is_absent(const struct postgres *postgres)
{
    const char *state = postgres_sqlstate(postgres);
    return strcmp(state, "42P01") == 0 || strcmp(state, "3F000") == 0;
}

// A version or a count, as text; the schema keeps it within an int.
static int int_at(const PGresult *result, int row, int column)
{
    return (int)strtol(PQgetvalue(result, row, column), NULL, 10);
}

static struct migration_status pending(const struct migration *migration)
{
    return (struct migration_status){.version = migration->version,
                                     .serves = migration->serves,
                                     .name = str_from(migration->name),
                                     .applied_at = STR("")};
}

static const struct migration *find_ours(int version)
{
    for (size_t i = 0; i < migration_count; i++) {
        if (migrations[i].version == version) {
            return &migrations[i];
        }
    }
    return NULL;
}

static struct migration_status applied(const PGresult *result, int row, struct arena *arena)
{
    const struct migration *ours = find_ours(int_at(result, row, 0));
    struct migration_status status = {
        .version = int_at(result, row, 0),
        .serves = int_at(result, row, 4),
        .name = arena_str(arena, str_from(PQgetvalue(result, row, 1))),
        .state = MIGRATION_FOREIGN,
        .applied_at = arena_str(arena, str_from(PQgetvalue(result, row, 3))),
    };
    if (ours != NULL) {
        char sum[CHECKSUM_LEN + 1];
        checksum(ours, sum);
        status.state =
            strcmp(sum, PQgetvalue(result, row, 2)) == 0 ? MIGRATION_APPLIED : MIGRATION_CHANGED;
    }
    return status;
}

// rows: of the database, or NULL when it has none.
static enum status merge(const PGresult *rows, struct arena *arena, struct migration_status **list,
                         size_t *count)
{
    int row_count = rows == NULL ? 0 : PQntuples(rows);
    struct migration_status *merged =
        arena_array(arena, migration_count + (size_t)row_count, sizeof(*merged));
    if (merged == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t used = 0;
    int row = 0;
    for (size_t i = 0; i < migration_count; i++) {
        bool stands = row < row_count && int_at(rows, row, 0) == migrations[i].version;
        merged[used++] = stands ? applied(rows, row, arena) : pending(&migrations[i]);
        row += stands;
    }
    for (; row < row_count; row++) {
        merged[used++] = applied(rows, row, arena);
    }
    *list = merged;
    *count = used;
    return STATUS_OK;
}

enum status migrate_read_status(struct postgres *postgres, struct arena *arena,
                                struct migration_status **list, size_t *count)
{
    PGresult *rows = NULL;
    enum status status = postgres_script(postgres, read_sql, POSTGRES_READS, &rows);
    if (status == STATUS_REFUSED && schema_is_absent(postgres)) {
        status = postgres_script(postgres, read_exact_sql, POSTGRES_READS, &rows);
    }
    if (status == STATUS_REFUSED && schema_is_absent(postgres)) {
        status = STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = merge(rows, arena, list, count);
    }
    PQclear(rows);
    return status;
}

static enum status run_script(struct postgres *postgres, const char *sql)
{
    PGresult *result = NULL;
    enum status status = postgres_script(postgres, sql, POSTGRES_READS, &result);
    PQclear(result);
    return status;
}

// One script is one transaction. A program that compares versions exactly sees a new one only when
// it must not go on.
static enum status make_script(const struct migration *migration, struct buffer *script)
{
    char sum[CHECKSUM_LEN + 1];
    checksum(migration, sum);
    buffer_printf(script,
                  "%s\n;insert into comanda.schema_versions (version, serves, name, checksum)"
                  " values (%d, %d, '%s', '%s')",
                  migration->sql, migration->version, migration->serves, migration->name, sum);
    if (migration->version <= EXACT_MAX || migration->serves > EXACT_MAX) {
        buffer_printf(script,
                      ";insert into comanda.migrations (version, name, checksum)"
                      " values (%d, '%s', '%s')",
                      migration->version, migration->name, sum);
    }
    buffer_add_char(script, '\0');
    return script->status;
}

static enum status apply(struct postgres *postgres, const struct migration *migration,
                         struct arena *arena)
{
    struct buffer script;
    buffer_init(&script, arena, SCRIPT_BYTES_MAX);
    enum status status = make_script(migration, &script);
    for (int tries = 1; status == STATUS_OK; tries++) {
        status = run_script(postgres, script.data);
        if (tries == APPLY_TRIES_MAX || !upkeep_met_a_lock(postgres, status)) {
            break;
        }
        status = STATUS_OK;
        usleep(PAUSE_US);
    }
    return status;
}

// Nothing is applied on top of a history that is not ours.
static bool history_is_ours(const struct migration_status *list, size_t count, struct arena *arena,
                            struct str *cause)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].state == MIGRATION_CHANGED) {
            *cause = arena_printf(arena,
                                  "migration %d (%.*s) was applied with other content than this"
                                  " program's: put the old file back and write a new migration",
                                  list[i].version, STR_FMT(list[i].name));
            return false;
        }
        if (list[i].state == MIGRATION_FOREIGN && list[i].serves > migrate_version()) {
            *cause = arena_printf(arena,
                                  "the database has migration %d (%.*s), which serves programs of"
                                  " %d and later, this one is of %d: use the newer program",
                                  list[i].version, STR_FMT(list[i].name), list[i].serves,
                                  migrate_version());
            return false;
        }
    }
    return true;
}

static enum status apply_pending(struct postgres *postgres, struct arena *arena,
                                 struct migrate_report *report)
{
    struct migration_status *list = NULL;
    size_t count = 0;
    enum status status = migrate_read_status(postgres, arena, &list, &count);
    if (status != STATUS_OK) {
        return status;
    }
    if (!history_is_ours(list, count, arena, &report->cause)) {
        return STATUS_INVALID;
    }
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        if (list[i].state != MIGRATION_PENDING) {
            continue;
        }
        status = apply(postgres, find_ours(list[i].version), arena);
        if (status == STATUS_OK) {
            report->applied++;
        } else {
            report->cause = arena_printf(
                arena, "migration %d (%.*s): %s%s", list[i].version, STR_FMT(list[i].name),
                postgres_error(postgres),
                upkeep_met_a_lock(postgres, status)
                    ? "; another session holds what it must lock: look for it in pg_locks"
                    : "");
        }
    }
    return status;
}

// What is held by others is left to the relay's leader, which tries for as long as it takes.
static enum status keep_partitions(struct postgres *postgres, struct migrate_report *report)
{
    struct upkeep_undone undone;
    enum upkeep_did did = UPKEEP_NOTHING;
    enum status status;
    int tries = 0;
    do {
        status = upkeep_step(postgres, &did);
        report->partitions += status == STATUS_OK && did == UPKEEP_MADE;
        if (upkeep_met_a_lock(postgres, status)) {
            tries++;
            usleep(PAUSE_US);
        }
    } while ((status == STATUS_OK && did != UPKEEP_NOTHING) ||
             (upkeep_met_a_lock(postgres, status) && tries < STEP_TRIES_MAX));
    if (status == STATUS_OK || upkeep_met_a_lock(postgres, status)) {
        status = upkeep_read_undone(postgres, &undone);
        report->undone = status == STATUS_OK ? undone.to_make + undone.to_drop : 0;
    }
    return status;
}

static enum status finish(struct postgres *postgres, struct migrate_report *report)
{
    PGresult *result = NULL;
    struct schema_range range;
    enum status status = postgres_script(postgres, adopt_sql, POSTGRES_READS, &result);
    if (status != STATUS_OK) {
        return status;
    }
    report->epoch_raised = int_at(result, 0, 0) > 0;
    report->overlooked = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
    report->first_position = strtoll(PQgetvalue(result, 0, 2), NULL, 10); // "" is 0
    report->last_position = strtoll(PQgetvalue(result, 0, 3), NULL, 10);
    PQclear(result);
    status = migrate_read_range(postgres, &range);
    if (status == STATUS_OK) {
        report->version = range.version;
        status = keep_partitions(postgres, report);
    }
    return status == STATUS_OK ? upkeep_of_owner(postgres) : status;
}

// Names and words of all the world go into the log, which is never rewritten.
static enum status check_encoding(struct postgres *postgres, struct arena *arena, struct str *cause)
{
    PGresult *result = NULL;
    enum status status = postgres_script(postgres, encoding_sql, POSTGRES_READS, &result);
    if (status == STATUS_OK && strcmp(PQgetvalue(result, 0, 0), "UTF8") != 0) {
        *cause =
            arena_printf(arena,
                         "the database %s has the encoding %s, the log needs UTF8: make"
                         " another one, create database ... encoding 'UTF8' template template0",
                         PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 0));
        status = STATUS_INVALID;
    }
    PQclear(result);
    return status;
}

static enum status lock_out_others(struct postgres *postgres, struct str *cause)
{
    for (int tries = 1; tries <= LOCK_TRIES_MAX; tries++) {
        PGresult *result = NULL;
        enum status status = postgres_script(postgres, lock_sql, POSTGRES_READS, &result);
        bool ours = status == STATUS_OK && PQgetvalue(result, 0, 0)[0] == 't';
        PQclear(result);
        if (status != STATUS_OK || ours) {
            return status;
        }
        usleep(PAUSE_US);
    }
    *cause = STR("another migrate has been at it for ten minutes: see what it waits for");
    return STATUS_TIMEOUT;
}

static enum status run_locked(struct postgres *postgres, struct arena *arena,
                              struct migrate_report *report)
{
    enum status status = run_script(postgres, tables_sql);
    if (status == STATUS_OK) {
        status = apply_pending(postgres, arena, report);
    }
    if (status == STATUS_OK) {
        status = finish(postgres, report);
    }
    if (postgres_is_connected(postgres)) {
        if (status != STATUS_OK && str_is_empty(report->cause)) {
            report->cause = arena_str(arena, str_from(postgres_error(postgres)));
        }
        enum status unlocked = run_script(postgres, unlock_sql);
        status = status == STATUS_OK ? unlocked : status;
    }
    return status;
}

enum status migrate_run(struct postgres *postgres, struct arena *arena,
                        struct migrate_report *report)
{
    *report = (struct migrate_report){.cause = STR("")};
    enum status status = check_encoding(postgres, arena, &report->cause);
    if (status == STATUS_OK) {
        status = run_script(postgres, session_sql);
    }
    if (status == STATUS_OK) {
        status = lock_out_others(postgres, &report->cause);
    }
    if (status == STATUS_OK) {
        status = run_locked(postgres, arena, report);
    }
    if (status != STATUS_OK && str_is_empty(report->cause)) {
        report->cause = arena_str(arena, str_from(postgres_error(postgres)));
    }
    return status;
}
