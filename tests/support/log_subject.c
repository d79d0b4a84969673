// SPDX-License-Identifier: Apache-2.0
// An event store under test, in memory or on the test's own database, and items to append to it.
#include "log_subject.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/monotonic.h"
#include "infrastructure/memory/event_store_memory.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/event_store_postgres.h"
#include "test_database.h"

enum {
    ARENA_BLOCK = 64 * 1024,
    ARENA_MAX = 256 * 1024 * 1024,
    TAIL_QUIET_MS = 1000,
    TAIL_PATIENCE_MS = 30000
};

static int64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct uuid new_id(void)
{
    unsigned char random[10];
    cr_assert_eq(getrandom(random, sizeof(random), 0), sizeof(random));
    return uuid_v7(unix_ms(), random);
}

static void open_subject(struct log_subject *subject)
{
    *subject = (struct log_subject){0};
    arena_init(&subject->arena, ARENA_BLOCK, ARENA_MAX);
    struct uuid id = new_id();
    snprintf(subject->tenant_text, sizeof(subject->tenant_text), "t-%02x%02x%02x%02x%02x%02x",
             id.bytes[10], id.bytes[11], id.bytes[12], id.bytes[13], id.bytes[14], id.bytes[15]);
    subject->tenant = str_from(subject->tenant_text);
}

void log_subject_open_memory(struct log_subject *subject)
{
    open_subject(subject);
    subject->store = event_store_memory_new(ARENA_MAX);
    cr_assert_not_null(subject->store);
}

void log_subject_open_postgres(struct log_subject *subject)
{
    open_subject(subject);
    subject->postgres = postgres_new(
        &(struct postgres_options){.conninfo = test_database(), .application_name = "log_subject"});
    cr_assert_not_null(subject->postgres);
    subject->store = event_store_postgres_new(subject->postgres);
    cr_assert_not_null(subject->store);
}

void log_subject_open_beside(struct log_subject *beside, const struct log_subject *subject)
{
    log_subject_open_postgres(beside);
    snprintf(beside->tenant_text, sizeof(beside->tenant_text), "%s", subject->tenant_text);
    beside->tenant = str_from(beside->tenant_text);
}

void log_subject_close(struct log_subject *subject)
{
    if (subject->postgres == NULL) {
        event_store_memory_free(subject->store);
    } else {
        event_store_postgres_free(subject->store);
        postgres_free(subject->postgres);
    }
    arena_free(&subject->arena);
}

struct log_item *an_item(struct log_subject *subject)
{
    struct log_item *item = arena_alloc(&subject->arena, sizeof(*item));
    cr_assert_not_null(item);
    item->item = (struct append_item){
        .tenant = subject->tenant,
        .streams = item->streams,
        .rows = item->rows,
        .consumer = STR("tester"),
        .inbox = item->inbox,
        .timers = item->timers,
        .timers_done = item->timers_done,
    };
    return item;
}

struct log_item *with_stream(struct log_item *item, struct uuid stream, int32_t expected_version)
{
    cr_assert_lt(item->item.stream_count, LOG_ITEM_PARTS);
    item->streams[item->item.stream_count++] =
        (struct append_stream){stream, STR("counter"), expected_version};
    return item;
}

struct log_item *with_row(struct log_item *item)
{
    cr_assert_lt(item->item.row_count, LOG_ITEM_PARTS);
    cr_assert_gt(item->item.stream_count, 0);
    item->rows[item->item.row_count++] = (struct append_row){
        .stream = item->item.stream_count - 1,
        .id = new_id(),
        .kind = RECORD_EVENT,
        .type = STR("CounterRaised"),
        .schema_version = 1,
        .data = STR("{\"by\":1}"),
        .meta = STR("{\"actor\":\"tester\"}"),
    };
    return item;
}

struct log_item *with_inbox(struct log_item *item, struct uuid id)
{
    cr_assert_lt(item->item.inbox_count, LOG_ITEM_PARTS);
    item->inbox[item->item.inbox_count++] = id;
    return item;
}

