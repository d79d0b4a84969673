// SPDX-License-Identifier: Apache-2.0
// One suite for every bell of the log: who sleeps is woken by the next append, and never falls
// asleep before a row that is on its way.
#include "application/ports/log_bell.h"

#include <criterion/criterion.h>
#include <libpq-fe.h>

#include "../support/log_subject.h"
#include "../support/test_database.h"
#include "base/monotonic.h"
#include "infrastructure/memory/log_bell_memory.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/log_bell_postgres.h"

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

enum { WAIT_MS = 60000, SOON_MS = 20 };

struct subject {
    struct log_subject log;
    struct log_bell *bell;
    struct postgres *session;
    struct log_cursor at; // the log's end
};

static struct postgres *open_session(void)
{
    struct postgres *postgres = postgres_new(&(struct postgres_options){
        .conninfo = test_database(), .application_name = "log_bell_test"});
    cr_assert_not_null(postgres);
    return postgres;
}

static void open_memory(struct subject *subject)
{
    log_subject_open_memory(&subject->log);
    subject->bell = log_bell_memory_new(subject->log.store);
}

static void open_postgres(struct subject *subject)
{
    log_subject_open_postgres(&subject->log);
    subject->session = open_session();
    subject->bell = log_bell_postgres_new(subject->session);
}

static void close_subject(struct subject *subject)
{
    if (subject->session == NULL) {
        log_bell_memory_free(subject->bell);
    } else {
        log_bell_postgres_free(subject->bell);
        postgres_free(subject->session);
    }
    log_subject_close(&subject->log);
}

static void read_to_the_end(struct subject *subject)
{
    struct recorded_event *rows = NULL;
    size_t count = 1;
    while (count > 0) {
        cr_assert_eq(event_store_read_tail(subject->log.store, subject->at, 1000,
                                           &subject->log.arena, &rows, &count, &subject->at),
                     STATUS_OK);
    }
}

static void append_a_row(struct subject *subject)
{
    append_one(&subject->log, an_event(&subject->log, new_id(), 0));
}

static bool sleeps(struct subject *subject)
{
    bool asleep = false;
    cr_assert_eq(log_bell_sleep(subject->bell, subject->at, &asleep), STATUS_OK);
    return asleep;
}

// Others have transactions on this server, which hold its readers back for a moment.
static bool falls_asleep(struct subject *subject)
{
    int64_t deadline = monotonic_ms() + WAIT_MS;
    do {
        read_to_the_end(subject);
    } while (!sleeps(subject) && monotonic_ms() < deadline);
    return monotonic_ms() < deadline;
}

static bool rings(struct subject *subject, int wait_ms)
{
    bool rung = false;
    cr_assert_eq(log_bell_listen(subject->bell, wait_ms, &rung), STATUS_OK);
    return rung;
}

#define BOTH_BELLS(name)                       \
    static void name(struct subject *subject); \
    Test(bell_memory, name)                    \
    {                                          \
        struct subject subject = {0};          \
        open_memory(&subject);                 \
        name(&subject);                        \
        close_subject(&subject);               \
    }                                          \
    Test(bell_postgres, name)                  \
    {                                          \
        struct subject subject = {0};          \
        open_postgres(&subject);               \
        name(&subject);                        \
        close_subject(&subject);               \
    }                                          \
    static void name(struct subject *subject)

BOTH_BELLS(given_a_sleeper_when_a_row_is_appended_then_the_bell_rings)
{
    cr_assert(falls_asleep(subject));
    cr_assert_not(rings(subject, SOON_MS));
    append_a_row(subject);
    cr_assert(rings(subject, WAIT_MS));
}

BOTH_BELLS(given_a_row_past_the_cursor_then_nobody_falls_asleep)
{
    read_to_the_end(subject);
    append_a_row(subject);
    cr_assert_not(sleeps(subject));
    cr_assert(falls_asleep(subject));
}

BOTH_BELLS(given_a_sleeper_when_asked_again_then_it_looks_again)
{
    cr_assert(falls_asleep(subject));
    cr_assert(falls_asleep(subject));
    append_a_row(subject);
    cr_assert_not(sleeps(subject));
    cr_assert(falls_asleep(subject));
}

