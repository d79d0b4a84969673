// SPDX-License-Identifier: Apache-2.0
// comandactl dlq: shows the dead letters and gives them back to their queue.
#include <string.h>

#include "application/ports/message_bus.h"
#include "base/json_view.h"
#include "infrastructure/rabbitmq/message_bus_rabbitmq.h"
#include "infrastructure/rabbitmq/topology_link.h"
#include "move.h"
#include "sagas.h"
#include "table.h"

enum { LIST_DEFAULT = 50, LIMIT_MAX = 10000, BATCH = 100, WAIT_MS = 2000 };

struct dead {
    struct ctl *ctl;
    struct rabbitmq_settings settings;
    struct topology topology;
    struct topology_queue_state *states;
};

static enum ctl_exit look(struct dead *dead)
{
    struct ctl *ctl = dead->ctl;
    struct rabbitmq_connection *connection = NULL;
    enum ctl_exit code = ctl_amqp(ctl, &dead->settings);
    if (code == CTL_OK) {
        code = ctl_topology(ctl, NULL, &dead->topology);
    }
    if (code == CTL_OK) {
        code = ctl_amqp_open(ctl, &dead->settings, &connection);
    }
    if (code != CTL_OK) {
        return code;
    }
    dead->states = arena_array(ctl->arena, dead->topology.queue_count, sizeof(*dead->states));
    struct topology_report report = {0};
    enum status status = dead->states == NULL
                             ? STATUS_NO_MEMORY
                             : topology_check(connection, &dead->topology, dead->states, &report);
    rabbitmq_connection_close(connection);
    return status == STATUS_OK ? CTL_OK
                               : ctl_fail(ctl, ctl_exit_of(status), "RabbitMQ: %s", report.cause);
}

static bool is_of_the_dead(const struct topology_queue *queue)
{
    return queue->role == QUEUE_DEAD || queue->role == QUEUE_UNROUTABLE;
}

// Copies of what no queue takes are no queue's dead letters, and go by their own name.
static struct str work_queue_of(const struct topology_queue *queue)
{
    size_t cut = queue->role == QUEUE_DEAD ? strlen(".dead") : 0;
    return (struct str){queue->name.data, queue->name.len - cut};
}

// "payment", "comanda.payment" and "comanda.payment.dead" all name the last.
static const struct topology_queue *find_queue(const struct dead *dead, const char *given,
                                               size_t *index)
{
    struct str name = str_from(given);
    for (size_t at = 0; at < dead->topology.queue_count; at++) {
        const struct topology_queue *queue = &dead->topology.queues[at];
        struct str work = work_queue_of(queue);
        struct str role = {work.data + strlen("comanda."), work.len - strlen("comanda.")};
        if (is_of_the_dead(queue) &&
            (str_eq(name, queue->name) || str_eq(name, work) || str_eq(name, role))) {
            *index = at;
            return queue;
        }
    }
    return NULL;
}

// --- list

static enum ctl_exit list_queues(const struct dead *dead)
{
    static const struct table_column columns[] = {{"queue", TABLE_TEXT}, {"dead", TABLE_NUMBER}};
    struct table table;
    int64_t total = 0;
    table_begin(&table, dead->ctl, columns, 2);
    for (size_t at = 0; at < dead->topology.queue_count; at++) {
        const struct topology_queue *queue = &dead->topology.queues[at];
        if (is_of_the_dead(queue)) {
            const struct str cells[] = {work_queue_of(queue),
                                        table_number(dead->ctl, dead->states[at].messages)};
            (void)table_add(&table, cells);
            total += dead->states[at].messages;
        }
    }
    table_print(&table, "there are no queues");
    return total == 0 ? CTL_OK : CTL_NO;
}

static struct str member_text(struct str body, struct str name, struct arena *arena)
{
    size_t offset;
    struct str text;
    bool found = json_check(body, &offset) == JSON_OK &&
                 json_view_string(json_view_member(body, name), arena, &text);
    return found ? text : (struct str){NULL, 0};
}

static void add_message(struct table *table, const struct message *message)
{
    const struct ctl *ctl = table->ctl;
    const struct message_attempts *attempts = &message->attempts;
    const struct str none = {NULL, 0};
    const struct str cells[] = {
        uuid_is_nil(message->id) ? none : table_uuid(ctl, message->id.bytes),
        member_text(message->body, STR("type"), ctl->arena),
        member_text(message->body, STR("subject"), ctl->arena),
        member_text(message->body, STR("correlationid"), ctl->arena),
        table_number(ctl, attempts->count),
        attempts->first_at_us == 0 ? none : table_instant(ctl, attempts->first_at_us),
        attempts->last_at_us == 0 ? none : table_instant(ctl, attempts->last_at_us),
        attempts->cause,
    };
    (void)table_add(table, cells);
}

