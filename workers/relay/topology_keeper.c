// SPDX-License-Identifier: Apache-2.0
// Keeps exchanges and queues in place over a connection of its own, and counts what lies in them.
#include "relay/topology_keeper.h"

#include <stdlib.h>

#include "infrastructure/telemetry/log.h"
enum { REST_MS = 60000 }; // between two looks at bindings when nothing is sent, or nobody answers

static enum status nothing_to_say(struct rabbitmq_connection *connection, void *context)
{
    (void)connection;
    (void)context;
    return STATUS_OK;
}

bool topology_keeper_init(struct topology_keeper *keeper, const struct rabbitmq_settings *settings,
                          const struct topology *topology,
                          const struct rabbitmq_management *management, int lanes)
{
    *keeper =
        (struct topology_keeper){.topology = topology, .management = management, .lanes = lanes};
    keeper->states = calloc(topology->queue_count, sizeof(*keeper->states));
    keeper->queues = calloc(topology->queue_count, sizeof(*keeper->queues));
    keeper->bindings = calloc(topology->binding_count, sizeof(*keeper->bindings));
    rabbitmq_link_init(&keeper->link, settings, "topology", nothing_to_say, NULL);
    return keeper->states != NULL && keeper->queues != NULL && keeper->bindings != NULL;
}

void topology_keeper_free(struct topology_keeper *keeper)
{
    rabbitmq_link_close(&keeper->link);
    free(keeper->states);
    free(keeper->queues);
    free(keeper->bindings);
}

static bool is_lane(const struct topology *topology, struct str queue)
{
    for (size_t at = 0; at < topology->queue_count; at++) {
        if (str_eq(topology->queues[at].name, queue)) {
            return topology->queues[at].role == QUEUE_LANE;
        }
    }
    return false;
}

// The users were made by an older release: better slow than not at all.
static void go_without_lanes(struct topology_keeper *keeper)
{
    const struct topology *all = keeper->topology;
    struct topology *less = &keeper->without_lanes;
    *less = *all;
    less->queue_count = 0;
    less->binding_count = 0;
    for (size_t at = 0; at < all->binding_count; at++) {
        if (!is_lane(all, all->bindings[at].queue)) {
            keeper->bindings[less->binding_count++] = all->bindings[at];
        }
    }
    for (size_t at = 0; at < all->queue_count; at++) {
        if (all->queues[at].role != QUEUE_LANE) {
            keeper->queues[less->queue_count++] = all->queues[at];
        }
    }
    less->queues = keeper->queues;
    less->bindings = keeper->bindings;
    keeper->topology = less;
    keeper->lanes = 0;
    log_line(LOG_WARNING, "the broker refuses the lanes' queues to this user: commands for hot"
                          " streams are not spread; make the permissions anew (comandactl access"
                          " rabbitmq) and start the relay again");
}

// Frames that came meanwhile (heartbeats) are read first, so that no deadline passes unseen.
static enum status breathe(struct topology_keeper *keeper)
{
    amqp_frame_t frame;
    bool got = true;
    enum status status = STATUS_OK;
    while (got && status == STATUS_OK) {
        status = rabbitmq_connection_frame(keeper->link.connection, 0, &frame, &got);
    }
    return status;
}

static enum status find_out(struct topology_keeper *keeper, struct topology_report *found)
{
    *found = (struct topology_report){0};
    enum status status = breathe(keeper);
    if (status == STATUS_OK) {
        status = topology_check(keeper->link.connection, keeper->topology, keeper->states, found);
    }
    // Also when the rest could not be looked at: the next look may find it made anew by others.
    keeper->owes_resend = keeper->owes_resend || (keeper->declared && found->missing_work > 0);
    return status;
}

// Those of the ladder are no fault while one of its queues differs: somebody may be replacing it.
static void ask_for_bindings(struct topology_keeper *keeper)
{
    int64_t now_ms = rabbitmq_now_ms();
    if (keeper->management == NULL || now_ms < keeper->ask_at_ms) {
        return;
    }
    if (topology_bindings_ask(keeper->topology, keeper->management, keeper->link.settings->vhost,
                              &keeper->lost) != STATUS_OK) {
        keeper->ask_at_ms = now_ms + REST_MS;
    } else if (keeper->report.differing > 0 && keeper->lost.of_log == 0) {
        keeper->lost = (struct topology_lost){0};
    }
}