BOTH_BELLS(given_a_sleeper_when_it_wakes_then_it_may_sleep_anew)
{
    cr_assert(falls_asleep(subject));
    cr_assert_eq(log_bell_wake(subject->bell), STATUS_OK);
    cr_assert_eq(log_bell_wake(subject->bell), STATUS_OK);
    append_a_row(subject);
    cr_assert(falls_asleep(subject));
    cr_assert_not(rings(subject, SOON_MS)); // what came while it was awake rang for nobody
}

// --- what only PostgreSQL can show: others at the same time

static PGconn *open_plain(void)
{
    PGconn *conn = PQconnectdb(test_database());
    cr_assert_eq(PQstatus(conn), CONNECTION_OK, "%s", PQerrorMessage(conn));
    return conn;
}

static void execute(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    cr_assert(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s", PQerrorMessage(conn));
    PQclear(result);
}

#define APPEND_A_ROW                                                                        \
    "select comanda.append('{1}', 1, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'," \
    " '{}', '{0}', '{0}', array[u.id], '{0}', '{f}', '{0}', '{t}', array[u.id], '{1}',"     \
    " array[u.id], '{1}', '{main}', '{meter}', '{event}', '{MeterRead}', '{\"{}\"}',"       \
    " '{\"{}\"}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')"                          \
    " from gen_random_uuid() u (id)"

Test(bell_postgres, given_an_append_that_has_not_committed_then_nobody_falls_asleep)
{
    struct subject subject = {0};
    open_postgres(&subject);
    PGconn *other = open_plain();
    execute(other, "begin");
    execute(other, APPEND_A_ROW);
    read_to_the_end(&subject);
    cr_assert_not(sleeps(&subject));
    execute(other, "commit");
    cr_assert_not(sleeps(&subject));
    cr_assert(falls_asleep(&subject));
    PQfinish(other);
    close_subject(&subject);
}

// The row is there, but readers may not pass: no bell will ring when that transaction ends.
Test(bell_postgres, given_a_row_behind_the_horizon_then_nobody_falls_asleep)
{
    struct subject subject = {0};
    open_postgres(&subject);
    PGconn *other = open_plain();
    execute(other, "begin; select pg_current_xact_id()");
    append_a_row(&subject);
    read_to_the_end(&subject);
    cr_assert_not(sleeps(&subject));
    execute(other, "commit");
    cr_assert(falls_asleep(&subject));
    PQfinish(other);
    close_subject(&subject);
}

// Rows that were not written by comanda.append ring for nobody; the net finds them.
Test(bell_postgres, given_a_plain_insert_that_commits_late_when_asked_again_then_it_is_seen)
{
    struct subject subject = {0};
    open_postgres(&subject);
    PGconn *other = open_plain();
    execute(other, "begin; insert into comanda.events (epoch, tenant, category, stream_id, version,"
                   " event_id, kind, type, schema_version, data, meta) select 1, 'main', 'meter',"
                   " gen_random_uuid(), 1, gen_random_uuid(), 'event', 'X', 1, '{}', '{}'");
    cr_assert(falls_asleep(&subject));
    cr_assert(falls_asleep(&subject));
    execute(other, "commit");
    cr_assert_not(sleeps(&subject));
    cr_assert(falls_asleep(&subject));
    PQfinish(other);
    close_subject(&subject);
}

Test(bell_postgres, given_the_sleeper_s_session_ends_then_listening_tells_and_others_may_sleep)
{
    struct subject subject = {0};
    open_postgres(&subject);
    struct postgres *second = open_session();
    struct log_bell *bell = log_bell_postgres_new(second);
    bool asleep = true;
    bool rung = true;
    cr_assert(falls_asleep(&subject));
    cr_assert_eq(log_bell_sleep(bell, subject.at, &asleep), STATUS_OK);
    cr_assert_not(asleep, "one sleeper at a time");
    postgres_close(subject.session);
    cr_assert_eq(log_bell_listen(subject.bell, 0, &rung), STATUS_UNAVAILABLE);
    cr_assert_not(rung);
    for (int round = 0; round < 1000 && !asleep; round++) {
        cr_assert_eq(log_bell_sleep(bell, subject.at, &asleep), STATUS_OK);
    }
    cr_assert(asleep);
    log_bell_postgres_free(bell);
    postgres_free(second);
    close_subject(&subject);
}
