// SPDX-License-Identifier: Apache-2.0
// A batch driven through a store that fails at its n-th call: the status comes back at once, no
// message is settled, and the same messages go through when the store is back.
#include "application/handler/handler_run.h"

#include <criterion/criterion.h>

#include "infrastructure/memory/event_store_memory.h"
#include "support/tally_handler.h"

enum { MESSAGES = 5, CALLS = 4 };

// --- a store that fails

static struct {
    struct event_store base;
    struct event_store *inner;
    int fails_at; // 0: never
    enum status failure;
    int calls;
} failing;

static bool fails_now(void)
{
    return ++failing.calls == failing.fails_at;
}

static enum status append_or_fail(struct event_store *store, const struct append_item *items,
                                  size_t count, struct arena *arena,
                                  struct append_verdict *verdicts)
{
    (void)store;
    return fails_now() ? failing.failure
                       : event_store_append(failing.inner, items, count, arena, verdicts);
}

static enum status read_or_fail(struct event_store *store, const struct stream_query *queries,
                                size_t count, size_t limit, struct arena *arena,
                                struct stream_rows *streams)
{
    (void)store;
    return fails_now() ? failing.failure
                       : event_store_read(failing.inner, queries, count, limit, arena, streams);
}

static void open_all(void)
{
    static const struct event_store_ops ops = {.append = append_or_fail, .read = read_or_fail};
    tally_open();
    failing.base.ops = &ops;
    failing.inner = event_store_memory_new(16 * 1024 * 1024);
}

static void close_all(void)
{
    event_store_memory_free(failing.inner);
    tally_close();
}

TestSuite(handler_run, .init = open_all, .fini = close_all, .timeout = 10);

static enum status when_run(int fails_at, enum status failure,
                            const struct message_result **results)
{
    struct incoming in[MESSAGES];
    for (unsigned char at = 0; at < MESSAGES; at++) {
        in[at] = tally_message((unsigned char)(at + 1), "add", "A");
    }
    // Two messages an append: a read and three appends.
    const struct handler_run run = {.handler = &tally_handler,
                                    .store = &failing.base,
                                    .limits = {1000, 0, REACTION_ROWS_MAX + 1}};
    failing.calls = 0;
    failing.fails_at = fails_at;
    failing.failure = failure;
    return handler_run_batch(&run, in, MESSAGES, &tally_arena, results);
}

static void then_each_is_in_the_log_once(void)
{
    struct stream_query query = {.stream = {{0}}};
    struct stream_rows rows;
    query.stream.bytes[15] = 'A';
    cr_assert_eq(event_store_read(failing.inner, &query, 1, 100, &tally_arena, &rows), STATUS_OK);
    cr_assert_eq(rows.count, MESSAGES);
}

Test(handler_run, given_a_store_that_fails_at_any_call_when_handed_in_again_then_handled_once)
{
    static const enum status failures[] = {STATUS_UNKNOWN, STATUS_UNAVAILABLE, STATUS_INVALID,
                                           STATUS_REFUSED, STATUS_MALFORMED,   STATUS_NO_MEMORY};
    for (size_t at = 0; at < CALLS * sizeof(failures) / sizeof(failures[0]); at++) {
        const struct message_result *results = NULL;
        enum status failure = failures[at / CALLS];
        int call = (int)(at % CALLS) + 1;
        close_all();
        open_all();
        cr_assert_eq(when_run(call, failure, &results), failure);
        cr_assert_eq(failing.calls, call, "%d calls, not %d", failing.calls, call);
        cr_assert_null(results, "nothing is settled");
        cr_assert_eq(when_run(0, STATUS_OK, &results), STATUS_OK);
        for (size_t message = 0; message < MESSAGES; message++) {
            cr_assert_eq(results[message].outcome, MESSAGE_HANDLED);
        }
        then_each_is_in_the_log_once();
    }
}

// What was decided before the failure must not be offered again, with or without rows.
Test(handler_run, given_a_batch_that_failed_at_its_append_when_asked_then_it_wants_nothing)
{
    static const char *const types[] = {"add", "once"};
    for (size_t at = 0; at < 2; at++) {
        const struct incoming in[] = {tally_message(1, types[at], "A")};
        struct handler_batch *batch = tally_given(in, 1);
        size_t count = 0;
        tally_when_streams_hold(batch, (int32_t)at);
        (void)tally_when_it_appends(batch, &count);
        handler_batch_fail(batch, STATUS_UNKNOWN);
        tally_expect(batch, HANDLER_WANT_NOTHING);
        cr_assert_eq(handler_batch_status(batch), STATUS_UNKNOWN);
    }
}

