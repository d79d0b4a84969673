// SPDX-License-Identifier: Apache-2.0
// The relay's loop: steps of the relay until SIGTERM, what they mean for log, metrics and
// readiness.
#include "relay/relay_loop.h"

#include <stdio.h>

#include "infrastructure/telemetry/log.h"
#include "relay/relay_metrics.h"
#include "runtime/parts.h"

enum {
    REFUSAL_TOLD_MS = 60000,
    WAIT_MAX_MS = 200,
    OBSERVE_MS = 2000,
    LAG_COUNT_MAX = 100000,
    SCHEMA_WAIT_MS = 1000
};

static void note_leading(struct relay_loop *loop)
{
    bool leads = relay_leads(loop->run.relay);
    if (leads == loop->was_leading) {
        return;
    }
    loop->was_leading = leads;
    loop->observe_at_ms = 0;
    *loop->leads = leads;
    relay_metrics_leads(leads);
    if (leads) {
        log_line(LOG_INFO, "leads the relay", log_int("fence", relay_fence(loop->run.relay)),
                 log_int("position", relay_confirmed(loop->run.relay).position));
        return;
    }
    const struct relay_backlog nothing = {0}; // another one tells it now
    relay_metrics_backlog(&nothing);
    log_line(LOG_INFO, "leads the relay no more");
}

static void note_bus(struct relay_loop *loop, struct runtime *runtime)
{
    struct message_bus_health health = message_bus_rabbitmq_health(loop->bus);
    const char *differs = topology_keeper_cause(loop->keeper);
    const char *detail = health.cause[0] != '\0' ? health.cause
                         : differs[0] != '\0'    ? differs
                         : relay_refused(loop->run.relay)
                             ? "the broker refuses messages: a work queue is full"
                         : health.publishing ? "connected"
                                             : "not connected yet";
    if (health.blocked) {
        detail = "the broker asks publishers to wait: memory or disk alarm";
    }
    if (health.blocked != loop->was_blocked) {
        loop->was_blocked = health.blocked;
        relay_metrics_blocked(health.blocked);
    }
    bool declared = !relay_leads(loop->run.relay) || loop->keeper->declared;
    readiness_set(runtime, "rabbitmq", health.publishing && declared, detail);
}

// A queue in use is not torn down for a changed delay: whoever changed it is told how.
static void note_differing(struct relay_loop *loop)
{
    const struct topology_report *report = &loop->keeper->report;
    relay_metrics_differing(report->differing);
    if (report->differing != loop->was_differing && report->differing > 0) {
        log_line(LOG_ERROR,
                 "queues or exchanges differ from the settings, and stay as they are: run"
                 " comandactl topology mend, or set the delays back",
                 log_int("differing", (int64_t)report->differing),
                 log_text("first", report->first.thing),
                 log_text("argument", report->first.argument), log_text("has", report->first.has),
                 log_text("wants", report->first.wants));
    }
    loop->was_differing = report->differing;
}

static void note_bindings(struct relay_loop *loop)
{
    const struct topology_lost *lost = &loop->keeper->lost;
    relay_metrics_lost_bindings(lost->count);
    if (lost->count > 0) {
        log_line(LOG_ERROR, "bindings were missing and are made anew",
                 log_int("missing", (int64_t)lost->count), log_text("first", lost->first));
    }
    bool asked = lost->cause[0] == '\0';
    if (!asked && loop->was_asked) {
        log_line(LOG_WARNING, "bindings are not compared", log_text("cause", lost->cause));
    }
    loop->was_asked = asked;
}

static void note_topology(struct relay_loop *loop, const struct relay_step *step)
{
    note_bindings(loop);
    if (step->status != STATUS_OK) {
        relay_metrics_went_back();
        return;
    }
    if (step->count > 0) {
        relay_metrics_went_back();
        log_line(LOG_WARNING,
                 "a queue, an exchange or a binding was missing and has been made anew; what was "
                 "sent since the last look is sent again");
    }
    relay_metrics_queues(loop->keeper->topology, loop->keeper->states);
    note_differing(loop);
}

static void note_lease(const struct relay_loop *loop, const struct relay_step *step)
{
    if (step->status == STATUS_FENCED) {
        log_line(LOG_WARNING, "the lease is lost: its session has ended, or another relay leads",
                 log_int("fence", relay_fence(loop->run.relay)));
    }
}

