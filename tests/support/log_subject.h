// SPDX-License-Identifier: Apache-2.0
// An event store under test, in memory or on the test's own database, and items to append to it.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "application/ports/event_store.h"
#include "base/arena.h"

struct postgres;

struct log_subject {
    struct event_store *store;
    struct postgres *postgres; // NULL: memory
    struct arena arena;
    char tenant_text[32]; // a tenant of its own, so that tests beside each other never meet
    struct str tenant;
};

void log_subject_open_memory(struct log_subject *subject);
void log_subject_open_postgres(struct log_subject *subject);
void log_subject_close(struct log_subject *subject);

// A second connection to the same database, with the first one's tenant.
void log_subject_open_beside(struct log_subject *beside, const struct log_subject *subject);

// Defines one test for each adapter from one body, which gets `struct log_subject *subject`.
#define BOTH_STORES(suite, name)                             \
    static void suite##_##name(struct log_subject *subject); \
    Test(suite##_memory, name)                               \
    {                                                        \
        struct log_subject subject;                          \
        log_subject_open_memory(&subject);                   \
        suite##_##name(&subject);                            \
        log_subject_close(&subject);                         \
    }                                                        \
    Test(suite##_postgres, name)                             \
    {                                                        \
        struct log_subject subject;                          \
        log_subject_open_postgres(&subject);                 \
        suite##_##name(&subject);                            \
        log_subject_close(&subject);                         \
    }                                                        \
    static void suite##_##name(struct log_subject *subject)

#define POSTGRES_STORE(suite, name)                          \
    static void suite##_##name(struct log_subject *subject); \
    Test(suite##_postgres, name)                             \
    {                                                        \
        struct log_subject subject;                          \
        log_subject_open_postgres(&subject);                 \
        suite##_##name(&subject);                            \
        log_subject_close(&subject);                         \
    }                                                        \
    static void suite##_##name(struct log_subject *subject)

// A time-ordered id that nobody has had before.
struct uuid new_id(void);

// An item with room for what it holds.
enum { LOG_ITEM_PARTS = 8 };
struct log_item {
    struct append_item item;
    struct append_stream streams[LOG_ITEM_PARTS];
    struct append_row rows[LOG_ITEM_PARTS];
    struct uuid inbox[LOG_ITEM_PARTS];
    struct append_key key;
    struct timer timers[LOG_ITEM_PARTS];
    struct uuid timers_done[LOG_ITEM_PARTS];
};

// Makes an item; the parts are added by the functions below, which give it back.
struct log_item *an_item(struct log_subject *subject);
struct log_item *with_stream(struct log_item *item, struct uuid stream, int32_t expected_version);
struct log_item *with_row(struct log_item *item); // an event of the stream added last
struct log_item *with_inbox(struct log_item *item, struct uuid id);
struct log_item *with_key(struct log_item *item, struct uuid key, char fingerprint);
struct log_item *with_timer(struct log_item *item, struct uuid id, instant_us due);
struct log_item *with_timer_done(struct log_item *item, struct uuid id);

// An item with one event for a stream.
struct log_item *an_event(struct log_subject *subject, struct uuid stream,
                          int32_t expected_version);

// Appends; fails the test unless STATUS_OK.
struct append_verdict append_one(struct log_subject *subject, const struct log_item *item);
void append_all(struct log_subject *subject, struct log_item *const *items, size_t count,
                struct append_verdict *verdicts);

// All rows of a stream.
struct stream_rows read_all(struct log_subject *subject, struct uuid stream);

// Reads the tail after *at until `wanted` rows of the subject's tenant have come, or the log has
// given none for half a minute; gives how many, at most `wanted`, in rows. *at moves on.
size_t follow_tail(struct log_subject *subject, struct log_cursor *at, size_t limit,
                   struct recorded_event *rows, size_t wanted);

// The same, but it gives up when the log has given no row for a second: for what must not come.
size_t follow_rest(struct log_subject *subject, struct log_cursor *at, size_t limit,
                   struct recorded_event *rows, size_t room);

// Where the log ends now, also if rows are not settled yet: tests start their tails here.
struct log_cursor log_end(struct log_subject *subject);
