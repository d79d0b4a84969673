// SPDX-License-Identifier: Apache-2.0
// comandactl topology: shows and declares exchanges, queues and bindings, compares the queues with
// the settings, and gives the delay queues new delays without losing what rests in them.
#include <unistd.h>

#include "infrastructure/rabbitmq/topology_link.h"
#include "move.h"
#include "sagas.h"
#include "table.h"

enum {
    LEAVE_MS = 1000, // for messages that have rested and are on their way into the work queue
    MOVE_MAX = TOPOLOGY_RETRY_MAX,
    ROUNDS_MAX = 5, // of emptying a queue that gets messages all the same
    JSON_BYTES_MAX = 1024 * 1024
};

struct mending {
    struct ctl *ctl;
    struct rabbitmq_settings settings;
    struct topology topology;
    struct topology_queue_state *states;
    struct rabbitmq_connection *connection;
    struct topology_report report;
    struct table table;
    size_t differing;
};

static const struct table_column columns[] = {
    {"queue", TABLE_TEXT}, {"argument", TABLE_TEXT}, {"has", TABLE_TEXT},
    {"wants", TABLE_TEXT}, {"done", TABLE_TEXT},
};

static enum ctl_exit failed(const struct mending *mending, enum status status)
{
    return ctl_fail(mending->ctl, ctl_exit_of(status), "RabbitMQ: %s",
                    mending->report.cause[0] == '\0' ? status_text(status) : mending->report.cause);
}

static enum ctl_exit make(struct ctl *ctl, struct topology *topology)
{
    const struct saga_definitions *definitions;
    enum ctl_exit code = ctl_sagas(ctl, &definitions);
    return code == CTL_OK ? ctl_topology(ctl, definitions, topology) : code;
}

static enum ctl_exit open_mending(struct ctl *ctl, struct mending *mending)
{
    *mending = (struct mending){.ctl = ctl};
    enum ctl_exit code = make(ctl, &mending->topology);
    code = code == CTL_OK ? ctl_amqp(ctl, &mending->settings) : code;
    code = code == CTL_OK ? ctl_amqp_open(ctl, &mending->settings, &mending->connection) : code;
    if (code != CTL_OK) {
        return code;
    }
    table_begin(&mending->table, ctl, columns, sizeof(columns) / sizeof(columns[0]));
    mending->states =
        arena_array(ctl->arena, mending->topology.queue_count, sizeof(*mending->states));
    enum status status = mending->states == NULL
                             ? STATUS_NO_MEMORY
                             : topology_check(mending->connection, &mending->topology,
                                              mending->states, &mending->report);
    return status == STATUS_OK ? CTL_OK : failed(mending, status);
}

// One queue alone, so that each is told apart.
static enum status compare(struct mending *mending, size_t at)
{
    const struct topology one = {.queues = &mending->topology.queues[at], .queue_count = 1};
    return topology_compare(mending->connection, &one, &mending->states[at], &mending->report);
}

static void add(struct mending *mending, const char *done)
{
    struct arena *arena = mending->ctl->arena;
    const struct topology_difference *first = &mending->report.first;
    const struct str cells[] = {arena_str(arena, str_from(first->thing)),
                                arena_str(arena, str_from(first->argument)),
                                arena_str(arena, str_from(first->has)),
                                arena_str(arena, str_from(first->wants)), str_from(done)};
    (void)table_add(&mending->table, cells);
    mending->differing++;
}

// Nothing gets in, what rests goes back to work at once, and what was on its way has left.
static enum ctl_exit empty_once(struct mending *mending, const struct topology_queue *queue)
{
    struct topology_report report = {0};
    enum status status =
        topology_unbind_queue(mending->connection, &mending->topology, queue, &report);
    if (status != STATUS_OK) {
        mending->report = report;
        return failed(mending, status);
    }
    struct move move = {.from = queue->name, .to = queue->work_queue, .limit = MOVE_MAX};
    enum ctl_exit code = move_messages(mending->ctl, &mending->settings, &move);
    (void)usleep(LEAVE_MS * 1000);
    return code;
}

static enum status count_messages(struct mending *mending, const struct topology_queue *queue,
                                  int64_t *count)
{
    const struct topology one = {.queues = queue, .queue_count = 1};
    struct topology_queue_state state = {.exists = false};
    struct topology_report report;
    enum status status = topology_check(mending->connection, &one, &state, &report);
    mending->report = status == STATUS_OK ? mending->report : report;
    *count = state.messages;
    return status;
}

