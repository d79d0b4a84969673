// SPDX-License-Identifier: Apache-2.0
// The relay without I/O: it says what to do next, its driver does it and tells what came of it. The
// tail of the log goes to the broker; the checkpoint moves only past what the broker has confirmed.
#include "application/relay/relay.h"

#include <stdlib.h>

#include "application/relay/relay_flight.h"
#include "application/relay/relay_rest.h"

struct relay {
    struct relay_settings settings;
    uint32_t random;
    struct lease lease;
    bool stopping;
    bool stopped;
    bool crowded; // the bus took less than it was offered
    bool refused; // the broker said no, and yes to nothing since
    bool wary;    // each read waits for the outcomes of the one before, until it is large again
    struct relay_rest rest;
    int wait_ms;
    size_t read_limit;

    struct log_cursor read_from;    // last row read
    struct log_cursor confirmed;    // last row before which everything is confirmed
    struct log_cursor checkpointed; // as stored
    struct log_cursor sound;        // confirmed when the topology was last found whole

    // The last read: rows to publish, and how far the log is done once each is confirmed, which is
    // past the rows behind it that nobody may see.
    const struct recorded_event *rows[RELAY_BATCH_MAX];
    struct log_cursor ends[RELAY_BATCH_MAX];
    size_t row_count;
    size_t sent;

    struct relay_flight flight;

    int64_t acquire_at;
    int64_t renew_at;
    int64_t topology_at;
    int64_t checkpoint_at;
    int64_t retry_at;
    int64_t give_up_at; // when stopping
};

struct relay *relay_new(const struct relay_settings *settings, uint32_t random)
{
    struct relay *relay = relay_settings_sound(settings) ? calloc(1, sizeof(*relay)) : NULL;
    if (relay != NULL) {
        relay->settings = *settings;
        relay->random = random | 1; // xorshift never leaves 0
        relay->rest = (struct relay_rest){.poll_min_ms = settings->poll_min_ms,
                                          .poll_max_ms = settings->poll_max_ms};
        relay->read_limit = settings->batch;
        relay->acquire_at = INT64_MIN;
    }
    return relay;
}

void relay_free(struct relay *relay)
{
    free(relay);
}

static uint32_t next_random(struct relay *relay)
{
    relay->random ^= relay->random << 13;
    relay->random ^= relay->random >> 17;
    relay->random ^= relay->random << 5;
    return relay->random;
}

// Nothing read or sent counts any more; publishing begins again after `from`.
static void go_back(struct relay *relay, struct log_cursor from)
{
    relay_flight_give_up(&relay->flight);
    relay->row_count = 0;
    relay->sent = 0;
    relay->crowded = false;
    relay->rest.asleep = false;
    relay->rest.drowsy = false;
    relay->confirmed = from;
    relay->read_from = from;
}

static void retry_later(struct relay *relay, int64_t now_ms)
{
    relay->retry_at = now_ms + backoff_next_ms(&relay->settings.retry, next_random(relay));
    relay_rest_until(&relay->rest, relay->retry_at);
}

// The broker failed us: from the last confirmed row again, after a look at the topology.
static void mend(struct relay *relay, int64_t now_ms)
{
    go_back(relay, relay->confirmed);
    retry_later(relay, now_ms);
    relay->topology_at = relay->retry_at;
}

// The broker has no room, or ails: from the last confirmed row again, one row first, so that those
// behind it are not sent to other queues each time that it says no.
static void wait_for_room(struct relay *relay, int64_t now_ms)
{
    go_back(relay, relay->confirmed);
    retry_later(relay, now_ms);
    relay->read_limit = 1;
    relay->refused = true;
    relay->wary = true;
}

// The lease or the log failed us: lead anew, or let another.
static void step_down(struct relay *relay, int64_t now_ms)
{
    go_back(relay, relay->confirmed);
    relay->lease.held = false;
    relay->acquire_at = now_ms + relay->settings.acquire_ms;
    relay->stopped = relay->stopping;
}

