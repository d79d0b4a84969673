// SPDX-License-Identifier: Apache-2.0
// Promises of the log as questions with an answer, so that one test asserts that they are kept and
// another that a planted fault breaks them.
#include "log_checks.h"

#include <criterion/criterion.h>

#include "infrastructure/postgres/connection.h"

void run_sql(struct log_subject *subject, const char *sql)
{
    (void)ask_sql(subject, sql);
}

struct str ask_sql(struct log_subject *subject, const char *sql)
{
    PGresult *result = NULL;
    enum status status = postgres_script(subject->postgres, sql, POSTGRES_READS, &result);
    cr_assert_eq(status, STATUS_OK, "%s: %s", sql, postgres_error(subject->postgres));
    struct str answer = STR("");
    if (PQntuples(result) > 0) {
        answer = arena_str(&subject->arena, str_from(PQgetvalue(result, 0, 0)));
    }
    PQclear(result);
    return answer;
}

static void end_slow(struct log_subject *slow, enum slow_end end)
{
    switch (end) {
    case SLOW_COMMITS:
        run_sql(slow, "commit");
        break;
    case SLOW_ROLLS_BACK:
        run_sql(slow, "rollback");
        break;
    case SLOW_IS_CUT:
        postgres_close(slow->postgres);
        break;
    }
}

bool tail_misses_nothing(struct log_subject *reader, struct log_subject *slow,
                         struct log_subject *fast, enum slow_end end)
{
    enum { ROOM = 8 };
    size_t expected = end == SLOW_COMMITS ? 2 : 1;
    struct log_cursor at = log_end(reader);
    struct recorded_event rows[ROOM];
    run_sql(slow, "begin");
    cr_assert_eq(append_one(slow, an_event(slow, new_id(), 0)).outcome, APPENDED);
    cr_assert_eq(append_one(fast, an_event(fast, new_id(), 0)).outcome, APPENDED);
    size_t got = follow_rest(reader, &at, 10, rows, ROOM);
    end_slow(slow, end);
    // When a row that was written last is there, all before it have been given.
    struct uuid last = new_id();
    append_one(fast, an_event(fast, last, 0));
    size_t more = 1;
    while (more == 1 && got < ROOM && (got == 0 || !uuid_eq(rows[got - 1].stream, last))) {
        more = follow_tail(reader, &at, 1, rows + got, 1);
        got += more;
    }
    bool distinct = got < 2 || !uuid_eq(rows[0].id, rows[1].id);
    return got == expected + 1 && distinct;
}

bool message_counts_once(struct log_subject *subject)
{
    struct uuid message = new_id(), stream = new_id();
    append_one(subject, with_inbox(an_event(subject, stream, 0), message));
    append_one(subject, with_inbox(an_event(subject, stream, 1), message));
    return read_all(subject, stream).count == 1;
}

bool item_is_whole(struct log_subject *subject)
{
    struct uuid fresh = new_id(), taken = new_id();
    append_one(subject, an_event(subject, taken, 0));
    append_one(subject, with_row(with_stream(an_event(subject, fresh, 0), taken, 0)));
    return read_all(subject, fresh).count == 0 && read_all(subject, taken).count == 1;
}

bool failed_item_frees_its_key(struct log_subject *subject)
{
    struct uuid key = new_id(), stream = new_id();
    append_one(subject, an_event(subject, stream, 0));
    append_one(subject, with_key(an_event(subject, stream, 0), key, 'a'));
    return append_one(subject, with_key(an_event(subject, stream, 1), key, 'a')).outcome ==
           APPENDED;
}

bool failed_item_frees_its_message(struct log_subject *subject)
{
    struct uuid message = new_id(), stream = new_id();
    append_one(subject, an_event(subject, stream, 0));
    append_one(subject, with_inbox(an_event(subject, stream, 0), message));
    return append_one(subject, with_inbox(an_event(subject, stream, 1), message)).outcome ==
           APPENDED;
}

bool tail_is_in_version_order(struct log_subject *worker, struct log_subject *rival,
                              log_worker_fn *work)
{
    enum { ROWS = 3 };
    struct log_cursor at = log_end(worker);
    struct uuid stream = new_id();
    append_one(worker, an_event(worker, stream, 0));
    work(worker, rival, stream);
    struct recorded_event rows[ROWS];
    cr_assert_eq(follow_tail(worker, &at, 10, rows, ROWS), ROWS);
    bool ordered = true;
    for (int32_t i = 0; i < ROWS; i++) {
        ordered = ordered && rows[i].version == i + 1;
    }
    return ordered;
}

void load_first_write_last(struct log_subject *worker, struct log_subject *rival,
                           struct uuid stream)
{
    int32_t loaded = (int32_t)read_all(worker, stream).count;
    append_one(rival, an_event(rival, stream, loaded));
    struct append_verdict verdict = append_one(worker, an_event(worker, stream, loaded));
    cr_assert_eq(verdict.outcome, VERSION_CONFLICT);
    verdict = append_one(worker, an_event(worker, stream, verdict.conflict_version));
    cr_assert_eq(verdict.outcome, APPENDED);
}
