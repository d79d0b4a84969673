// SPDX-License-Identifier: Apache-2.0
// doctor: RabbitMQ with its topology, and Redis.
#include "doctor.h"
#include "doctor_memory.h"
#include "infrastructure/rabbitmq/ladder_proof.h"
#include "infrastructure/rabbitmq/topology_link.h"
#include "infrastructure/redis/connection.h"

enum { REDIS_TIMEOUT_MS = 3000 };

struct counts {
    int64_t dead;
    int64_t unroutable;
    int64_t waiting;
    struct str unread; // work queues that nobody consumes
};

static struct counts count(struct doctor *doctor, const struct topology *topology,
                           const struct topology_queue_state *states)
{
    struct counts counts = {.unread = STR("")};
    for (size_t at = 0; at < topology->queue_count; at++) {
        const struct topology_queue *queue = &topology->queues[at];
        switch (queue->role) {
        case QUEUE_WORK:
            counts.waiting += states[at].messages;
            if (states[at].consumers == 0) {
                counts.unread = DOCTOR_DETAIL(doctor, "%.*s %.*s", STR_FMT(counts.unread),
                                              STR_FMT(queue->name));
            }
            break;
        case QUEUE_LANE: // one that nobody serves is not used, but what lies in it has to come out
            counts.waiting += states[at].messages;
            if (states[at].consumers == 0 && states[at].messages > 0) {
                counts.unread = DOCTOR_DETAIL(doctor, "%.*s %.*s", STR_FMT(counts.unread),
                                              STR_FMT(queue->name));
            }
            break;
        case QUEUE_RETRY:
            counts.waiting += states[at].messages;
            break;
        case QUEUE_DEAD:
            counts.dead += states[at].messages;
            break;
        case QUEUE_UNROUTABLE:
            counts.unroutable += states[at].messages;
            break;
        }
    }
    return counts;
}

static void say_counts(struct doctor *doctor, const struct counts *counts)
{
    bool read = counts->unread.len == 0;
    doctor_say(doctor, "consumers", read ? FINDING_OK : FINDING_FAULT,
               read ? DOCTOR_DETAIL(doctor, "every queue has one; %lld messages wait",
                                    (long long)counts->waiting)
                    : DOCTOR_DETAIL(doctor, "nobody consumes%.*s", STR_FMT(counts->unread)),
               read ? ""
                    : "start the daemon of that name (comanda.ordering: comanda-saga); one that"
                      " runs tells at /readyz whether the broker refuses its user");
    doctor_say(doctor, "dead letters", counts->dead == 0 ? FINDING_OK : FINDING_WARNING,
               DOCTOR_DETAIL(doctor, "%lld messages", (long long)counts->dead),
               counts->dead == 0 ? ""
                                 : "comandactl dlq list QUEUE shows their causes; mend, then"
                                   " dlq redrive QUEUE");
    doctor_say(doctor, "unroutable", counts->unroutable == 0 ? FINDING_OK : FINDING_WARNING,
               DOCTOR_DETAIL(doctor, "%lld commands or replies that no queue takes",
                             (long long)counts->unroutable),
               counts->unroutable == 0 ? ""
                                       : "comandactl dlq list unroutable shows them; start who"
                                         " serves them, then publish them again from the log");
}

static void say_topology(struct doctor *doctor, const struct topology *topology,
                         const struct topology_report *report)
{
    bool whole = report->missing == 0;
    doctor_say(
        doctor, "topology", whole ? FINDING_OK : FINDING_FAULT,
        whole ? DOCTOR_DETAIL(doctor, "%zu exchanges and %zu queues", topology->exchange_count,
                              topology->queue_count)
              : DOCTOR_DETAIL(doctor, "%zu missing; first: %s", report->missing, report->cause),
        whole ? "" : "the relay declares it all: start comanda-relay");
}

