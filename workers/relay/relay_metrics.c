// SPDX-License-Identifier: Apache-2.0
// What the relay counts.
#include "relay/relay_metrics.h"

#include <stdio.h>

#include "infrastructure/telemetry/metrics.h"

enum { QUEUE_NAME_MAX = 128 };

static const struct metric_family leader = {
    .kind = METRIC_GAUGE,
    .name = "comanda_relay_leader",
    .help = "1 in the process that leads the relay, 0 in a standby",
};
static const struct metric_family blocked_family = {
    .kind = METRIC_GAUGE,
    .name = "comanda_relay_blocked",
    .help = "1 while the broker asks publishers to wait (memory or disk alarm)",
};
static const struct metric_family refused_family = {
    .kind = METRIC_GAUGE,
    .name = "comanda_relay_refused",
    .help = "1 while the broker refuses what it is given: a work queue is full, or it ails",
};
static const struct metric_family in_flight = {
    .kind = METRIC_GAUGE,
    .name = "comanda_relay_in_flight",
    .help = "Messages that were sent and are not confirmed yet",
};
static const struct metric_family published = {
    .kind = METRIC_COUNTER,
    .name = "comanda_relay_published_total",
    .help = "Messages that the broker has confirmed",
};
static const struct metric_family rewinds = {
    .kind = METRIC_COUNTER,
    .name = "comanda_relay_rewinds_total",
    .help = "How often publishing went back to the last confirmed row",
};
static const struct metric_family lag = {
    .kind = METRIC_GAUGE,
    .name = "comanda_relay_lag_events",
    .help = "Rows of the log past the relay's checkpoint, counted up to 100000; set by the leader",
};
static const struct metric_family horizon = {
    .kind = METRIC_GAUGE,
    .name = "comanda_log_horizon_age_seconds",
    .help = "Age of the transaction that holds the log's readers back; set by the leader, no value "
            "while the sessions of others may not be seen",
    .unit = 1000,
};
static const struct metric_family unrouted = {
    .kind = METRIC_COUNTER,
    .name = "comanda_unrouted_total",
    .help = "Messages that came back, since the broker could route them to no queue",
};
static const struct metric_family dead_letters = {
    .kind = METRIC_GAUGE,
    .name = "comanda_dead_letters",
    .help = "Messages in a dead letter queue; set by the leader",
};
static const struct metric_family differing = {
    .kind = METRIC_GAUGE,
    .name = "comanda_topology_differing",
    .help =
        "Queues and exchanges that exist in another shape than the settings say; set by the leader",
};
static const struct metric_family partitions_undone = {
    .kind = METRIC_GAUGE,
    .name = "comanda_partitions_undone",
    .help = "Partitions that should be made or dropped and are not yet, or that rows in a DEFAULT "
            "partition bar; set by the leader",
};
static const struct metric_family upkeep_failures = {
    .kind = METRIC_COUNTER,
    .name = "comanda_upkeep_failures_total",
    .help = "How often a piece of upkeep failed or gave way to who held its tables",
};
static const struct metric_family lost_bindings = {
    .kind = METRIC_COUNTER,
    .name = "comanda_topology_bindings_lost_total",
    .help = "Bindings that the management API did not show, and that were made anew",
};
static const struct metric_family queue_messages = {
    .kind = METRIC_GAUGE,
    .name = "comanda_queue_messages",
    .help = "Messages ready in a work queue, and copies of what nobody serves; set by the leader",
};

void relay_metrics_leads(bool leads)
{
    metric_set(metric_of(&leader, NULL), leads);
}

void relay_metrics_blocked(bool blocked)
{
    metric_set(metric_of(&blocked_family, NULL), blocked);
}

void relay_metrics_refused(bool refused)
{
    metric_set(metric_of(&refused_family, NULL), refused);
}

void relay_metrics_in_flight(size_t count)
{
    metric_set(metric_of(&in_flight, NULL), (int64_t)count);
}

void relay_metrics_confirmed(size_t count)
{
    metric_add(metric_of(&published, NULL), (int64_t)count);
}

void relay_metrics_went_back(void)
{
    metric_add(metric_of(&rewinds, NULL), 1);
}

void relay_metrics_backlog(const struct relay_backlog *backlog)
{
    metric_set(metric_of(&lag, NULL), backlog->events);
    if (backlog->horizon_age_s < 0) {
        metric_unset(metric_of(&horizon, NULL));
    } else {
        metric_set(metric_of(&horizon, NULL), (int64_t)(backlog->horizon_age_s * 1000));
    }
}

void relay_metrics_undone(const struct upkeep_undone *undone)
{
    metric_set(metric_of(&partitions_undone, "what", "make", NULL), undone->to_make);
    metric_set(metric_of(&partitions_undone, "what", "drop", NULL), undone->to_drop);
    metric_set(metric_of(&partitions_undone, "what", "barred", NULL), undone->barred);
}

void relay_metrics_upkeep_failed(void)
{
    metric_add(metric_of(&upkeep_failures, NULL), 1);
}

void relay_metrics_returned(size_t count)
{
    metric_add(metric_of(&unrouted, NULL), (int64_t)count);
}

static void set_depth(const struct metric_family *family, struct str queue, int64_t messages)
{
    char name[QUEUE_NAME_MAX];
    (void)snprintf(name, sizeof(name), "%.*s", STR_FMT(queue));
    metric_set(metric_of(family, "queue", name, NULL), messages);
}

void relay_metrics_queues(const struct topology *topology,
                          const struct topology_queue_state *states)
{
    for (size_t i = 0; i < topology->queue_count; i++) {
        const struct topology_queue *queue = &topology->queues[i];
        if (queue->role == QUEUE_DEAD) {
            set_depth(&dead_letters, queue->name, states[i].messages);
        } else if (queue->role == QUEUE_WORK || queue->role == QUEUE_LANE ||
                   queue->role == QUEUE_UNROUTABLE) {
            set_depth(&queue_messages, queue->name, states[i].messages);
        }
    }
}

void relay_metrics_lost_bindings(size_t count)
{
    metric_add(metric_of(&lost_bindings, NULL), (int64_t)count);
}

void relay_metrics_differing(size_t count)
{
    metric_set(metric_of(&differing, NULL), (int64_t)count);
}
