// SPDX-License-Identifier: Apache-2.0
// What the event store in memory keeps: rows by stream and by log, keys, inbox, timers, snapshots.
#pragma once

#include <uthash.h>

#include "application/ports/event_store.h"
#include "base/arena.h"

struct kept_row {
    struct recorded_event event;
    struct kept_row *next_in_stream;
    struct kept_row *next_in_log;
};

struct kept_snapshot;

struct kept_stream {
    struct uuid id;
    int32_t version;
    struct kept_row *first;
    struct kept_row *last;
    struct kept_snapshot *snapshots;
    UT_hash_handle hh;
};

struct kept_key {
    struct append_key key;
    UT_hash_handle hh;
};

struct kept_inbox {
    UT_hash_handle hh;
    char name[]; // message id, consumer
};

struct kept_timer {
    struct timer timer;
    UT_hash_handle hh;
};

struct kept_snapshot {
    struct snapshot snapshot;
    struct kept_snapshot *next; // no order
};

struct memory_store {
    struct event_store base;
    struct arena arena; // everything kept; what is deleted stays there unseen
    struct kept_stream *streams;
    struct kept_row *first;
    struct kept_row *last;
    struct kept_key *keys;
    struct kept_inbox *inbox;
    struct kept_timer *timers;
    uint64_t tx;
    int64_t position;
};

static inline struct memory_store *memory_store_of(struct event_store *store)
{
    return (struct memory_store *)store;
}

instant_us memory_log_now(void);

struct kept_stream *memory_log_stream(const struct memory_store *store, struct uuid id);
struct kept_key *memory_log_key(const struct memory_store *store, struct uuid id);
bool memory_log_is_handled(const struct memory_store *store, struct str consumer, struct uuid id);

// Bytes that an item takes at most.
size_t memory_log_item_bytes(const struct append_item *item);

// Keeps an item that was judged and has room; fills outcome and place.
void memory_log_keep(struct memory_store *store, const struct append_item *item,
                     struct append_verdict *verdict);

// The reading half of the port.
event_store_read_fn memory_log_read;
event_store_read_tail_fn memory_log_read_tail;
event_store_save_snapshots_fn memory_log_save_snapshots;
event_store_claim_timers_fn memory_log_claim_timers;
event_store_timers_rest_fn memory_log_timers_rest;