// Looks again, as late as can be: a relay that starts or takes over binds every queue, and what
// then came in would go with the queue.
static enum ctl_exit empty(struct mending *mending, const struct topology_queue *queue)
{
    int64_t left = 1;
    for (int round = 0; round < ROUNDS_MAX && left > 0; round++) {
        enum ctl_exit code = empty_once(mending, queue);
        if (code != CTL_OK) {
            return code;
        }
        enum status status = count_messages(mending, queue, &left);
        if (status != STATUS_OK) {
            return failed(mending, status);
        }
    }
    return left == 0 ? CTL_OK
                     : ctl_fail(mending->ctl, CTL_NO,
                                "%.*s gets messages again and again, and stays as it is: let one "
                                "relay run and none start meanwhile, then mend again",
                                STR_FMT(queue->name));
}

static enum ctl_exit mend(struct mending *mending, size_t at)
{
    const struct topology_queue *queue = &mending->topology.queues[at];
    struct topology_report report;
    if (queue->role != QUEUE_RETRY) {
        add(mending, "no: only delay queues are replaced");
        return CTL_OK;
    }
    add(mending, "replaced");
    enum ctl_exit code = empty(mending, queue);
    if (code != CTL_OK) {
        return code;
    }
    enum status status =
        topology_replace_queue(mending->connection, &mending->topology, queue, &report);
    if (status != STATUS_OK) {
        mending->report = report;
        return failed(mending, status);
    }
    return CTL_OK;
}

static enum ctl_exit go_through(struct mending *mending, bool mends)
{
    enum ctl_exit code = CTL_OK;
    for (size_t at = 0; at < mending->topology.queue_count && code == CTL_OK; at++) {
        enum status status = compare(mending, at);
        if (status != STATUS_OK) {
            code = failed(mending, status);
        } else if (mending->report.differing > 0 && mends) {
            code = mend(mending, at);
        } else if (mending->report.differing > 0) {
            add(mending, "");
        }
    }
    return code;
}

// One row for all that are missing: the first is named.
static enum ctl_exit go_through_bindings(struct mending *mending, bool mends)
{
    struct topology_lost lost;
    struct ctl *ctl = mending->ctl;
    bool asked = ctl_lost_bindings(ctl, &mending->topology, mending->settings.vhost, &lost);
    if (asked && lost.cause[0] != '\0') {
        return ctl_fail(ctl, CTL_UNAVAILABLE, "%s", lost.cause);
    }
    if (lost.count == 0) {
        return CTL_OK;
    }
    const struct str cells[] = {
        arena_printf(ctl->arena, "%zu missing", lost.count), STR("bindings"), STR(""),
        arena_str(ctl->arena, str_from(lost.first)), mends ? STR("bound") : STR("")};
    (void)table_add(&mending->table, cells);
    mending->differing++;
    mending->report = (struct topology_report){0};
    enum status status =
        !mends ? STATUS_OK
               : topology_bind(mending->connection, &mending->topology, true, &mending->report);
    return status == STATUS_OK ? CTL_OK : failed(mending, status);
}

static enum ctl_exit run(struct ctl *ctl, bool mends)
{
    struct mending mending;
    enum ctl_exit code = open_mending(ctl, &mending);
    code = code == CTL_OK ? go_through(&mending, mends) : code;
    code = code == CTL_OK ? go_through_bindings(&mending, mends) : code;
    rabbitmq_connection_close(mending.connection);
    if (code == CTL_OK) {
        table_print(&mending.table, "every queue that is there is as the settings say");
    }
    return code == CTL_OK && mending.differing > 0 && !mends ? CTL_NO : code;
}

static enum ctl_exit run_check(struct ctl *ctl)
{
    return run(ctl, false);
}

static enum ctl_exit run_mend(struct ctl *ctl)
{
    return run(ctl, true);
}

// --- as it should be

static enum ctl_exit run_show(struct ctl *ctl)
{
    static const struct table_column bindings[] = {
        {"exchange", TABLE_TEXT}, {"key", TABLE_TEXT}, {"queue", TABLE_TEXT}};
    struct topology topology;
    struct table table;
    struct buffer json;
    enum ctl_exit code = make(ctl, &topology);
    if (code != CTL_OK) {
        return code;
    }
    if (ctl->json) {
        buffer_init(&json, ctl->arena, JSON_BYTES_MAX);
        enum status status = topology_print(&topology, &json);
        ctl_print_json(&json);
        return ctl_exit_of(status);
    }
    table_begin(&table, ctl, bindings, sizeof(bindings) / sizeof(bindings[0]));
    for (size_t at = 0; at < topology.binding_count; at++) {
        const struct topology_binding *binding = &topology.bindings[at];
        const struct str cells[] = {binding->exchange, binding->key, binding->queue};
        (void)table_add(&table, cells);
    }
    table_print(&table, "nothing is bound");
    return CTL_OK;
}