static bool checkpoint_is_due(const struct relay *relay, int64_t now_ms)
{
    return relay_flight_is_past(relay->confirmed, relay->checkpointed) &&
           (now_ms >= relay->checkpoint_at || relay->stopping);
}

static enum relay_want wait_until(struct relay *relay, enum relay_want want, int64_t then_ms,
                                  int64_t now_ms)
{
    int64_t wait = then_ms - now_ms;
    relay->wait_ms = wait < 0 ? 0 : wait > INT32_MAX ? INT32_MAX : (int)wait;
    return want;
}

static int64_t earlier(int64_t left, int64_t right)
{
    return left < right ? left : right;
}

static enum relay_want next_to_stop(struct relay *relay, int64_t now_ms)
{
    if (relay->flight.count > 0 && now_ms < relay->give_up_at) {
        return wait_until(relay, RELAY_WANT_OUTCOMES, relay->give_up_at, now_ms);
    }
    return checkpoint_is_due(relay, now_ms) ? RELAY_WANT_CHECKPOINT : RELAY_WANT_RELEASE;
}

static bool has_room_to_read(const struct relay *relay)
{
    return relay->sent == relay->row_count &&
           relay->flight.count + relay->settings.batch <= RELAY_IN_FLIGHT_MAX &&
           (!relay->wary || relay->flight.count == 0);
}

// Nothing to say to anyone: hears outcomes until something is due.
static enum relay_want listen(struct relay *relay, int64_t now_ms)
{
    const struct relay_rest *rest = &relay->rest;
    int64_t then = earlier(relay->renew_at, relay->topology_at);
    if (relay->sent < relay->row_count) {
        then = earlier(then, now_ms + relay->settings.poll_max_ms);
        relay->crowded = false; // one wait, then it is offered again
    } else if (has_room_to_read(relay)) {
        then = earlier(then, rest->read_at);
    }
    if (relay_flight_is_past(relay->confirmed, relay->checkpointed)) {
        then = earlier(then, relay->checkpoint_at);
    }
    return wait_until(relay, rest->asleep ? RELAY_WANT_BELL : RELAY_WANT_OUTCOMES, then, now_ms);
}

// Nothing waits and nothing is on its way: those who append are told to ring. While it is awake
// they are not, for a bell costs them.
static enum relay_want next_to_read(struct relay *relay, int64_t now_ms)
{
    const struct relay_rest *rest = &relay->rest;
    bool idle = relay->sent == relay->row_count && relay->flight.count == 0;
    bool due = now_ms >= rest->read_at;
    if (rest->told && !rest->asleep && relay->row_count > 0) {
        return RELAY_WANT_WAKE;
    }
    if (idle && (rest->drowsy || (rest->asleep && due))) {
        return RELAY_WANT_SLEEP;
    }
    if (has_room_to_read(relay) && due) {
        return RELAY_WANT_ROWS;
    }
    return listen(relay, now_ms);
}

static enum relay_want next_as_leader(struct relay *relay, int64_t now_ms)
{
    if (now_ms >= relay->renew_at) {
        return RELAY_WANT_RENEW;
    }
    if (relay->stopping) {
        return next_to_stop(relay, now_ms);
    }
    if (now_ms >= relay->topology_at) {
        return RELAY_WANT_TOPOLOGY;
    }
    if (checkpoint_is_due(relay, now_ms)) {
        return RELAY_WANT_CHECKPOINT;
    }
    if (now_ms < relay->retry_at) {
        return listen(relay, now_ms);
    }
    if (relay->sent < relay->row_count && !relay->crowded) {
        return RELAY_WANT_SEND;
    }
    return next_to_read(relay, now_ms);
}