// Only with delays of the operator's to compare with: the daemons' are theirs.
static void look_at_delays(struct doctor *doctor, struct rabbitmq_connection *connection,
                           const struct topology *topology,
                           const struct topology_queue_state *states)
{
    struct topology_report report = {0};
    const struct topology_difference *first = &report.first;
    if (!ctl_names_delays(doctor->ctl)) {
        doctor_say(doctor, "delays", FINDING_OK, STR("not compared: no COMANDA_RETRY_1 to _3"), "");
    } else if (topology_compare(connection, topology, states, &report) != STATUS_OK) {
        doctor_say(doctor, "delays", FINDING_WARNING, DOCTOR_DETAIL(doctor, "%s", report.cause),
                   "ask as comanda_relay: comandactl topology check");
    } else if (report.differing == 0) {
        doctor_say(doctor, "delays", FINDING_OK, STR("every queue is as the settings say"), "");
    } else {
        doctor_say(doctor, "delays", FINDING_FAULT,
                   DOCTOR_DETAIL(doctor, "%zu queues differ; first: %s has %s %s, the settings %s",
                                 report.differing, first->thing, first->argument, first->has,
                                 first->wants),
                   "comandactl topology mend, or set the delays back");
    }
}

// AMQP cannot ask for bindings, so without the other API nothing is known of them.
static void look_at_bindings(struct doctor *doctor, const struct topology *topology,
                             const char *vhost)
{
    struct topology_lost lost;
    if (!ctl_lost_bindings(doctor->ctl, topology, vhost, &lost)) {
        doctor_say(doctor, "bindings", FINDING_OK, STR("not compared: no COMANDA_AMQP_MANAGEMENT"),
                   "");
    } else if (lost.cause[0] != '\0') {
        doctor_say(doctor, "bindings", FINDING_WARNING, DOCTOR_DETAIL(doctor, "%s", lost.cause),
                   "name it as http://user:password@host:15672, with a user of the tag management");
    } else if (lost.count == 0) {
        doctor_say(doctor, "bindings", FINDING_OK,
                   DOCTOR_DETAIL(doctor, "%zu are there", topology->binding_count), "");
    } else {
        doctor_say(doctor, "bindings", FINDING_FAULT,
                   DOCTOR_DETAIL(doctor, "%zu missing; first: %s", lost.count, lost.first),
                   "the relay makes them anew within seconds, and publishes again what was sent"
                   " meanwhile: start comanda-relay");
    }
}

// An empty one: what is taken from a queue and given back counts as delivered once more.
static const struct topology_queue *empty_dead_queue(const struct topology *topology,
                                                     const struct topology_queue_state *states)
{
    for (size_t at = 0; at < topology->queue_count; at++) {
        if (topology->queues[at].role == QUEUE_DEAD && states[at].exists &&
            states[at].messages == 0) {
            return &topology->queues[at];
        }
    }
    return NULL;
}

// A refusal ends the channel, so nothing is asked after it.
static void look_at_rights(struct doctor *doctor, struct rabbitmq_connection *connection,
                           const struct topology_queue *dead)
{
    enum status status = exchange_prove(connection, STR(""), STR("comanda.nobody"));
    if (status == STATUS_OK && dead != NULL) {
        status = queue_prove(connection, dead->name);
    }
    bool may = status == STATUS_OK;
    doctor_say(doctor, "rights", may ? FINDING_OK : FINDING_FAULT,
               may ? STR("dead letters may be read and given back")
                   : DOCTOR_DETAIL(doctor, "%s", rabbitmq_connection_cause(connection)),
               may ? ""
                   : "come as comanda_operator, or make the permissions anew: comandactl access"
                     " rabbitmq");
}