// --- as it is

static void print_queues(const struct mending *mending)
{
    static const struct table_column queues[] = {{"queue", TABLE_TEXT},
                                                 {"state", TABLE_TEXT},
                                                 {"messages", TABLE_NUMBER},
                                                 {"consumers", TABLE_NUMBER}};
    const struct ctl *ctl = mending->ctl;
    struct table table;
    table_begin(&table, ctl, queues, sizeof(queues) / sizeof(queues[0]));
    for (size_t at = 0; at < mending->topology.queue_count; at++) {
        const struct topology_queue_state *state = &mending->states[at];
        const struct str cells[] = {
            mending->topology.queues[at].name, state->exists ? STR("there") : STR("missing"),
            table_number(ctl, state->messages), table_number(ctl, state->consumers)};
        (void)table_add(&table, cells);
    }
    table_print(&table, "there are no queues");
}

// Passive declares alone, which any user may do.
static enum ctl_exit run_list(struct ctl *ctl)
{
    struct mending mending;
    enum ctl_exit code = open_mending(ctl, &mending);
    rabbitmq_connection_close(mending.connection);
    if (code != CTL_OK) {
        return code;
    }
    print_queues(&mending);
    return mending.report.missing == 0
               ? CTL_OK
               : ctl_fail(ctl, CTL_NO,
                          "%zu missing; first: %s; start comanda-relay, or topology declare as its "
                          "user",
                          mending.report.missing, mending.report.cause);
}

// --- made so

static void print_declared(const struct ctl *ctl, const struct topology *topology)
{
    printf(ctl->json ? "{\"exchanges\":%zu,\"queues\":%zu,\"bindings\":%zu}\n"
                     : "%zu exchanges, %zu queues and %zu bindings are there\n",
           topology->exchange_count, topology->queue_count, topology->binding_count);
}

static enum ctl_exit run_declare(struct ctl *ctl)
{
    struct mending mending;
    enum ctl_exit code = open_mending(ctl, &mending);
    if (code != CTL_OK) {
        rabbitmq_connection_close(mending.connection);
        return code;
    }
    const struct topology_report *report = &mending.report;
    enum status status = topology_declare(mending.connection, &mending.topology, &mending.report);
    rabbitmq_connection_close(mending.connection);
    if (status == STATUS_REFUSED) {
        return ctl_fail(ctl, CTL_REFUSED,
                        "RabbitMQ: %s; only comanda_relay and an administrator "
                        "may declare",
                        report->cause);
    }
    if (status != STATUS_OK) {
        return failed(&mending, status);
    }
    if (report->differing > 0) {
        return ctl_fail(ctl, CTL_NO, "%zu are there in another shape and stay so; first: %s",
                        report->differing, report->cause);
    }
    print_declared(ctl, &mending.topology);
    return CTL_OK;
}

static const struct ctl_option show_options[] = {
    {"--sagas", "FOLDER", "the sagas' definitions (else COMANDA_SAGAS, else conf/sagas)"},
    {NULL, NULL, NULL},
};

static const struct ctl_option options[] = {
    {"--retry", "DELAYS", "the three delays, such as 5s,20s,60s (else COMANDA_RETRY_1 to _3)"},
    {"--sagas", "FOLDER", "the sagas' definitions (else COMANDA_SAGAS, else conf/sagas)"},
    {"--amqp", "URL", "RabbitMQ (else COMANDA_AMQP)"},
    {"--management", "URL",
     "RabbitMQ's management API (else COMANDA_AMQP_MANAGEMENT), for bindings"},
    {NULL, NULL, NULL},
};

static const struct ctl_verb verbs[] = {
    {"show", "", 0, 0, "the bindings as they should be; with --json everything", show_options,
     run_show},
    {"list", "", 0, 0, "each queue as it is; exit 1 when one or an exchange is missing", options,
     run_list},
    {"declare", "", 0, 0, "make what is missing, as the relay does; as comanda_relay", options,
     run_declare},
    {"check", "", 0, 0, "compare the queues with the settings; exit 1 when one differs", options,
     run_check},
    {"mend", "", 0, 0, "replace the delay queues that differ; what rests in them is tried at once",
     options, run_mend},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct ctl_noun ctl_topology_noun = {
    .name = "topology",
    .summary = "exchanges, queues and bindings: as they should be, and as they are",
    .verbs = verbs,
    .examples = "  comandactl topology list\n"
                "  comandactl topology check --retry 5s,20s,60s\n"
                "  comandactl topology mend\n",
};
