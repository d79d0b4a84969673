// SPDX-License-Identifier: Apache-2.0
// The keeper's looks over a broker that fails half way: what was missing is told once everything is
// in place, never forgotten.
//
// links: workers/relay/topology_keeper.c
#include "relay/topology_keeper.h"

#include <criterion/criterion.h>

// --- a broker that answers as the test says

static struct {
    enum status check;
    enum status declare;
    size_t missing_work;
    size_t missing_copies; // the unrouted queue
    int checked;
    int declared;
    int compared;
    int lost;
    bool refuses_lanes;
} broker;

void rabbitmq_link_init(struct rabbitmq_link *link, const struct rabbitmq_settings *settings,
                        const char *purpose, rabbitmq_link_prepare_fn *prepare, void *context)
{
    *link = (struct rabbitmq_link){
        .settings = settings, .purpose = purpose, .prepare = prepare, .context = context};
}

enum status rabbitmq_link_ensure(struct rabbitmq_link *link)
{
    (void)link;
    return STATUS_OK;
}

void rabbitmq_link_lost(struct rabbitmq_link *link)
{
    (void)link;
    broker.lost++;
}

void rabbitmq_link_close(struct rabbitmq_link *link)
{
    (void)link;
}

enum status rabbitmq_connection_frame(struct rabbitmq_connection *connection, int wait_ms,
                                      amqp_frame_t *frame, bool *got)
{
    (void)connection;
    (void)wait_ms;
    (void)frame;
    *got = false;
    return STATUS_OK;
}

enum status topology_check(struct rabbitmq_connection *connection, const struct topology *topology,
                           struct topology_queue_state *states, struct topology_report *report)
{
    (void)connection;
    (void)topology;
    (void)states;
    broker.checked++;
    *report = (struct topology_report){.missing = broker.missing_work + broker.missing_copies,
                                       .missing_work = broker.missing_work};
    return broker.check;
}

// Failing, it stops after the queues: they are there, their bindings are not.
enum status topology_declare(struct rabbitmq_connection *connection,
                             const struct topology *topology, struct topology_report *report)
{
    (void)connection;
    *report = (struct topology_report){0};
    broker.declared++;
    broker.missing_work = 0;
    broker.missing_copies = 0;
    for (size_t at = 0; broker.refuses_lanes && at < topology->queue_count; at++) {
        report->lane_refused = report->lane_refused || topology->queues[at].role == QUEUE_LANE;
    }
    return report->lane_refused ? STATUS_REFUSED : broker.declare;
}

enum status topology_compare(struct rabbitmq_connection *connection,
                             const struct topology *topology,
                             const struct topology_queue_state *states,
                             struct topology_report *report)
{
    (void)connection;
    (void)topology;
    (void)states;
    (void)report;
    broker.compared++;
    return STATUS_OK;
}

// --- the looks

static const struct topology_queue queues[] = {
    {.name = {"comanda.crowd", 13}, .role = QUEUE_WORK},
    {.name = {"comanda.crowd.lane.1", 20}, .role = QUEUE_LANE, .lane = 1},
};
static const struct topology_binding bindings[] = {
    {{"comanda.commands", 16}, {"comanda.crowd", 13}, {"crowded.#", 9}},
    {{"comanda.commands", 16}, {"comanda.crowd.lane.1", 20}, {"1.crowded.#", 11}},
};
static const struct topology topology = {
    .queues = queues, .queue_count = 2, .bindings = bindings, .binding_count = 2};
static struct topology_keeper keeper;

static void open_declared(void)
{
    bool mended = true;
    cr_assert(topology_keeper_init(&keeper, NULL, &topology, 4));
    cr_assert_eq(topology_keeper_look(&keeper, &mended), STATUS_OK);
    cr_assert_not(mended, "the first look makes everything; nothing was sent before");
    cr_assert_eq(broker.declared, 1);
}

static void close_keeper(void)
{
    topology_keeper_free(&keeper);
}

TestSuite(topology_keeper, .init = open_declared, .fini = close_keeper);

