// SPDX-License-Identifier: Apache-2.0
// What only PostgreSQL can do to a store: races, locks, bad items, lost connections.
#include "infrastructure/postgres/event_store_postgres.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../support/log_checks.h"
#include "../support/log_subject.h"
#include "../support/test_database.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/statement.h"

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

// A thread that appends to what others append to.
struct racer {
    pthread_t thread;
    struct log_subject subject;
    struct uuid stream;
    const struct uuid *ids;
    bool backwards;
    int appended;
};

enum { RACERS = 3, EVENTS_EACH = 30, SHARED_IDS = 40 };

static void *append_with_retries(void *context)
{
    struct racer *racer = context;
    int32_t version = 0;
    while (racer->appended < EVENTS_EACH) {
        struct append_verdict verdict =
            append_one(&racer->subject, an_event(&racer->subject, racer->stream, version));
        if (verdict.outcome == APPENDED) {
            racer->appended++;
            version++;
        } else {
            cr_assert_eq(verdict.outcome, VERSION_CONFLICT);
            version = verdict.conflict_version;
        }
    }
    return NULL;
}

static void race(struct racer *racers, void *(*run)(void *))
{
    for (size_t i = 0; i < RACERS; i++) {
        log_subject_open_postgres(&racers[i].subject);
        cr_assert_eq(pthread_create(&racers[i].thread, NULL, run, &racers[i]), 0);
    }
    for (size_t i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
    }
}

POSTGRES_STORE(race, given_several_writers_of_one_stream_then_its_versions_have_no_gap)
{
    struct racer racers[RACERS] = {0};
    struct uuid stream = new_id();
    for (size_t i = 0; i < RACERS; i++) {
        racers[i].stream = stream;
    }
    race(racers, append_with_retries);
    struct stream_rows rows = read_all(subject, stream);
    cr_assert_eq(rows.count, (size_t)RACERS * EVENTS_EACH);
    for (size_t i = 0; i < rows.count; i++) {
        cr_assert_eq(rows.rows[i].version, (int32_t)i + 1);
    }
    for (size_t i = 0; i < RACERS; i++) {
        log_subject_close(&racers[i].subject);
    }
}

// One batch over all shared ids, each id with a stream, a key and a message of its own.
static void *append_shared(void *context)
{
    struct racer *racer = context;
    struct log_item *items[SHARED_IDS];
    struct append_verdict verdicts[SHARED_IDS];
    for (size_t i = 0; i < SHARED_IDS; i++) {
        struct uuid id = racer->ids[racer->backwards ? SHARED_IDS - 1 - i : i];
        items[i] = with_inbox(
            with_key(an_event(&racer->subject, uuid_derive(id, STR("stream")), 0), id, 'a'),
            uuid_derive(id, STR("message")));
    }
    append_all(&racer->subject, items, SHARED_IDS, verdicts);
    for (size_t i = 0; i < SHARED_IDS; i++) {
        racer->appended += verdicts[i].outcome == APPENDED;
    }
    return NULL;
}

POSTGRES_STORE(race, given_overlapping_batches_in_any_order_then_each_item_is_appended_once)
{
    for (int round = 0; round < 5; round++) {
        struct uuid ids[SHARED_IDS];
        struct racer racers[RACERS] = {0};
        for (size_t i = 0; i < SHARED_IDS; i++) {
            ids[i] = new_id();
        }
        int appended = 0;
        for (size_t i = 0; i < RACERS; i++) {
            racers[i].ids = ids;
            racers[i].backwards = i % 2 == 1;
        }
        race(racers, append_shared);
        for (size_t i = 0; i < RACERS; i++) {
            appended += racers[i].appended;
            log_subject_close(&racers[i].subject);
        }
        cr_assert_eq(appended, SHARED_IDS);
    }
    struct str deadlocks =
        ask_sql(subject, "select deadlocks from pg_stat_database where datname = "
                         "current_database()");
    cr_assert(str_eq(deadlocks, STR("0")), "%.*s deadlocks", STR_FMT(deadlocks));
}

static void *commit_later(void *context)
{
    struct log_subject *slow = context;
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    run_sql(slow, "commit");
    return NULL;
}