Test(handler_run, given_memory_that_ends_in_a_batch_when_run_then_that_is_the_status)
{
    struct incoming in[] = {tally_message(1, "add", "A")};
    const struct message_result *results = NULL;
    const struct handler_run run = {
        .handler = &tally_handler, .store = &failing.base, .limits = tally_limits};
    size_t needed = 0;
    for (size_t limit = 256; needed == 0 && limit < 4 << 20; limit += 256) {
        struct arena small;
        arena_init(&small, 256, limit);
        enum status status = handler_run_batch(&run, in, 1, &small, &results);
        cr_assert(status == STATUS_OK || status == STATUS_NO_MEMORY, "%s", status_name(status));
        if (status == STATUS_OK) {
            needed = results[0].outcome == MESSAGE_HANDLED ? limit : 0;
            cr_assert(needed > 0 ||
                      str_eq(results[0].cause, str_from(status_text(STATUS_NO_MEMORY))) ||
                      str_eq(results[0].cause, STR("no memory for its state")));
        }
        arena_free(&small);
    }
    cr_assert_gt(needed, 0);
}

// --- races lost

static int races;  // still to be lost
static int pauses; // that were granted

static enum status append_or_lose(struct event_store *store, const struct append_item *items,
                                  size_t count, struct arena *arena,
                                  struct append_verdict *verdicts)
{
    (void)store;
    if (races == 0) {
        return event_store_append(failing.inner, items, count, arena, verdicts);
    }
    races--;
    for (size_t at = 0; at < count; at++) {
        verdicts[at] = (struct append_verdict){.outcome = VERSION_CONFLICT};
    }
    return STATUS_OK;
}

static bool pause_or_end(void *context, int ms)
{
    cr_assert_gt(ms, 0);
    cr_assert_leq(ms, HANDLER_PAUSE_MAX_MS);
    return ++pauses <= *(const int *)context;
}

static enum status when_races_are_lost(int lost, int granted, enum message_outcome *outcome)
{
    static const struct event_store_ops ops = {.append = append_or_lose, .read = read_or_fail};
    const struct incoming in[] = {tally_message(1, "add", "A")};
    const struct message_result *results = NULL;
    const struct handler_run run = {.handler = &tally_handler,
                                    .store = &failing.base,
                                    .limits = {60000, 0, 4096},
                                    .pause = granted < 0 ? NULL : pause_or_end,
                                    .pause_context = &granted};
    failing.base.ops = &ops;
    failing.calls = 0;
    failing.fails_at = 0;
    races = lost;
    pauses = 0;
    enum status status = handler_run_batch(&run, in, 1, &tally_arena, &results);
    *outcome = status == STATUS_OK ? results[0].outcome : MESSAGE_TRANSIENT;
    return status;
}

Test(handler_run, given_a_race_lost_when_run_then_it_pauses_and_is_tried_again)
{
    enum message_outcome outcome;
    cr_assert_eq(when_races_are_lost(1, 1000000, &outcome), STATUS_OK);
    cr_assert_eq(outcome, MESSAGE_HANDLED);
    cr_assert_geq(pauses, 1);
}

Test(handler_run, given_a_pause_that_is_cut_short_by_the_end_when_run_then_nothing_is_lost)
{
    enum message_outcome outcome;
    cr_assert_eq(when_races_are_lost(1000000, 0, &outcome), STATUS_TIMEOUT);
    cr_assert_eq(pauses, 1);
}

Test(handler_run, given_nobody_who_waits_when_run_then_the_pauses_count_as_passed)
{
    enum message_outcome outcome;
    cr_assert_eq(when_races_are_lost(100, -1, &outcome), STATUS_OK);
    cr_assert_eq(outcome, MESSAGE_HANDLED);
    cr_assert_eq(when_races_are_lost(1000000, -1, &outcome), STATUS_OK);
    cr_assert_eq(outcome, MESSAGE_TRANSIENT);
}