struct log_item *with_key(struct log_item *item, struct uuid key, char fingerprint)
{
    item->key =
        (struct append_key){.id = key, .stream = item->streams[0].id, .version = 1, .status = 201};
    item->key.fingerprint[0] = (unsigned char)fingerprint;
    item->item.key = &item->key;
    return item;
}

struct log_item *with_timer(struct log_item *item, struct uuid id, instant_us due)
{
    cr_assert_lt(item->item.timer_count, LOG_ITEM_PARTS);
    item->timers[item->item.timer_count++] = (struct timer){
        .id = id, .saga = new_id(), .data = STR("{\"step\": \"authorize\"}"), .due = due};
    return item;
}

struct log_item *with_timer_done(struct log_item *item, struct uuid id)
{
    cr_assert_lt(item->item.timer_done_count, LOG_ITEM_PARTS);
    item->timers_done[item->item.timer_done_count++] = id;
    return item;
}

struct log_item *an_event(struct log_subject *subject, struct uuid stream, int32_t expected_version)
{
    return with_row(with_stream(an_item(subject), stream, expected_version));
}

void append_all(struct log_subject *subject, struct log_item *const *items, size_t count,
                struct append_verdict *verdicts)
{
    struct append_item *plain = arena_array(&subject->arena, count, sizeof(*plain));
    cr_assert_not_null(plain);
    for (size_t i = 0; i < count; i++) {
        plain[i] = items[i]->item;
    }
    enum status status =
        event_store_append(subject->store, plain, count, &subject->arena, verdicts);
    cr_assert_eq(status, STATUS_OK, "append: %s, %s", status_name(status),
                 subject->postgres == NULL ? "" : postgres_error(subject->postgres));
}

struct append_verdict append_one(struct log_subject *subject, const struct log_item *item)
{
    struct append_verdict verdict;
    struct log_item *items[] = {(struct log_item *)item};
    append_all(subject, items, 1, &verdict);
    return verdict;
}

struct stream_rows read_all(struct log_subject *subject, struct uuid stream)
{
    struct stream_rows rows;
    enum status status = event_store_read(subject->store, &(struct stream_query){.stream = stream},
                                          1, 10000, &subject->arena, &rows);
    cr_assert_eq(status, STATUS_OK, "read: %s", status_name(status));
    return rows;
}

static size_t follow_until_quiet(struct log_subject *subject, struct log_cursor *at, size_t limit,
                                 struct recorded_event *rows, size_t wanted, int quiet_ms)
{
    size_t got = 0;
    int64_t quiet_since = monotonic_ms();
    while (got < wanted) {
        struct recorded_event *read = NULL;
        size_t count = 0;
        enum status status =
            event_store_read_tail(subject->store, *at, limit, &subject->arena, &read, &count, at);
        cr_assert_eq(status, STATUS_OK, "read_tail: %s", status_name(status));
        for (size_t i = 0; i < count && got < wanted; i++) {
            if (str_eq(read[i].tenant, subject->tenant)) {
                rows[got++] = read[i];
            }
        }
        if (count > 0) {
            quiet_since = monotonic_ms();
        } else if (monotonic_ms() - quiet_since < quiet_ms) {
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        } else {
            break; // after a read that gave nothing, however late it came
        }
    }
    return got;
}

// Patient, since transactions of other tests on the server hold settled rows back.
size_t follow_tail(struct log_subject *subject, struct log_cursor *at, size_t limit,
                   struct recorded_event *rows, size_t wanted)
{
    return follow_until_quiet(subject, at, limit, rows, wanted, TAIL_PATIENCE_MS);
}

size_t follow_rest(struct log_subject *subject, struct log_cursor *at, size_t limit,
                   struct recorded_event *rows, size_t room)
{
    return follow_until_quiet(subject, at, limit, rows, room, TAIL_QUIET_MS);
}

struct log_cursor log_end(struct log_subject *subject)
{
    struct append_verdict verdict = append_one(subject, an_event(subject, new_id(), 0));
    cr_assert_eq(verdict.outcome, APPENDED);
    return verdict.at;
}