POSTGRES_STORE(race, given_an_item_of_two_streams_that_loses_one_in_a_race_then_it_conflicts)
{
    struct log_subject slow;
    log_subject_open_beside(&slow, subject);
    struct uuid first = new_id(), contested = new_id(); // first sorts before contested
    run_sql(&slow, "begin");
    cr_assert_eq(append_one(&slow, an_event(&slow, contested, 0)).outcome, APPENDED);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, commit_later, &slow), 0);
    struct log_item *item = with_row(with_stream(an_event(subject, first, 0), contested, 0));
    struct log_item *neighbour = an_event(subject, new_id(), 0);
    struct log_item *items[] = {item, neighbour};
    struct append_verdict verdicts[2];
    append_all(subject, items, 2, verdicts); // waits for the slow one, loses, is halved
    pthread_join(thread, NULL);
    cr_assert_eq(verdicts[0].outcome, VERSION_CONFLICT);
    cr_assert_eq(verdicts[0].conflict_stream, 1);
    cr_assert_eq(verdicts[1].outcome, APPENDED);
    cr_assert_eq(read_all(subject, first).count, 0);
    log_subject_close(&slow);
}

POSTGRES_STORE(bad_item, given_one_item_that_the_server_refuses_then_it_stands_alone)
{
    struct log_item *items[8];
    struct append_verdict verdicts[8];
    for (size_t i = 0; i < 8; i++) {
        items[i] = with_inbox(an_event(subject, new_id(), 0), new_id());
    }
    items[5]->rows[0].data = STR("{\"cut\":");
    append_all(subject, items, 8, verdicts);
    for (size_t i = 0; i < 8; i++) {
        cr_assert_eq(verdicts[i].outcome, i == 5 ? ITEM_REFUSED : APPENDED, "%zu", i);
    }
    cr_assert_gt(verdicts[5].cause.len, 0);
    items[5]->rows[0].data = STR("{}");
    cr_assert_eq(append_one(subject, items[5]).outcome, APPENDED); // its message was not kept
}

POSTGRES_STORE(lock, given_one_item_behind_a_lock_then_the_others_are_appended)
{
    struct log_subject slow;
    log_subject_open_beside(&slow, subject);
    struct uuid contested = new_id();
    run_sql(&slow, "begin");
    append_one(&slow, an_event(&slow, contested, 0));
    run_sql(subject, "set lock_timeout = '100ms'");
    struct log_item *items[] = {an_event(subject, new_id(), 0), an_event(subject, contested, 0),
                                an_event(subject, new_id(), 0)};
    struct append_verdict verdicts[3];
    append_all(subject, items, 3, verdicts);
    cr_assert_eq(verdicts[0].outcome, APPENDED);
    cr_assert_eq(verdicts[1].outcome, APPEND_AGAIN);
    cr_assert_eq(verdicts[2].outcome, APPENDED);
    run_sql(&slow, "rollback");
    cr_assert_eq(append_one(subject, items[1]).outcome, APPENDED);
    log_subject_close(&slow);
}

// Ends the session that waits for the slow one, as soon as there is one.
static void *end_waiting_session(void *context)
{
    enum { TRIES_MAX = 200 };
    struct log_subject *slow = context;
    for (int i = 0; i < TRIES_MAX; i++) {
        struct str ended = ask_sql(slow, "select count(pg_terminate_backend(l.pid)) from pg_locks l"
                                         " where l.locktype = 'transactionid' and not l.granted"
                                         " and l.transactionid = pg_current_xact_id()::xid");
        if (!str_eq(ended, STR("0"))) {
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    return NULL;
}

POSTGRES_STORE(lost, given_a_connection_lost_while_appending_then_the_outcome_is_unknown)
{
    struct log_subject slow;
    log_subject_open_beside(&slow, subject);
    struct uuid contested = new_id();
    run_sql(&slow, "begin");
    append_one(&slow, an_event(&slow, contested, 0));
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, end_waiting_session, &slow), 0);
    struct log_item *item = with_key(an_event(subject, contested, 0), new_id(), 'a');
    struct append_verdict verdict = {.outcome = KEY_REUSED};
    enum status status =
        event_store_append(subject->store, &item->item, 1, &subject->arena, &verdict);
    pthread_join(thread, NULL);
    cr_assert_eq(status, STATUS_UNKNOWN, "%s", status_name(status));
    cr_assert_eq(verdict.outcome, KEY_REUSED, "untouched on failure");
    run_sql(&slow, "rollback");
    cr_assert_eq(append_one(subject, item).outcome, APPENDED); // asked by key: it was not done
    log_subject_close(&slow);
}

POSTGRES_STORE(lost, given_a_session_ended_while_idle_then_the_next_call_connects_again)
{
    struct log_subject other;
    log_subject_open_beside(&other, subject);
    struct str pid = ask_sql(subject, "select pg_backend_pid()");
    char sql[128];
    snprintf(sql, sizeof(sql), "select pg_terminate_backend(%.*s, 30000)", STR_FMT(pid));
    run_sql(&other, sql);
    cr_assert_eq(append_one(subject, an_event(subject, new_id(), 0)).outcome, APPENDED);
    log_subject_close(&other);
}

