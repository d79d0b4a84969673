// SPDX-License-Identifier: Apache-2.0
// The log's promises are kept, and the checks that say so turn red when a fault is planted.
#include <criterion/criterion.h>
#include <criterion/options.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/log_checks.h"
#include "../support/log_subject.h"
#include "../support/test_database.h"
#include "application/ports/relay_lease.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/relay_lease_postgres.h"

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
    (void)set;
    criterion_options.jobs = 1; // a planted fault is planted for all who use the database
    test_database_make();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    test_database_drop();
}

// A function of the schema with a piece of its text replaced, and its original.
struct fault {
    char *original;
};

static char *replace_text(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    cr_assert_not_null(at, "the function no longer says '%s'", from);
    size_t size = strlen(text) + strlen(to) + 1;
    char *replaced = malloc(size);
    cr_assert_not_null(replaced);
    snprintf(replaced, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return replaced;
}

static void plant(struct log_subject *subject, struct fault *fault, const char *function,
                  const char *from, const char *to)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "select pg_get_functiondef(p.oid) from pg_proc p where p.pronamespace ="
             " 'comanda'::regnamespace and p.proname = '%s'",
             function);
    struct str text = ask_sql(subject, sql);
    char *planted = replace_text(text.data, from, to);
    if (fault->original == NULL) {
        fault->original = strdup(text.data);
    }
    run_sql(subject, planted);
    free(planted);
}

static void heal(struct log_subject *subject, struct fault *fault)
{
    run_sql(subject, fault->original);
    free(fault->original);
}

struct trio {
    struct log_subject reader;
    struct log_subject slow;
    struct log_subject fast;
};

static void open_trio(struct trio *trio)
{
    log_subject_open_postgres(&trio->reader);
    log_subject_open_beside(&trio->slow, &trio->reader);
    log_subject_open_beside(&trio->fast, &trio->reader);
}

static void close_trio(struct trio *trio)
{
    log_subject_close(&trio->fast);
    log_subject_close(&trio->slow);
    log_subject_close(&trio->reader);
}

Test(log_faults, given_a_slow_commit_when_the_tail_is_followed_then_nothing_is_missed)
{
    struct trio trio;
    open_trio(&trio);
    cr_assert(tail_misses_nothing(&trio.reader, &trio.slow, &trio.fast, SLOW_COMMITS));
    cr_assert(tail_misses_nothing(&trio.reader, &trio.slow, &trio.fast, SLOW_ROLLS_BACK));
    cr_assert(tail_misses_nothing(&trio.reader, &trio.slow, &trio.fast, SLOW_IS_CUT));
    close_trio(&trio);
}

Test(log_faults, given_no_horizon_when_the_tail_is_followed_then_the_check_is_red)
{
    struct trio trio;
    open_trio(&trio);
    struct fault fault = {0};
    plant(&trio.reader, &fault, "read_tail", "pg_snapshot_xmin(pg_current_snapshot())",
          "'18446744073709551615'::xid8");
    bool kept = tail_misses_nothing(&trio.reader, &trio.slow, &trio.fast, SLOW_COMMITS);
    heal(&trio.reader, &fault);
    cr_assert_not(kept, "the fault was not seen");
    close_trio(&trio);
}

BOTH_STORES(inbox_fault, given_the_same_message_twice_then_it_counts_once)
{
    cr_assert(message_counts_once(subject));
}

// A store that forgets to say which message an item belongs to.
static struct event_store *behind;

static enum status append_without_inbox(struct event_store *store, const struct append_item *items,
                                        size_t count, struct arena *arena,
                                        struct append_verdict *verdicts)
{
    (void)store;
    struct append_item *bare = arena_array(arena, count, sizeof(*bare));
    if (bare == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        bare[i] = items[i];
        bare[i].inbox_count = 0;
    }
    return event_store_append(behind, bare, count, arena, verdicts);
}

static enum status read_behind(struct event_store *store, const struct stream_query *queries,
                               size_t count, size_t limit, struct arena *arena,
                               struct stream_rows *streams)
{
    (void)store;
    return event_store_read(behind, queries, count, limit, arena, streams);
}

BOTH_STORES(inbox_fault, given_the_inbox_skipped_then_the_check_is_red)
{
    static const struct event_store_ops ops = {.append = append_without_inbox, .read = read_behind};
    struct event_store forgetful = {&ops};
    struct event_store *real = subject->store;
    behind = real;
    subject->store = &forgetful;
    bool kept = message_counts_once(subject);
    subject->store = real;
    cr_assert_not(kept, "the fault was not seen");
}

BOTH_STORES(item_fault, given_an_item_of_two_streams_then_it_is_whole)
{
    cr_assert(item_is_whole(subject));
}

POSTGRES_STORE(item_fault, given_half_an_item_appended_then_the_check_is_red)
{
    struct fault compared = {0}, raced = {0};
    plant(subject, &compared, "append_behind", "s.several and exists", "false and exists");
    plant(subject, &raced, "append_lost", "if lost && won then", "if false then");
    bool kept = item_is_whole(subject);
    heal(subject, &compared);
    heal(subject, &raced);
    cr_assert_not(kept, "the fault was not seen");
    cr_assert(item_is_whole(subject));
}