enum relay_want relay_next(struct relay *relay, int64_t now_ms)
{
    if (relay->stopped || (relay->stopping && !relay->lease.held)) {
        return RELAY_WANT_NOTHING;
    }
    if (relay->lease.held) {
        return next_as_leader(relay, now_ms);
    }
    if (relay->rest.told) {
        return RELAY_WANT_WAKE; // the lease is lost, but the session may live
    }
    return now_ms >= relay->acquire_at
               ? RELAY_WANT_LEASE
               : wait_until(relay, RELAY_WANT_REST, relay->acquire_at, now_ms);
}

int relay_wait_ms(const struct relay *relay)
{
    return relay->wait_ms;
}

void relay_take_lease(struct relay *relay, enum status status, const struct lease *lease,
                      int64_t now_ms)
{
    if (status != STATUS_OK || !lease->held) {
        relay->acquire_at = now_ms + relay->settings.acquire_ms;
        return;
    }
    relay->lease = *lease;
    relay->checkpointed = lease->checkpoint;
    relay->sound = lease->checkpoint;
    go_back(relay, lease->checkpoint);
    relay_rest_begin(&relay->rest, now_ms);
    relay->renew_at = now_ms + relay->settings.renew_ms;
    relay->checkpoint_at = now_ms + relay->settings.checkpoint_ms;
    relay->topology_at = now_ms;
    relay->retry_at = now_ms;
}

void relay_take_renewal(struct relay *relay, enum status status, int64_t now_ms)
{
    if (status != STATUS_OK) {
        step_down(relay, now_ms);
        return;
    }
    relay->renew_at = now_ms + relay->settings.renew_ms;
}

void relay_take_checkpoint(struct relay *relay, enum status status, int64_t now_ms)
{
    if (status != STATUS_OK) {
        step_down(relay, now_ms);
        return;
    }
    relay->checkpointed = relay->confirmed;
    relay->checkpoint_at = now_ms + relay->settings.checkpoint_ms;
}

void relay_take_release(struct relay *relay)
{
    relay->lease.held = false;
    relay->stopped = true;
}

void relay_take_topology(struct relay *relay, enum status status, bool mended, int64_t now_ms)
{
    if (status != STATUS_OK) {
        mend(relay, now_ms);
        return;
    }
    if (mended) {
        go_back(relay, relay->sound);
    }
    relay->sound = relay->confirmed;
    relay->topology_at = now_ms + relay->settings.topology_ms;
}

struct log_cursor relay_read_from(const struct relay *relay)
{
    return relay->read_from;
}

size_t relay_read_limit(const struct relay *relay)
{
    return relay->read_limit;
}

bool relay_publishes(const struct recorded_event *row)
{
    return row->kind != RECORD_EVENT || !str_eq(row->category, STR("saga"));
}

// The log is done up to here as soon as all before it is confirmed.
static void skip_to(struct relay *relay, struct log_cursor at)
{
    if (relay->row_count > 0) {
        relay->ends[relay->row_count - 1] = at;
    } else if (relay->flight.count > 0) {
        relay_flight_extend(&relay->flight, at);
    } else {
        relay->confirmed = at;
    }
}

static void take_row(struct relay *relay, const struct recorded_event *row)
{
    if (relay_publishes(row)) {
        relay->rows[relay->row_count] = row;
        relay->ends[relay->row_count] = row->at;
        relay->row_count++;
    } else {
        skip_to(relay, row->at);
    }
}

static void set_next_limit(struct relay *relay)
{
    size_t doubled = 2 * relay->read_limit;
    relay->read_limit = doubled < relay->settings.batch ? doubled : relay->settings.batch;
    relay->wary = relay->wary && relay->read_limit < relay->settings.batch;
}

void relay_take_no_memory(struct relay *relay, int64_t now_ms)
{
    bool single = relay->read_limit == 1;
    relay->read_limit = single ? 1 : relay->read_limit / 2;
    go_back(relay, relay->confirmed);
    relay_rest_until(&relay->rest, single ? now_ms + relay->settings.poll_max_ms : now_ms);
}