// Nothing can have been lost over a binding that is missing while nothing was sent.
static enum status see_to_bindings(struct topology_keeper *keeper, bool sent)
{
    struct topology_report report = {0};
    bool with_ladder = keeper->report.differing == 0;
    int64_t now_ms = rabbitmq_now_ms();
    if (!sent && now_ms < keeper->bind_at_ms) {
        return STATUS_OK;
    }
    keeper->bind_at_ms = now_ms + REST_MS;
    return topology_bind(keeper->link.connection, keeper->topology, with_ladder, &report);
}

// What differs is asked about until it has been mended. Not declared: that would bind a queue again
// which is being emptied.
static enum status look_at_rest(struct topology_keeper *keeper, bool sent)
{
    enum status status = STATUS_OK;
    if (keeper->report.differing > 0) {
        status = topology_compare(keeper->link.connection, keeper->topology, keeper->states,
                                  &keeper->report);
    }
    return status == STATUS_OK ? see_to_bindings(keeper, sent) : status;
}

static enum status declare_all(struct topology_keeper *keeper, bool *mended)
{
    enum status status =
        topology_declare(keeper->link.connection, keeper->topology, &keeper->report);
    if (status == STATUS_OK) {
        *mended = keeper->owes_resend;
        keeper->owes_resend = false;
        keeper->declared = true;
        keeper->bind_at_ms = rabbitmq_now_ms() + REST_MS;
    }
    if (status == STATUS_REFUSED && keeper->report.lane_refused) {
        go_without_lanes(keeper);
    }
    return status;
}

static enum status look_and_mend(struct topology_keeper *keeper, struct relay_seen seen,
                                 bool *mended)
{
    struct topology_report found;
    enum status status = find_out(keeper, &found);
    keeper->lost.count = 0;
    if (status == STATUS_OK && keeper->declared && found.missing == 0 &&
        (seen.sent || rabbitmq_now_ms() >= keeper->bind_at_ms)) {
        ask_for_bindings(keeper);
    }
    keeper->owes_resend =
        keeper->owes_resend || (keeper->declared && (seen.returned || keeper->lost.count > 0));
    if (status == STATUS_OK) {
        status = topology_retire(keeper->link.connection, &found);
    }
    if (status != STATUS_OK) {
        return status;
    }
    return keeper->declared && found.missing == 0 && !keeper->owes_resend
               ? look_at_rest(keeper, seen.sent)
               : declare_all(keeper, mended);
}

enum status topology_keeper_look(void *context, struct relay_seen seen, bool *mended)
{
    struct topology_keeper *keeper = context;
    *mended = false;
    enum status status = rabbitmq_link_ensure(&keeper->link);
    if (status != STATUS_OK) {
        return status;
    }
    status = look_and_mend(keeper, seen, mended);
    if (status != STATUS_OK) {
        rabbitmq_link_lost(&keeper->link);
    }
    return status;
}

static bool is_served(const struct topology_keeper *keeper, struct str queue)
{
    for (size_t at = 0; at < keeper->topology->queue_count; at++) {
        if (str_eq(keeper->topology->queues[at].name, queue)) {
            return keeper->states[at].consumers > 0;
        }
    }
    return false;
}

enum status topology_keeper_by_lane(void *context, struct arena *arena, struct message *message)
{
    const struct topology_keeper *keeper = context;
    struct str queue;
    if (keeper->lanes == 0 || message->routing_key.len + 2 > MESSAGE_ROUTING_KEY_MAX) {
        return STATUS_OK;
    }
    struct str key = topology_lane_key(message->routing_key, message->lane % keeper->lanes, arena);
    if (key.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (topology_queue_of(keeper->topology, message->exchange, key, &queue) &&
        is_served(keeper, queue)) {
        message->routing_key = key;
    }
    return STATUS_OK;
}

bool topology_keeper_wants(void *context, const struct message *message)
{
    const struct topology_keeper *keeper = context;
    return topology_routes(keeper->topology, message->exchange, message->routing_key);
}

const char *topology_keeper_cause(const struct topology_keeper *keeper)
{
    return keeper->link.cause[0] != '\0'     ? keeper->link.cause
           : keeper->report.cause[0] != '\0' ? keeper->report.cause
                                             : keeper->lost.cause;
}
