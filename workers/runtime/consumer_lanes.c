// SPDX-License-Identifier: Apache-2.0
// Which of its role's lanes a consumer serves beside the role's own queue: they are dealt in turn
// to the processes that say they are there.
#include "infrastructure/telemetry/log.h"
#include "runtime/consumer_parts.h"

enum {
    LOOK_EVERY_MS = 3000,
    STALE_MS = 10000,       // who has been silent for so long is taken for gone
    AGAIN_MS = 60000,       // when the lanes are not there: an older relay
    REFUSED_MS = 600000,    // when the user may not read them: older permissions
    NAMES_BYTES_MAX = 4096, // of all the lanes' queues
};

static struct uuid new_member(void)
{
    struct uuid id;
    for (size_t at = 0; at < sizeof(id.bytes); at++) {
        id.bytes[at] = (unsigned char)runtime_random();
    }
    return id;
}

void consumer_lanes_open(struct consumer_lanes *lanes, const struct consumer *consumer)
{
    *lanes = (struct consumer_lanes){.own = new_member()};
    arena_init(&lanes->arena, NAMES_BYTES_MAX, NAMES_BYTES_MAX);
    size_t count = consumer->members == NULL ? 0 : TOPOLOGY_LANES;
    for (size_t at = 0; at < count; at++) {
        lanes->names[at] = topology_lane_queue(str_from(consumer->queue), (int)at, &lanes->arena);
        lanes->count += lanes->names[at].data != NULL;
    }
}

// The i-th lane is the (i modulo n)-th member's.
size_t consumer_lanes_deal(const struct uuid *members, size_t member_count, struct uuid own,
                           const struct str *lanes, size_t lane_count, struct str *dealt)
{
    size_t count = 0;
    for (size_t at = 0; at < lane_count && member_count > 0; at++) {
        if (uuid_eq(members[at % member_count], own)) {
            dealt[count++] = lanes[at];
        }
    }
    return count;
}

// Judged at first, and again whenever taking them up has failed: asking for a queue that is not
// there ends the connection with all that is in hand.
static bool are_there(struct consumer_loop *loop)
{
    const struct consumer *consumer = loop->consumer;
    loop->lanes.there =
        loop->lanes.there || consumer->lanes_there == NULL ||
        consumer->lanes_there(consumer->dependencies, loop->lanes.names, loop->lanes.count);
    return loop->lanes.there;
}

static void take_up(struct consumer_loop *loop, const struct uuid *members, size_t count)
{
    struct str dealt[TOPOLOGY_LANES];
    struct consumer_lanes *lanes = &loop->lanes;
    size_t mine =
        consumer_lanes_deal(members, count, lanes->own, lanes->names, lanes->count, dealt);
    enum status status = message_bus_also(loop->consumer->bus, dealt, mine);
    lanes->there = status == STATUS_OK;
    if (status == STATUS_REFUSED) { // asking costs the connection each time
        lanes->look_at_ms = runtime_monotonic_ms() + REFUSED_MS;
        log_line(LOG_WARNING,
                 "the broker refuses the lanes to this user: make the permissions anew"
                 " (comandactl access rabbitmq)",
                 log_text("queue", loop->consumer->queue));
    }
    mine = status == STATUS_OK ? mine : 0;
    if (mine != lanes->served || count != lanes->members) {
        log_line(LOG_INFO, "serves lanes", log_text("queue", loop->consumer->queue),
                 log_int("lanes", (int64_t)mine), log_int("processes", (int64_t)count));
    }
    lanes->served = mine;
    lanes->members = count;
    consumer_metrics_lanes(&loop->metrics, mine);
}

void consumer_lanes_look(struct consumer_loop *loop)
{
    struct uuid members[LANE_MEMBERS_MAX];
    size_t count = 0;
    struct consumer_lanes *lanes = &loop->lanes;
    if (lanes->count == 0 || runtime_monotonic_ms() < lanes->look_at_ms) {
        return;
    }
    lanes->look_at_ms = runtime_monotonic_ms() + LOOK_EVERY_MS;
    if (!are_there(loop)) {
        lanes->look_at_ms = runtime_monotonic_ms() + AGAIN_MS;
        return;
    }
    // A store that is away shows elsewhere; until then all stays as it is.
    if (lane_members_look(loop->consumer->members, loop->name, lanes->own, STALE_MS, members,
                          &count) == STATUS_OK) {
        take_up(loop, members, count);
    }
}

void consumer_lanes_close(struct consumer_loop *loop)
{
    if (loop->lanes.count > 0) {
        enum status left = lane_members_leave(loop->consumer->members, loop->name, loop->lanes.own);
        (void)left; // they will miss us soon enough
    }
    arena_free(&loop->lanes.arena);
}