void relay_take_rows(struct relay *relay, enum status status, const struct recorded_event *rows,
                     size_t count, struct log_cursor next, int64_t now_ms)
{
    relay->row_count = 0;
    relay->sent = 0;
    if (status == STATUS_NO_MEMORY) {
        relay_take_no_memory(relay, now_ms);
        return;
    }
    if (status != STATUS_OK) {
        step_down(relay, now_ms);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        take_row(relay, &rows[i]);
    }
    relay->read_from = next;
    relay_rest_found(&relay->rest, count, count >= relay->read_limit, now_ms);
    set_next_limit(relay);
}

void relay_take_sleep(struct relay *relay, enum status status, bool asleep, int64_t now_ms)
{
    relay_rest_told(&relay->rest, status == STATUS_OK && asleep, now_ms);
    if (status != STATUS_OK) {
        step_down(relay, now_ms);
    }
}

void relay_take_bell(struct relay *relay, enum status status, bool rung, int64_t now_ms)
{
    if (status != STATUS_OK) {
        step_down(relay, now_ms);
    } else if (rung) {
        relay_rest_until(&relay->rest, now_ms);
    }
}

void relay_take_wake(struct relay *relay, enum status status, int64_t now_ms)
{
    relay->rest.told = false;
    if (status != STATUS_OK && relay->lease.held) {
        step_down(relay, now_ms);
    }
}

const struct recorded_event *const *relay_rows(const struct relay *relay, size_t *count)
{
    *count = relay->row_count;
    return relay->rows;
}

size_t relay_sent(const struct relay *relay)
{
    return relay->sent;
}

void relay_take_sent(struct relay *relay, enum status status, size_t taken, int64_t now_ms)
{
    if (status != STATUS_OK) {
        relay_flight_lose(&relay->flight);
        mend(relay, now_ms);
        return;
    }
    for (size_t i = 0; i < taken; i++) {
        relay_flight_add(&relay->flight, relay->ends[relay->sent++]);
    }
    relay->crowded = relay->sent < relay->row_count;
}

static void confirm_oldest(struct relay *relay)
{
    relay->confirmed = relay_flight_take(&relay->flight);
    relay->refused = false;
    backoff_reset(&relay->settings.retry);
}

static void take_outcome(struct relay *relay, enum publish_outcome outcome, int64_t now_ms)
{
    if (relay->flight.given_up > 0) {
        relay->flight.given_up--;
        return;
    }
    if (relay->flight.count == 0) {
        return; // nobody asked
    }
    if (outcome == PUBLISHED) {
        confirm_oldest(relay);
        return;
    }
    (void)relay_flight_take(&relay->flight);
    if (outcome == NACKED) {
        wait_for_room(relay, now_ms);
    } else {
        mend(relay, now_ms); // returned, though ours: the topology is broken
    }
}

void relay_take_outcomes(struct relay *relay, enum status status,
                         const enum publish_outcome *outcomes, size_t count, int64_t now_ms)
{
    if (status != STATUS_OK) {
        relay_flight_lose(&relay->flight);
        mend(relay, now_ms);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        take_outcome(relay, outcomes[i], now_ms);
    }
}

bool relay_heard(const struct relay *relay, size_t at, struct log_cursor *before)
{
    return relay_flight_heard(&relay->flight, at, relay->confirmed, before);
}

struct log_cursor relay_confirmed(const struct relay *relay)
{
    return relay->confirmed;
}

void relay_stop(struct relay *relay, int64_t now_ms)
{
    if (!relay->stopping) {
        relay->stopping = true;
        relay->give_up_at = now_ms + relay->settings.stop_ms;
        relay->row_count = relay->sent; // what is not sent yet is another's
    }
}

bool relay_leads(const struct relay *relay)
{
    return relay->lease.held;
}

int64_t relay_fence(const struct relay *relay)
{
    return relay->lease.fence;
}

size_t relay_in_flight(const struct relay *relay)
{
    return relay->flight.count;
}

bool relay_refused(const struct relay *relay)
{
    return relay->refused;
}
