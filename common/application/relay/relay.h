// SPDX-License-Identifier: Apache-2.0
// The relay without I/O: it says what to do next, its driver does it and tells what came of it. The
// tail of the log goes to the broker; the checkpoint moves only past what the broker has confirmed.
//
// While confirms of one batch are on their way the next is read and sent. Whatever goes wrong is
// mended in one way: forget what is in flight, go back to the last confirmed row, publish again.
// Consumers take a message twice without harm; none is left out.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "application/ports/event_store.h"
#include "application/ports/log_bell.h"
#include "application/ports/message_bus.h"
#include "application/ports/relay_lease.h"
#include "base/backoff.h"
#include "base/status.h"

enum { RELAY_BATCH_MAX = 1024 }; // rows of one read

enum relay_want {
    RELAY_WANT_LEASE,      // acquire the lease → relay_take_lease
    RELAY_WANT_RENEW,      // renew it → relay_take_renewal
    RELAY_WANT_TOPOLOGY,   // see that exchanges and queues are there → relay_take_topology
    RELAY_WANT_ROWS,       // read_tail(relay_read_from, relay_read_limit) → relay_take_rows
    RELAY_WANT_SEND,       // offer relay_unsent → relay_take_sent
    RELAY_WANT_OUTCOMES,   // settle, waiting relay_wait_ms → relay_take_outcomes
    RELAY_WANT_CHECKPOINT, // checkpoint(relay_confirmed) → relay_take_checkpoint
    RELAY_WANT_SLEEP,      // log_bell_sleep(relay_read_from) → relay_take_sleep
    RELAY_WANT_BELL,       // log_bell_listen for relay_wait_ms → relay_take_bell
    RELAY_WANT_WAKE,       // log_bell_wake → relay_take_wake
    RELAY_WANT_REST,       // nothing for relay_wait_ms, which a request to stop may cut short
    RELAY_WANT_RELEASE,    // give the lease up → relay_take_release
    RELAY_WANT_NOTHING,    // stopped
};

struct relay_settings {
    size_t batch;         // rows of one read, at most RELAY_BATCH_MAX
    int poll_min_ms;      // between two reads while rows come
    int poll_max_ms;      // while it sleeps, in case no bell rings
    int checkpoint_ms;    // between two checkpoints, at least
    int renew_ms;         // between two renewals of the lease
    int acquire_ms;       // between two tries to lead
    int topology_ms;      // between two looks at the topology
    int stop_ms;          // to wait for confirms when asked to stop
    struct backoff retry; // after a failure
};

// 512 rows, 2 to 50 ms, checkpoint 50 ms, renew 2 s, acquire 1 s, topology 5 s, stop 5 s, retries
// from 100 ms to 5 s.
struct relay_settings relay_settings_default(void);

// Is each within its limits?
bool relay_settings_sound(const struct relay_settings *settings);

struct relay;

// random: seed of the jitter. NULL: no memory, or a setting outside its limits.
struct relay *relay_new(const struct relay_settings *settings, uint32_t random);
void relay_free(struct relay *relay);

// What to do now. now_ms: any clock that never jumps back, the same for all calls.
enum relay_want relay_next(struct relay *relay, int64_t now_ms);

// For OUTCOMES, BELL and REST, after relay_next.
int relay_wait_ms(const struct relay *relay);

// Any failure of the lease gives it up; it is acquired again after a pause.
void relay_take_lease(struct relay *relay, enum status status, const struct lease *lease,
                      int64_t now_ms);
void relay_take_renewal(struct relay *relay, enum status status, int64_t now_ms);
void relay_take_checkpoint(struct relay *relay, enum status status, int64_t now_ms);
void relay_take_release(struct relay *relay);

// mended: something was missing and has been made anew, so that what was sent since the last look
// may have gone nowhere: it is sent again.
void relay_take_topology(struct relay *relay, enum status status, bool mended, int64_t now_ms);

// What to read, and how many rows: fewer for a while after they did not fit into memory.
struct log_cursor relay_read_from(const struct relay *relay);
size_t relay_read_limit(const struct relay *relay);

// rows: as read, in order; they stay until the next RELAY_WANT_ROWS. next: cursor of the last.
// STATUS_NO_MEMORY: they did not fit; any other failure gives the lease up.
void relay_take_rows(struct relay *relay, enum status status, const struct recorded_event *rows,
                     size_t count, struct log_cursor next, int64_t now_ms);

// asleep: nothing is to be read until the bell rings. A failure gives the lease up: the bell hangs
// in the same session.
void relay_take_sleep(struct relay *relay, enum status status, bool asleep, int64_t now_ms);
void relay_take_bell(struct relay *relay, enum status status, bool rung, int64_t now_ms);
void relay_take_wake(struct relay *relay, enum status status, int64_t now_ms);

// The last read does not fit into memory as messages: it is read again in smaller pieces.
void relay_take_no_memory(struct relay *relay, int64_t now_ms);

// Is it for others to see? A saga's own events are not.
bool relay_publishes(const struct recorded_event *row);

// The rows of the last read that are to be published, all of them, in order. Rows that nobody may
// see (a saga's own events) are left out.
const struct recorded_event *const *relay_rows(const struct relay *relay, size_t *count);

// How many of relay_rows are sent already; the rest is to be offered now.
size_t relay_sent(const struct relay *relay);

// taken: how many of the rest the bus took.
void relay_take_sent(struct relay *relay, enum status status, size_t taken, int64_t now_ms);

void relay_take_outcomes(struct relay *relay, enum status status,
                         const enum publish_outcome *outcomes, size_t count, int64_t now_ms);

// Before relay_take_outcomes: the row that the outcome `at` of those heard is about is the first
// one after *before. False: it is about none that still counts.
bool relay_heard(const struct relay *relay, size_t at, struct log_cursor *before);

// The last row before which everything is confirmed.
struct log_cursor relay_confirmed(const struct relay *relay);

// Asks it to finish: waits for what is in flight, checkpoints, gives up the lease.
void relay_stop(struct relay *relay, int64_t now_ms);

bool relay_leads(const struct relay *relay);
int64_t relay_fence(const struct relay *relay);
size_t relay_in_flight(const struct relay *relay);

// Has the broker refused the last message that it was given: a queue is full, or it ails?
bool relay_refused(const struct relay *relay);