static void look(enum status expected, bool mends)
{
    bool mended = !mends;
    cr_assert_eq(topology_keeper_look(&keeper, &mended), expected);
    cr_assert_eq(mended, mends);
}

Test(topology_keeper, given_everything_in_place_when_looked_at_then_nothing_is_declared)
{
    look(STATUS_OK, false);
    cr_assert_eq(broker.declared, 1);
}

Test(topology_keeper, given_a_queue_that_is_missing_when_made_anew_then_it_is_told_once)
{
    broker.missing_work = 1;
    look(STATUS_OK, true);
    look(STATUS_OK, false);
    cr_assert_eq(broker.declared, 2);
}

Test(topology_keeper, given_copies_alone_missing_when_made_anew_then_nothing_is_owed)
{
    broker.missing_copies = 1;
    look(STATUS_OK, false);
    cr_assert_eq(broker.declared, 2);
}

Test(topology_keeper, given_a_declaration_that_fails_half_way_when_it_succeeds_then_it_is_told)
{
    broker.missing_work = 1;
    broker.declare = STATUS_UNAVAILABLE;
    look(STATUS_UNAVAILABLE, false);
    look(STATUS_UNAVAILABLE, false); // the queue is there now, its binding is not
    broker.declare = STATUS_OK;
    look(STATUS_OK, true);
    look(STATUS_OK, false);
    cr_assert_eq(broker.declared, 4);
    cr_assert_eq(broker.lost, 2);
}

Test(topology_keeper,
     given_a_look_that_fails_after_it_found_one_missing_when_looked_again_then_told)
{
    broker.missing_work = 1;
    broker.check = STATUS_UNAVAILABLE;
    look(STATUS_UNAVAILABLE, false);
    broker.missing_work = 0; // somebody else has made it
    broker.check = STATUS_OK;
    look(STATUS_OK, true);
}

// --- lanes

static struct str key_of(uint16_t lane, size_t room)
{
    static struct arena arena;
    arena_free(&arena);
    arena_init(&arena, 256, room);
    struct message message = {
        .exchange = STR("comanda.commands"), .routing_key = STR("crowded.take_seat"), .lane = lane};
    enum status status = topology_keeper_by_lane(&keeper, &arena, &message);
    cr_assert_eq(status, room == 0 ? STATUS_NO_MEMORY : STATUS_OK);
    return message.routing_key;
}

Test(topology_keeper, given_a_lane_that_is_served_when_asked_then_the_message_goes_by_it)
{
    keeper.states[1].consumers = 1;
    cr_assert(str_eq(key_of(5, 4096), STR("1.crowded.take_seat"))); // of four lanes
    cr_assert(str_eq(key_of(6, 4096), STR("crowded.take_seat")), "there is no such queue");
    cr_assert(str_eq(key_of(5, 0), STR("crowded.take_seat")), "no memory");
}

Test(topology_keeper, given_a_lane_that_nobody_serves_when_asked_then_the_roles_queue_takes_it)
{
    cr_assert(str_eq(key_of(5, 4096), STR("crowded.take_seat")));
}

Test(topology_keeper, given_another_number_of_lanes_when_asked_then_it_is_another_lane_or_none)
{
    keeper.states[1].consumers = 1;
    keeper.lanes = 2;
    cr_assert(str_eq(key_of(7, 4096), STR("1.crowded.take_seat")));
    keeper.lanes = 0;
    cr_assert(str_eq(key_of(7, 4096), STR("crowded.take_seat")));
}

Test(topology_keeper, given_a_user_that_may_not_declare_lanes_when_looked_at_then_it_does_without)
{
    broker.refuses_lanes = true;
    broker.missing_work = 1;
    look(STATUS_REFUSED, false);
    look(STATUS_OK, true);
    cr_assert_eq(keeper.topology->queue_count, 1);
    cr_assert_eq(keeper.topology->binding_count, 1);
    cr_assert(str_eq(key_of(5, 4096), STR("crowded.take_seat")));
}