BOTH_STORES(left_behind, given_an_item_that_appends_nothing_then_key_and_message_are_free)
{
    cr_assert(failed_item_frees_its_key(subject));
    cr_assert(failed_item_frees_its_message(subject));
}

POSTGRES_STORE(left_behind, given_a_key_left_behind_then_the_check_is_red)
{
    struct fault fault = {0};
    plant(subject, &fault, "append_take_back", "where k.item = any (dead)", "where false");
    bool kept = failed_item_frees_its_key(subject);
    heal(subject, &fault);
    cr_assert_not(kept, "the fault was not seen");
}

POSTGRES_STORE(left_behind, given_an_inbox_row_left_behind_then_the_check_is_red)
{
    struct fault fault = {0};
    plant(subject, &fault, "append_take_back", "where n.item = any (dead)", "where false");
    bool kept = failed_item_frees_its_message(subject);
    heal(subject, &fault);
    cr_assert_not(kept, "the fault was not seen");
}

// A worker whose transaction takes its id (an inbox row would do it) before it loads the stream.
static void write_first_load_last(struct log_subject *worker, struct log_subject *rival,
                                  struct uuid stream)
{
    run_sql(worker, "begin; select pg_current_xact_id()");
    append_one(rival, an_event(rival, stream, 1));
    int32_t loaded = (int32_t)read_all(worker, stream).count;
    cr_assert_eq(append_one(worker, an_event(worker, stream, loaded)).outcome, APPENDED);
    run_sql(worker, "commit");
}

POSTGRES_STORE(order_fault, given_load_first_and_write_last_then_the_tail_is_in_version_order)
{
    struct log_subject rival;
    log_subject_open_beside(&rival, subject);
    cr_assert(tail_is_in_version_order(subject, &rival, load_first_write_last));
    log_subject_close(&rival);
}

POSTGRES_STORE(order_fault, given_a_transaction_that_writes_before_it_loads_then_the_check_is_red)
{
    struct log_subject rival;
    log_subject_open_beside(&rival, subject);
    cr_assert_not(tail_is_in_version_order(subject, &rival, write_first_load_last),
                  "the fault was not seen");
    log_subject_close(&rival);
}

// Whether a checkpoint with an old fence is refused and moves nothing, in the very session that was
// given it: `comandactl log adopt` takes it back so.
static bool old_fence_moves_nothing(struct log_subject *subject)
{
    struct relay_lease *relay = relay_lease_postgres_new(subject->postgres);
    struct lease first = {0}, third = {0};
    struct str name = subject->tenant;
    char sql[160];
    cr_assert_eq(relay_lease_acquire(relay, name, STR("first"), 60, &first), STATUS_OK);
    snprintf(sql, sizeof(sql), "update comanda.leases set fence = fence + 1 where name = '%.*s'",
             STR_FMT(name));
    run_sql(subject, sql);
    struct log_cursor at = {.epoch = 1, .tx = 9, .position = 9};
    enum status status = relay_lease_checkpoint(relay, name, first.fence, at);
    cr_assert_eq(relay_lease_acquire(relay, name, STR("third"), 60, &third), STATUS_OK);
    relay_lease_postgres_free(relay);
    return status == STATUS_FENCED && third.checkpoint.position == 0;
}

POSTGRES_STORE(fence_fault, given_an_old_fence_then_it_moves_nothing)
{
    cr_assert(old_fence_moves_nothing(subject));
}

// Whether the session is compared too, see relay_lease_test.c.
static bool other_session_moves_nothing(struct log_subject *subject)
{
    struct log_subject other;
    log_subject_open_beside(&other, subject);
    struct relay_lease *relay = relay_lease_postgres_new(subject->postgres);
    struct relay_lease *late = relay_lease_postgres_new(other.postgres);
    struct lease lease = {0};
    struct str name = subject->tenant;
    cr_assert_eq(relay_lease_acquire(relay, name, STR("one"), 60, &lease), STATUS_OK);
    struct log_cursor at = {.epoch = 1, .tx = 9, .position = 9};
    enum status status = relay_lease_checkpoint(late, name, lease.fence, at);
    relay_lease_postgres_free(late);
    relay_lease_postgres_free(relay);
    log_subject_close(&other);
    return status == STATUS_FENCED;
}

POSTGRES_STORE(fence_fault, given_the_session_ignored_then_the_check_is_red)
{
    cr_assert(other_session_moves_nothing(subject));
    struct fault fault = {0};
    plant(subject, &fault, "lease_checkpoint",
          "current_setting(comanda.lease_mark(lease), true) is distinct from held_fence::text",
          "false");
    bool kept = other_session_moves_nothing(subject);
    heal(subject, &fault);
    cr_assert_not(kept, "the fault was not seen");
}

POSTGRES_STORE(fence_fault, given_the_fence_ignored_then_the_check_is_red)
{
    struct fault fault = {0};
    plant(subject, &fault, "lease_checkpoint", "and l.fence = held_fence", "");
    bool kept = old_fence_moves_nothing(subject);
    heal(subject, &fault);
    cr_assert_not(kept, "the fault was not seen");
}