// One line a step: a saga that asks for what nobody serves asks for it a thousand times.
static void note_aside(const struct relay_step *step)
{
    if (step->aside_count > 0) {
        char id[UUID_TEXT_LEN];
        uuid_format(step->aside->id, id);
        log_line(LOG_ERROR,
                 "commands or replies that no queue takes were put aside (comanda.unroutable);"
                 " once somebody serves them, publish them again from the log",
                 log_int("count", (int64_t)step->aside_count),
                 log_str("first", (struct str){id, sizeof(id)}),
                 log_str("cause", step->aside->attempts.cause));
    }
}

// Once a minute: a queue at its maximum takes one and refuses one, again and again.
static void note_refusal(struct relay_loop *loop)
{
    bool refused = relay_refused(loop->run.relay);
    int64_t now_ms = runtime_monotonic_ms();
    relay_metrics_refused(refused);
    if (refused && now_ms >= loop->refusal_at_ms) {
        loop->refusal_at_ms = now_ms + REFUSAL_TOLD_MS;
        log_line(LOG_ERROR, "the broker refuses messages, and publishing waits: a work queue is"
                            " full (comanda_queue_messages), or a queue ails");
    }
}

static void note_outcomes(struct relay_loop *loop, const struct relay_step *step)
{
    if (step->status != STATUS_OK) {
        relay_metrics_went_back();
        log_line(LOG_WARNING, "the broker was lost; publishing goes on from the last confirmed row",
                 log_text("cause", message_bus_rabbitmq_health(loop->bus).cause));
        return;
    }
    relay_metrics_confirmed(step->count);
    relay_metrics_returned(step->returned);
    note_aside(step);
    note_refusal(loop);
    relay_metrics_in_flight(relay_in_flight(loop->run.relay));
}

static void note_failed_read(const struct relay_loop *loop, const struct relay_step *step)
{
    if (step->status != STATUS_OK) {
        log_line(LOG_WARNING, "the log cannot be read",
                 log_text("status", status_name(step->status)),
                 log_text("cause", postgres_error(loop->postgres)));
    }
}

static void note(struct relay_loop *loop, struct runtime *runtime, const struct relay_step *step)
{
    switch (step->want) {
    case RELAY_WANT_TOPOLOGY:
        note_topology(loop, step);
        note_bus(loop, runtime);
        break;
    case RELAY_WANT_SEND:
        if (step->status != STATUS_OK) {
            note_outcomes(loop, step);
        }
        break;
    case RELAY_WANT_OUTCOMES:
    case RELAY_WANT_BELL:
    case RELAY_WANT_REST:
        note_outcomes(loop, step);
        note_bus(loop, runtime);
        break;
    case RELAY_WANT_RENEW:
    case RELAY_WANT_CHECKPOINT:
        note_lease(loop, step);
        break;
    case RELAY_WANT_ROWS:
        note_failed_read(loop, step);
        break;
    case RELAY_WANT_LEASE:
    case RELAY_WANT_SLEEP:
    case RELAY_WANT_WAKE:
    case RELAY_WANT_RELEASE:
    case RELAY_WANT_NOTHING:
        break;
    }
    note_leading(loop);
}

// How far behind we are. A failure shows elsewhere soon enough.
static void observe(struct relay_loop *loop, int64_t now_ms)
{
    struct relay_ports *ports = &loop->run.ports;
    struct relay_backlog backlog;
    if (!relay_leads(loop->run.relay) || now_ms < loop->observe_at_ms) {
        return;
    }
    loop->observe_at_ms = now_ms + OBSERVE_MS;
    if (relay_lease_backlog(ports->lease, ports->name, LAG_COUNT_MAX, &backlog) == STATUS_OK) {
        relay_metrics_backlog(&backlog);
    }
}

// A relay never reads a log whose shape it does not know.
static bool wait_for_schema(struct relay_loop *loop, struct runtime *runtime)
{
    while (!runtime_stopping(runtime)) {
        if (parts_check_postgres(runtime, loop->postgres, NULL)) {
            return true;
        }
        (void)runtime_sleep(runtime, SCHEMA_WAIT_MS);
    }
    return false;
}

int relay_loop_run(struct runtime *runtime, void *context)
{
    struct relay_loop *loop = context;
    struct relay_step step = {.want = RELAY_WANT_REST};
    if (!wait_for_schema(loop, runtime)) {
        return 0;
    }
    while (step.want != RELAY_WANT_NOTHING) {
        int64_t now_ms = runtime_monotonic_ms();
        if (runtime_stopping(runtime)) {
            relay_stop(loop->run.relay, now_ms);
        }
        step = relay_run_step(&loop->run, now_ms, WAIT_MAX_MS);
        note(loop, runtime, &step);
        observe(loop, now_ms);
        if (step.want == RELAY_WANT_LEASE && step.status != STATUS_OK &&
            !wait_for_schema(loop, runtime)) {
            break;
        }
    }
    return 0;
}
