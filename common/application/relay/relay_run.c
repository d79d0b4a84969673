// SPDX-License-Identifier: Apache-2.0
// Drives the relay through blocking ports, a step at a time.
#include "application/relay/relay_run.h"

#include "application/relay/relay_aside.h"

enum {
    ARENA_BLOCK = 2 * 1024 * 1024, // a usual batch fits, so that its memory is used again
    OUTCOMES_MAX = 1024
};

void relay_run_init(struct relay_run *run, const struct relay_ports *ports, struct relay *relay,
                    size_t memory_max)
{
    *run = (struct relay_run){.ports = *ports, .relay = relay};
    arena_init(&run->rows, ARENA_BLOCK, memory_max);
    arena_init(&run->bodies, ARENA_BLOCK, memory_max);
    arena_init(&run->put_aside, ARENA_BLOCK, memory_max);
}

void relay_run_free(struct relay_run *run)
{
    arena_free(&run->rows);
    arena_free(&run->bodies);
    arena_free(&run->put_aside);
}

static void acquire(struct relay_run *run, struct relay_step *step, int64_t now_ms)
{
    struct lease lease = {0};
    const struct relay_ports *ports = &run->ports;
    step->status =
        relay_lease_acquire(ports->lease, ports->name, ports->holder, ports->stale_s, &lease);
    relay_take_lease(run->relay, step->status, &lease, now_ms);
}

static enum status encode_all(struct relay_run *run)
{
    size_t count;
    const struct recorded_event *const *rows = relay_rows(run->relay, &count);
    arena_reset(&run->bodies);
    run->messages = arena_array(&run->bodies, count, sizeof(*run->messages));
    enum status status = run->messages == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        struct message *message = &run->messages[i];
        status = run->ports.encode(rows[i], &run->bodies, message);
        message->optional = status == STATUS_OK && rows[i]->kind == RECORD_EVENT &&
                            !run->ports.wanted(run->ports.context, message);
        if (status == STATUS_OK && message->lane != 0 && run->ports.by_lane != NULL) {
            status = run->ports.by_lane(run->ports.context, &run->bodies, message);
        }
    }
    return status;
}

// What cannot be encoded for want of memory is read again in smaller pieces.
static void read_rows(struct relay_run *run, struct relay_step *step, int64_t now_ms)
{
    struct recorded_event *rows = NULL;
    struct log_cursor from = relay_read_from(run->relay);
    struct log_cursor next = from;
    arena_reset(&run->rows);
    step->status = event_store_read_tail(run->ports.store, from, relay_read_limit(run->relay),
                                         &run->rows, &rows, &step->count, &next);
    relay_take_rows(run->relay, step->status, rows, step->count, next, now_ms);
    if (step->status == STATUS_OK && encode_all(run) != STATUS_OK) {
        step->status = STATUS_NO_MEMORY;
        relay_take_no_memory(run->relay, now_ms);
    }
}

static void send(struct relay_run *run, struct relay_step *step, int64_t now_ms)
{
    size_t count;
    size_t sent = relay_sent(run->relay);
    relay_rows(run->relay, &count);
    step->status =
        message_bus_offer(run->ports.bus, run->messages + sent, count - sent, &step->count);
    run->seen.sent = run->seen.sent || step->status != STATUS_OK || step->count > 0;
    relay_take_sent(run->relay, step->status, step->count, now_ms);
}

static void hear(struct relay_run *run, struct relay_step *step, int wait_ms, int64_t now_ms)
{
    enum publish_outcome outcomes[OUTCOMES_MAX];
    step->status =
        message_bus_settle(run->ports.bus, wait_ms, OUTCOMES_MAX, outcomes, &step->count);
    if (step->status == STATUS_OK) {
        relay_put_aside(run, outcomes, step);
    }
    relay_take_outcomes(run->relay, step->status, outcomes, step->count, now_ms);
}

// What the bus has to tell is heard first, and is what the step tells of.
static void listen_for_bell(struct relay_run *run, struct relay_step *step, int wait_ms,
                            int64_t now_ms)
{
    bool rung = false;
    hear(run, step, 0, now_ms);
    if (step->status == STATUS_OK) {
        enum status status = log_bell_listen(run->ports.bell, wait_ms, &rung);
        relay_take_bell(run->relay, status, rung, now_ms);
    }
}

static void say_asleep(struct relay_run *run, struct relay_step *step, int64_t now_ms)
{
    bool asleep = false;
    step->status = log_bell_sleep(run->ports.bell, relay_read_from(run->relay), &asleep);
    relay_take_sleep(run->relay, step->status, asleep, now_ms);
}

static void look(struct relay_run *run, struct relay_step *step, int64_t now_ms)
{
    bool mended = false;
    step->status = run->ports.look(run->ports.context, run->seen, &mended);
    run->seen = step->status == STATUS_OK ? (struct relay_seen){.sent = false} : run->seen;
    step->count = mended;
    relay_take_topology(run->relay, step->status, mended, now_ms);
}

struct relay_step relay_run_step(struct relay_run *run, int64_t now_ms, int wait_max_ms)
{
    struct relay *relay = run->relay;
    const struct relay_ports *ports = &run->ports;
    struct relay_step step = {.want = relay_next(relay, now_ms)};
    int64_t fence = relay_fence(relay);
    int wait_ms = relay_wait_ms(relay) < wait_max_ms ? relay_wait_ms(relay) : wait_max_ms;
    switch (step.want) {
    case RELAY_WANT_LEASE:
        acquire(run, &step, now_ms);
        break;
    case RELAY_WANT_RENEW:
        step.status = relay_lease_renew(ports->lease, ports->name, fence);
        relay_take_renewal(relay, step.status, now_ms);
        break;
    case RELAY_WANT_TOPOLOGY:
        look(run, &step, now_ms);
        break;
    case RELAY_WANT_ROWS:
        read_rows(run, &step, now_ms);
        break;
    case RELAY_WANT_SEND:
        send(run, &step, now_ms);
        break;
    case RELAY_WANT_OUTCOMES:
    case RELAY_WANT_REST: // the bus is kept alive meanwhile, and late outcomes are heard
        hear(run, &step, wait_ms, now_ms);
        break;
    case RELAY_WANT_SLEEP:
        say_asleep(run, &step, now_ms);
        break;
    case RELAY_WANT_BELL:
        listen_for_bell(run, &step, wait_ms, now_ms);
        break;
    case RELAY_WANT_WAKE:
        step.status = log_bell_wake(ports->bell);
        relay_take_wake(relay, step.status, now_ms);
        break;
    case RELAY_WANT_CHECKPOINT:
        step.status =
            relay_lease_checkpoint(ports->lease, ports->name, fence, relay_confirmed(relay));
        relay_take_checkpoint(relay, step.status, now_ms);
        break;
    case RELAY_WANT_RELEASE:
        step.status = relay_lease_release(ports->lease, ports->name, fence);
        relay_take_release(relay);
        break;
    case RELAY_WANT_NOTHING:
        break;
    }
    return step;
}