static void look_at_topology(struct doctor *doctor, struct rabbitmq_connection *connection,
                             const char *vhost)
{
    struct ctl *ctl = doctor->ctl;
    struct topology topology;
    if (ctl_topology(ctl, doctor->sagas, &topology) != CTL_OK) {
        return; // it has said why
    }
    struct topology_report report = {0};
    struct topology_queue_state *states =
        arena_array(ctl->arena, topology.queue_count, sizeof(*states));
    enum status status =
        states == NULL ? STATUS_NO_MEMORY : topology_check(connection, &topology, states, &report);
    if (status != STATUS_OK) {
        doctor_say(doctor, "topology", FINDING_FAULT,
                   DOCTOR_DETAIL(doctor, "%s",
                                 report.cause[0] == '\0' ? status_text(status) : report.cause),
                   "the relay declares it all: start comanda-relay");
        return;
    }
    say_topology(doctor, &topology, &report);
    look_at_bindings(doctor, &topology, vhost);
    const struct counts counts = count(doctor, &topology, states);
    say_counts(doctor, &counts);
    look_at_rights(doctor, connection, empty_dead_queue(&topology, states));
    look_at_delays(doctor, connection, &topology, states);
}

void doctor_rabbitmq(struct doctor *doctor)
{
    struct ctl *ctl = doctor->ctl;
    const char *url = ctl_setting(ctl, "--amqp", "COMANDA_AMQP", NULL);
    struct rabbitmq_settings settings;
    struct rabbitmq_connection *connection = NULL;
    struct str cause = STR("not named");
    if (url == NULL ||
        rabbitmq_settings_read(str_from(url), ctl->arena, &settings, &cause) != STATUS_OK) {
        doctor_say(doctor, "rabbitmq", FINDING_FAULT, cause,
                   "give --amqp URL or set COMANDA_AMQP: amqp://user:password@host:port/vhost");
        return;
    }
    char words[RABBITMQ_CAUSE_MAX] = "";
    settings.name = "comandactl doctor";
    if (rabbitmq_connection_open(&settings, "operator", &connection, words) != STATUS_OK) {
        doctor_say(doctor, "rabbitmq", FINDING_FAULT, DOCTOR_DETAIL(doctor, "%s", words),
                   "start it, or mend the address, the password or the virtual host");
        return;
    }
    bool blocked = rabbitmq_connection_blocked(connection);
    doctor_say(doctor, "rabbitmq", blocked ? FINDING_FAULT : FINDING_OK,
               blocked ? STR("connected; it takes no messages now") : STR("connected"),
               blocked ? "its memory or disk alarm is on: see rabbitmq-diagnostics alarms" : "");
    look_at_topology(doctor, connection, settings.vhost);
    rabbitmq_connection_close(connection);
}

// Redis away costs speed, never correctness: a warning.
void doctor_redis(struct doctor *doctor)
{
    struct ctl *ctl = doctor->ctl;
    const char *address = ctl_setting(ctl, "--redis", "COMANDA_REDIS", NULL);
    struct redis_connection *connection =
        address == NULL ? NULL : redis_connection_new(address, REDIS_TIMEOUT_MS);
    if (connection == NULL) {
        doctor_say(doctor, "redis", address == NULL ? FINDING_WARNING : FINDING_FAULT,
                   address == NULL ? STR("not named") : STR("no address"),
                   "give --redis or set COMANDA_REDIS: redis://user:password@host:port");
        return;
    }
    redisContext *context = redis_connection_use(connection);
    bool there = context != NULL;
    bool refused = redis_connection_refused(connection);
    doctor_say(doctor, "redis",
               there     ? FINDING_OK
               : refused ? FINDING_FAULT
                         : FINDING_WARNING,
               there ? STR("connected")
                     : DOCTOR_DETAIL(doctor, "%s", redis_connection_error(connection)),
               there     ? ""
               : refused ? "mend the user or password, or make the users: comandactl access redis"
                         : "start it; until then reads go to PostgreSQL and are slower");
    if (there) {
        doctor_redis_memory(doctor, context);
    }
    redis_connection_free(connection);
}