// Takes the messages into hand and gives them all back: nobody else sees them for that moment.
static enum ctl_exit list_messages(const struct dead *dead, const struct topology_queue *queue,
                                   size_t limit)
{
    static const struct table_column columns[] = {
        {"message_id", TABLE_TEXT},     {"type", TABLE_TEXT},       {"subject", TABLE_TEXT},
        {"correlation_id", TABLE_TEXT}, {"attempts", TABLE_NUMBER}, {"first_failure", TABLE_TEXT},
        {"last_failure", TABLE_TEXT},   {"cause", TABLE_TEXT}};
    struct ctl *ctl = dead->ctl;
    struct message_bus_rabbitmq *bus = message_bus_rabbitmq_new(&dead->settings, queue->name);
    if (bus == NULL) {
        return ctl_fail(ctl, CTL_INTERNAL, "no memory");
    }
    struct table table;
    table_begin(&table, ctl, columns, sizeof(columns) / sizeof(columns[0]));
    struct message *messages = NULL;
    size_t count = 1, seen = 0;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && count > 0 && seen < limit) {
        size_t most = limit - seen < BATCH ? limit - seen : BATCH;
        status = message_bus_receive(message_bus_rabbitmq_port(bus), most, WAIT_MS, 100, ctl->arena,
                                     &messages, &count);
        for (size_t at = 0; status == STATUS_OK && at < count; at++) {
            add_message(&table, &messages[at]);
        }
        seen += status == STATUS_OK ? count : 0;
    }
    if (status != STATUS_OK) {
        ctl_fail(ctl, ctl_exit_of(status), "RabbitMQ: %s", message_bus_rabbitmq_health(bus).cause);
    }
    message_bus_rabbitmq_free(bus); // what is not acknowledged goes back
    if (status == STATUS_OK) {
        table_print(&table, "no dead letters there");
    }
    return status != STATUS_OK ? ctl_exit_of(status) : seen == 0 ? CTL_OK : CTL_NO;
}

static bool read_limit(struct ctl *ctl, int64_t fallback, int64_t *limit)
{
    const char *text = ctl_option_value(ctl, "--limit");
    *limit = fallback;
    if (text != NULL &&
        (!str_to_int64(str_from(text), limit) || *limit < 1 || *limit > LIMIT_MAX)) {
        ctl_fail(ctl, CTL_USAGE, "--limit %s: write a number from 1 to %d", text, LIMIT_MAX);
        return false;
    }
    return true;
}

static enum ctl_exit unknown_queue(const struct dead *dead)
{
    return ctl_fail(dead->ctl, CTL_USAGE, "there is no queue %s; comandactl dlq list shows them",
                    dead->ctl->arguments[0]);
}

static enum ctl_exit run_list(struct ctl *ctl)
{
    struct dead dead = {.ctl = ctl};
    int64_t limit;
    size_t index;
    if (!read_limit(ctl, LIST_DEFAULT, &limit)) {
        return CTL_USAGE;
    }
    enum ctl_exit code = look(&dead);
    if (code != CTL_OK || ctl->argument_count == 0) {
        return code != CTL_OK ? code : list_queues(&dead);
    }
    const struct topology_queue *queue = find_queue(&dead, ctl->arguments[0], &index);
    if (queue == NULL) {
        return unknown_queue(&dead);
    }
    dead.settings.prefetch = (int)limit; // all that are listed are in hand at once
    return list_messages(&dead, queue, (size_t)limit);
}

// --- redrive

static void print_moved(const struct ctl *ctl, struct str work_queue, int64_t moved)
{
    if (ctl->json) {
        printf("{\"queue\":\"%.*s\",\"redriven\":%lld}\n", STR_FMT(work_queue), (long long)moved);
    } else {
        printf("%lld dead letters went back to %.*s\n", (long long)moved, STR_FMT(work_queue));
    }
}

static enum ctl_exit run_redrive(struct ctl *ctl)
{
    struct dead dead = {.ctl = ctl};
    int64_t limit;
    size_t index = 0;
    enum ctl_exit code = look(&dead);
    const struct topology_queue *queue =
        code == CTL_OK ? find_queue(&dead, ctl->arguments[0], &index) : NULL;
    if (queue == NULL) {
        return code != CTL_OK ? code : unknown_queue(&dead);
    }
    if (queue->role == QUEUE_UNROUTABLE) {
        return ctl_fail(ctl, CTL_NO,
                        "nobody's queue is known to want these; start who serves them, then"
                        " publish their rows again from the log");
    }
    // No more than lie there now: one that fails at once must not go round and round.
    int64_t there = dead.states[index].messages;
    if (!read_limit(ctl, there < LIMIT_MAX ? there : LIMIT_MAX, &limit)) {
        return CTL_USAGE;
    }
    struct move move = {.from = queue->name,
                        .to = work_queue_of(queue),
                        .afresh = true,
                        .limit = limit < there ? limit : there};
    code = move.limit == 0 ? CTL_OK : move_messages(ctl, &dead.settings, &move);
    if (code == CTL_OK) {
        print_moved(ctl, move.to, move.moved);
    }
    return code;
}

static const struct ctl_option list_options[] = {
    {"--limit", "N", "messages to show, 1 to 10000 (50)"},
    {"--amqp", "URL", "RabbitMQ (else COMANDA_AMQP)"},
    {NULL, NULL, NULL},
};

static const struct ctl_option redrive_options[] = {
    {"--limit", "N", "at most so many, 1 to 10000 (all that lie there now)"},
    {"--amqp", "URL", "RabbitMQ (else COMANDA_AMQP)"},
    {NULL, NULL, NULL},
};

static const struct ctl_verb verbs[] = {
    {"list", "[QUEUE]", 0, 1,
     "count the dead letters, or show a queue's; exit 1 when there are any", list_options,
     run_list},
    {"redrive", "QUEUE", 1, 1, "give a queue its dead letters back, each with a fresh ladder",
     redrive_options, run_redrive},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct ctl_noun ctl_dlq = {
    .name = "dlq",
    .summary = "dead letters: messages that could not be handled",
    .verbs = verbs,
    .examples = "  comandactl dlq list\n"
                "  comandactl dlq list payment --json\n"
                "  comandactl dlq redrive payment --limit 10\n",
};