// The next session may be at a standby that was promoted without the rows that were read.
POSTGRES_STORE(lost, given_a_session_ended_after_reading_then_what_was_decided_is_not_appended)
{
    struct uuid stream = new_id();
    append_one(subject, an_event(subject, stream, 0));
    cr_assert_eq(read_all(subject, stream).count, 1);
    unsigned session = event_store_session(subject->store);
    postgres_close(subject->postgres);
    struct append_verdict verdict;
    struct log_item *item = an_event(subject, stream, 1);
    cr_assert_eq(event_store_append(subject->store, &item->item, 1, &subject->arena, &verdict),
                 STATUS_UNAVAILABLE);
    cr_assert_gt(event_store_session(subject->store), session);
    cr_assert_eq(read_all(subject, stream).count, 1);
    cr_assert_eq(append_one(subject, item).outcome, APPENDED);
}

Test(lost_postgres, given_no_server_then_nothing_was_done)
{
    struct postgres *postgres = postgres_new(
        &(struct postgres_options){.conninfo = "host=127.0.0.1 port=1 user=nobody dbname=none"});
    struct event_store *store = event_store_postgres_new(postgres);
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    struct append_item item = {.tenant = STR("t")};
    struct append_verdict verdict;
    cr_assert_eq(event_store_append(store, &item, 1, &arena, &verdict), STATUS_UNAVAILABLE);
    cr_assert_gt(strlen(postgres_error(postgres)), 0);
    event_store_postgres_free(store);
    postgres_free(postgres);
    arena_free(&arena);
}

POSTGRES_STORE(lost, given_a_server_that_does_not_answer_then_the_deadline_tells)
{
    struct postgres *impatient = postgres_new(&(struct postgres_options){
        .conninfo = test_database(), .application_name = "impatient", .reply_timeout_ms = 200});
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(impatient, "select pg_sleep(5)", POSTGRES_READS, &result),
                 STATUS_TIMEOUT);
    cr_assert_not(postgres_is_connected(impatient));
    cr_assert_eq(postgres_script(impatient, "select pg_sleep(5)", POSTGRES_WRITES, &result),
                 STATUS_UNKNOWN);
    postgres_set_reply_timeout(impatient, 30000);
    cr_assert_eq(postgres_script(impatient, "select 1", POSTGRES_READS, &result), STATUS_OK);
    PQclear(result);
    postgres_free(impatient);
    (void)subject;
}

POSTGRES_STORE(refused, given_a_role_without_the_privilege_then_the_whole_call_is_refused)
{
    char sql[256];
    snprintf(sql, sizeof(sql), "create role \"%s\"; grant \"%s\" to current_user; set role \"%s\"",
             subject->tenant_text, subject->tenant_text, subject->tenant_text);
    run_sql(subject, sql);
    struct log_item *item = an_event(subject, new_id(), 0);
    struct append_verdict verdict;
    cr_assert_eq(event_store_append(subject->store, &item->item, 1, &subject->arena, &verdict),
                 STATUS_REFUSED);
    cr_assert_str_eq(postgres_sqlstate(subject->postgres), "42501");
    snprintf(sql, sizeof(sql), "reset role; drop role \"%s\"", subject->tenant_text);
    run_sql(subject, sql);
}

POSTGRES_STORE(keys, given_keys_when_looked_up_then_the_known_ones_are_filled)
{
    struct uuid key = new_id(), stream = new_id();
    append_one(subject, with_key(an_event(subject, stream, 0), key, 'a'));
    struct uuid ids[] = {new_id(), key};
    struct statement statement;
    bool known[2];
    struct append_key keys[2] = {0};
    PGresult *result = NULL;
    cr_assert_eq(statement_find_keys(ids, 2, &subject->arena, &statement), STATUS_OK);
    cr_assert_eq(postgres_run(subject->postgres, &statement, POSTGRES_READS, &result), STATUS_OK);
    cr_assert_eq(statement_find_keys_read(result, ids, 2, known, keys), STATUS_OK);
    PQclear(result);
    cr_assert_not(known[0]);
    cr_assert(known[1]);
    cr_assert(uuid_eq(keys[1].stream, stream));
    cr_assert_eq(keys[1].status, 201);
    cr_assert_eq(keys[1].fingerprint[0], 'a');
}
