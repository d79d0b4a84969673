// SPDX-License-Identifier: Apache-2.0
// Looking for what sagas lack, at a cost that nothing in the log can raise.
#include "infrastructure/postgres/saga_watch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/log_checks.h"
#include "../support/log_subject.h"
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

enum { SQL_MAX = 4096, OLD_S = 20, BULK_ORDERS = 20000, BULK_ROWS = 10 };

// Rows of an older epoch are settled, whoever holds the horizon of the server back. Each test has
// transactions and a category of its own there.
struct watched {
    struct log_subject *log;
    struct saga_definition definition;
    long tx;
    char sql[SQL_MAX];
};

static void run(struct watched *watched, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void run(struct watched *watched, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(watched->sql, sizeof(watched->sql), format, args);
    va_end(args);
    run_sql(watched->log, watched->sql);
}

static long number(struct watched *watched, const char *sql)
{
    return atol(ask_sql(watched->log, sql).data);
}

static struct watched watch(struct log_subject *log, long tx)
{
    struct watched watched = {.log = log, .tx = tx};
    char name[16];
    (void)snprintf(name, sizeof(name), "s%ld", tx);
    struct str saga = arena_str(&log->arena, str_from(name));
    watched.definition =
        (struct saga_definition){.name = saga,
                                 .role = arena_printf(&log->arena, "saga:%s", name),
                                 .starts_on = {{.category = STR("other"), .type = STR("Placed")},
                                               {.category = saga, .type = STR("Placed")}},
                                 .starts_on_count = 2};
    run(&watched,
        "insert into comanda.saga_watch (saga, epoch, tx, position, reached) values"
        " ('%s', 0, '%ld', 0, now() - interval '1 day')",
        name, tx);
    return watched;
}

// Orders of which every one in `each` has no saga; each takes `rows` rows of the log.
static void place(struct watched *watched, long orders, long each, long rows, const char *age)
{
    run(watched,
        "with o as materialized (select i, now() - interval '%s' + i * interval '1 ms' as at,"
        " (left(comanda.id_floor(now() - interval '%s' + i * interval '1 ms')::text, 14)"
        " || substr(gen_random_uuid()::text, 15))::uuid as id from generate_series(1, %ld) i)"
        " insert into comanda.events (tx, recorded_at, epoch, tenant, category, stream_id, version,"
        " event_id, kind, type, schema_version, data, meta)"
        " select (%ld + i)::text::xid8, at, 0, 'main', case v when 0 then '%.*s' else 'saga' end,"
        " case v when 0 then id else comanda.derived_id(id, '%.*s') end, greatest(v, 1),"
        " gen_random_uuid(), case when v < 2 then 'event' else 'command' end, case v when 0 then"
        " 'Placed' when 1 then 'SagaStarted' else 'ask' end, 1, '{}'::json, '{}'::json"
        " from o, generate_series(0, %ld) v where v = 0 or i %% %ld <> 0 order by i, v",
        age, age, orders, watched->tx, STR_FMT(watched->definition.name),
        STR_FMT(watched->definition.role), rows - 1, each);
    watched->tx += orders;
}

static void begin_all(struct watched *watched)
{
    run(watched,
        "insert into comanda.events (tx, epoch, tenant, category, stream_id, version, event_id,"
        " kind, type, schema_version, data, meta) select '%ld', 0, 'main', 'saga', m.instance, 1,"
        " gen_random_uuid(), 'event', 'SagaStarted', 1, '{}', '{}' from comanda.saga_missing m"
        " where m.saga = '%.*s'",
        ++watched->tx, STR_FMT(watched->definition.name));
}

static void make_due(struct watched *watched)
{
    run(watched, "update comanda.saga_watch set due_at = '-infinity' where saga = '%.*s'",
        STR_FMT(watched->definition.name));
}

static struct saga_gap look(struct watched *watched, int32_t rows_max)
{
    const struct saga_pace pace = {.pause_ms = 30000, .rows_max = rows_max};
    struct saga_gap gap = {.count = -1};
    cr_assert_eq(saga_watch_look(watched->log->postgres, &watched->definition, OLD_S, &pace,
                                 &watched->log->arena, &gap),
                 STATUS_OK, "%s", postgres_error(watched->log->postgres));
    return gap;
}

// Other tests' rows come after ours: the cursor goes back to behind what we have placed.
static void come_back(struct watched *watched)
{
    run(watched,
        "update comanda.saga_watch set epoch = 0, tx = '%ld', position = 9e18 where"
        " saga = '%.*s'",
        watched->tx, STR_FMT(watched->definition.name));
}

static struct saga_gap look_again(struct watched *watched, int32_t rows_max)
{
    make_due(watched);
    return look(watched, rows_max);
}

static struct saga_gap peek(struct watched *watched)
{
    struct saga_gap gap = {.count = -1};
    cr_assert_eq(saga_watch_peek(watched->log->postgres, &watched->definition, OLD_S, 100000,
                                 &watched->log->arena, &gap),
                 STATUS_OK, "%s", postgres_error(watched->log->postgres));
    return gap;
}

// Buffers that a statement touches, as EXPLAIN counts them.
static long buffers_of(struct watched *watched, const char *statement)
{
    PGresult *result = NULL;
    long buffers = 0;
    (void)snprintf(watched->sql, sizeof(watched->sql), "explain (analyze, buffers) %s", statement);
    cr_assert_eq(postgres_script(watched->log->postgres, watched->sql, POSTGRES_READS, &result),
                 STATUS_OK, "%s", postgres_error(watched->log->postgres));
    for (int at = 0; at < PQntuples(result) && buffers == 0; at++) {
        const char *line = PQgetvalue(result, at, 0);
        const char *hit = strstr(line, "shared hit=");
        const char *read = strstr(line, "read=");
        buffers += hit == NULL ? 0 : atol(hit + strlen("shared hit="));
        buffers += read == NULL ? 0 : atol(read + strlen("read="));
    }
    PQclear(result);
    return buffers;
}

static long buffers_of_a_look(struct watched *watched, int rows_max)
{
    char statement[512];
    make_due(watched);
    (void)snprintf(statement, sizeof(statement),
                   "select * from comanda.sagas_look('%.*s', '%.*s', '{%.*s}', '{Placed}',"
                   " '20 s', '30 s', %d, 10000)",
                   STR_FMT(watched->definition.name), STR_FMT(watched->definition.role),
                   STR_FMT(watched->definition.name), rows_max);
    return buffers_of(watched, statement);
}

POSTGRES_STORE(missing, given_200000_rows_of_an_hour_then_a_look_reads_a_bounded_share_of_them)
{
    struct watched watched = watch(subject, 1000000);
    place(&watched, BULK_ORDERS, BULK_ORDERS, BULK_ROWS, "1 hour");
    long before = buffers_of(&watched, "select * from comanda.sagas_missing('s1000000', '{Placed}',"
                                       " 'saga:s1000000', '20 s', '2 hours')");
    long look_of_2000 = buffers_of_a_look(&watched, 2000);
    long next_2000 = buffers_of_a_look(&watched, 2000);
    printf("buffers: a look of 2,000 rows %ld, the next %ld, the look before %ld\n", look_of_2000,
           next_2000, before);
    cr_assert_lt(look_of_2000, 8000);
    cr_assert_lt(next_2000, 8000);
    cr_assert_eq(number(&watched, "select tx::text::int8 - 1000000 from comanda.saga_watch"
                                  " where saga = 's1000000'"),
                 2 * 2000 / BULK_ROWS);
    struct saga_gap gap = look_again(&watched, 2000);
    cr_assert(gap.behind_s > 3000 && gap.due_ms >= 900 && gap.due_ms < 20000, "%d s, %d ms",
              (int)gap.behind_s, (int)gap.due_ms);
    gap = look_again(&watched, 1000000);
    cr_assert_eq(gap.count, 1); // the last of all
    cr_assert_eq(gap.behind_s, 0);
}

POSTGRES_STORE(missing, given_one_placed_long_ago_then_it_is_told_until_its_saga_begins)
{
    struct watched watched = watch(subject, 3000000);
    place(&watched, 1, 1, 1, "20 hours");
    place(&watched, 500, 501, 3, "1 hour");
    struct saga_gap gap = look(&watched, 100);
    cr_assert_eq(gap.count, 1);
    cr_assert_gt(gap.oldest, 0);
    for (int i = 0; i < 20; i++) {
        gap = look_again(&watched, 100);
        cr_assert_eq(gap.count, 1);
    }
    cr_assert_eq(gap.behind_s, 0);
    run(&watched, "update comanda.saga_missing set recorded_at = now() - interval '29 days'"
                  " where saga = 's3000000'");
    cr_assert_eq(look_again(&watched, 100).count, 1);
    begin_all(&watched);
    gap = look_again(&watched, 100);
    cr_assert_eq(gap.count, 0);
    cr_assert_eq(gap.oldest, 0);
}

POSTGRES_STORE(missing, given_a_look_that_was_just_taken_then_the_next_one_tells_the_same)
{
    struct watched watched = watch(subject, 4000000);
    place(&watched, 1, 1, 1, "1 hour");
    struct saga_gap first = look(&watched, 100);
    come_back(&watched);
    place(&watched, 1, 1, 1, "1 hour");
    struct saga_gap second = look(&watched, 100);
    cr_assert_eq(first.count, 1);
    cr_assert_eq(second.count, 1);
    cr_assert_eq(second.looked_at, first.looked_at);
    cr_assert_geq(second.age_s, 0);
    cr_assert(second.due_ms > 20000 && second.due_ms <= 30000);
    cr_assert_eq(look_again(&watched, 100).count, 2);
}

POSTGRES_STORE(missing, given_another_that_looks_then_nobody_waits_for_it)
{
    struct watched watched = watch(subject, 5000000);
    struct log_subject beside;
    place(&watched, 1, 1, 1, "1 hour");
    log_subject_open_beside(&beside, subject);
    run_sql(&beside, "begin; select from comanda.saga_watch where saga = 's5000000' for update");
    run_sql(subject, "set statement_timeout = '20s'");
    struct saga_gap gap = look(&watched, 100);
    cr_assert_eq(gap.count, 0);
    cr_assert_eq(gap.looked_at, 0);
    cr_assert_eq(gap.age_s, -1);
    run_sql(&beside, "rollback");
    log_subject_close(&beside);
    cr_assert_eq(look(&watched, 100).count, 1);
}

POSTGRES_STORE(missing, given_more_than_may_be_noted_then_the_look_stands_until_some_begin)
{
    struct watched watched = watch(subject, 6000000);
    static const char sql[] =
        "select missing from comanda.sagas_look('s6000000', 'saga:s6000000', '{s6000000}',"
        " '{Placed}', '20 s', '30 s', 5, 10)";
    static const char behind[] =
        "select behind_s from comanda.sagas_look('s6000000',"
        " 'saga:s6000000', '{s6000000}', '{Placed}', '20 s', '30 s', 5, 10)";
    place(&watched, 40, 1, 1, "1 hour");
    for (int i = 0; i < 5; i++) {
        make_due(&watched);
        cr_assert_leq(number(&watched, sql), 10);
    }
    cr_assert_eq(number(&watched, sql), 10);
    cr_assert_gt(number(&watched, behind), 3000);
    begin_all(&watched);
    make_due(&watched);
    cr_assert_eq(number(&watched, sql), 5);
    cr_assert_eq(peek(&watched).count, 30); // a person is told of all, and moves nothing
    cr_assert_eq(number(&watched, sql), 5);
}

POSTGRES_STORE(missing, given_a_young_one_then_it_waits_and_is_not_passed_over)
{
    struct watched watched = watch(subject, 7000000);
    place(&watched, 2, 1, 1, "1 hour");
    place(&watched, 1, 1, 1, "0 s");
    cr_assert_eq(look(&watched, 100).count, 2);
    run(&watched, "update comanda.saga_missing set recorded_at = now() where saga = 's7000000'");
    run_sql(subject, "update comanda.saga_watch set due_at = '-infinity' where saga = 's7000000'");
    cr_assert_eq(number(&watched, "select missing from comanda.sagas_look('s7000000',"
                                  " 'saga:s7000000', '{s7000000}', '{Placed}', '0 s', '30 s', 100,"
                                  " 100)"),
                 3);
}

// --- the parked

static void park(struct watched *watched, long sagas, const char *last)
{
    run(watched,
        "insert into comanda.events (tx, epoch, tenant, category, stream_id, version, event_id,"
        " kind, type, schema_version, data, meta) select '%ld', 0, 'main', 'saga', s.id, v,"
        " gen_random_uuid(), 'event', case v when 1 then 'SagaStarted' when 3 then '%s' else"
        " 'SagaParked' end, 1, '{}'::json, '{}'::json from (select gen_random_uuid() as id from"
        " generate_series(1, %ld)) s, generate_series(1, 3) v",
        ++watched->tx, last, sagas);
}

static int64_t parked(struct watched *watched, int32_t rows_max)
{
    const struct saga_pace pace = {.pause_ms = 30000, .rows_max = rows_max};
    struct saga_parked found = {.count = -1};
    run_sql(watched->log, "update comanda.saga_parked set due_at = '-infinity'");
    cr_assert_eq(saga_watch_parked(watched->log->postgres, 5, &pace, &watched->log->arena, &found),
                 STATUS_OK, "%s", postgres_error(watched->log->postgres));
    return found.count;
}

POSTGRES_STORE(parked, given_many_that_ever_were_then_a_look_reads_a_few_and_a_round_finds_all)
{
    struct watched watched = watch(subject, 9000000);
    park(&watched, 3000, "SagaAdvanced");
    park(&watched, 7, "SagaParked");
    cr_assert_eq(parked(&watched, 100000), 7);
    run_sql(subject, "update comanda.saga_parked set due_at = '-infinity', parked = 0");
    long buffers = buffers_of(&watched, "select * from comanda.sagas_parked_look(5, '30 s', 100)");
    cr_assert_lt(buffers, 1500, "%ld", buffers);
    int64_t found = 0;
    for (int i = 0; i < 31; i++) {
        found = parked(&watched, 100);
    }
    cr_assert_eq(found, 7); // the streams' ids are not of a time, so they lie anywhere in a round
    run_sql(subject, "insert into comanda.timers (id, saga_id, due, tenant, data) select"
                     " gen_random_uuid(), gen_random_uuid(), now(), 'main',"
                     " ('{\"step\":\"confirm\",\"attempt\":' || i % 10 + 1 || '}')::json"
                     " from generate_series(1, 100) i");
    cr_assert_eq(parked(&watched, 100000), 7 + 50);
    int64_t peeked = 0;
    cr_assert_eq(saga_watch_peek_parked(subject->postgres, 5, 100000, &subject->arena, &peeked),
                 STATUS_OK);
    cr_assert_eq(peeked, 7 + 50);
}
