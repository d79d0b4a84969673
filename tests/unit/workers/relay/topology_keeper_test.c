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
    size_t missing_copies; // the unroutable queue
    int checked;
    int declared;
    int compared;
    int retired;
    int bound;
    bool bound_ladder;
    int asked;
    bool silent; // the management API
    size_t lost_bindings;
    size_t lost_of_log;
    size_t differing;
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
    *report = (struct topology_report){.differing = broker.differing};
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
    report->differing = broker.differing;
    broker.compared++;
    return STATUS_OK;
}

enum status topology_retire(struct rabbitmq_connection *connection, struct topology_report *report)
{
    (void)connection;
    (void)report;
    broker.retired++;
    return STATUS_OK;
}

enum status topology_bind(struct rabbitmq_connection *connection, const struct topology *given,
                          bool with_ladder, struct topology_report *report)
{
    (void)connection;
    (void)given;
    (void)report;
    broker.bound++;
    broker.bound_ladder = with_ladder;
    return STATUS_OK;
}

enum status topology_bindings_ask(const struct topology *given,
                                  const struct rabbitmq_management *asked, const char *vhost,
                                  struct topology_lost *lost)
{
    (void)given;
    cr_assert_eq(asked->port, 1);
    cr_assert_str_eq(vhost, "shop");
    broker.asked++;
    *lost = (struct topology_lost){.count = broker.lost_bindings, .of_log = broker.lost_of_log};
    if (broker.silent) {
        lost->cause[0] = '?';
    }
    return broker.silent ? STATUS_TIMEOUT : STATUS_OK;
}

static int64_t now_ms = 1000;

int64_t rabbitmq_now_ms(void)
{
    return now_ms;
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
static const struct rabbitmq_settings settings = {.vhost = "shop"};
static const struct rabbitmq_management management = {.port = 1};
static const struct relay_seen nothing = {.sent = false};
static const struct relay_seen something = {.sent = true};
static const struct relay_seen one_that_came_back = {.sent = true, .returned = true};
static struct topology_keeper keeper;

static void open_declared(void)
{
    bool mended = true;
    cr_assert(topology_keeper_init(&keeper, &settings, &topology, &management, 4));
    cr_assert_eq(topology_keeper_look(&keeper, nothing, &mended), STATUS_OK);
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
    cr_assert_eq(topology_keeper_look(&keeper, nothing, &mended), expected);
    cr_assert_eq(mended, mends);
}

Test(topology_keeper, given_something_of_ours_that_came_back_when_looked_then_all_is_made_anew)
{
    bool mended = false;
    cr_assert_eq(topology_keeper_look(&keeper, one_that_came_back, &mended), STATUS_OK);
    cr_assert(mended, "what was sent while a binding was missing goes again");
    cr_assert_eq(broker.declared, 2);
    look(STATUS_OK, false);
}

static bool look_after(struct relay_seen seen)
{
    bool mended = false;
    cr_assert_eq(topology_keeper_look(&keeper, seen, &mended), STATUS_OK);
    return mended;
}

Test(topology_keeper, given_something_sent_when_looked_then_bindings_are_asked_for_and_declared)
{
    cr_assert_not(look_after(something));
    cr_assert(broker.asked == 1 && broker.bound == 1 && broker.declared == 1);
}

Test(topology_keeper, given_a_quiet_log_when_looked_then_bindings_are_seen_to_once_a_minute)
{
    for (int look_number = 0; look_number < 24; look_number++) {
        now_ms += 5000;
        cr_assert_not(look_after(nothing));
    }
    cr_assert(broker.asked == 2 && broker.bound == 2, "%d, %d", broker.asked, broker.bound);
}

Test(topology_keeper, given_a_binding_that_is_missing_when_looked_then_it_is_told_once)
{
    broker.lost_bindings = broker.lost_of_log = 1;
    cr_assert(look_after(something));
    cr_assert_eq(keeper.lost.count, 1);
    broker.lost_bindings = broker.lost_of_log = 0;
    cr_assert_not(look_after(something));
    cr_assert_eq(keeper.lost.count, 0);
    cr_assert_eq(broker.declared, 2);
}

Test(topology_keeper, given_a_queue_that_differs_when_looked_then_its_ladder_is_left_alone)
{
    broker.differing = 1;
    cr_assert(look_after(one_that_came_back));
    broker.lost_bindings = 1;
    cr_assert_not(look_after(something), "it is being replaced");
    cr_assert(broker.bound == 1 && !broker.bound_ladder);
    broker.differing = 0;
    broker.lost_bindings = 0;
    cr_assert_not(look_after(something));
    cr_assert(broker.bound == 2 && broker.bound_ladder);
}

Test(topology_keeper, given_a_silent_management_api_when_looked_then_it_is_left_alone_for_a_minute)
{
    broker.silent = true;
    cr_assert_not(look_after(something));
    cr_assert_str_eq(topology_keeper_cause(&keeper), "?");
    cr_assert_not(look_after(something));
    cr_assert(broker.asked == 1 && broker.bound == 2, "bindings are declared all the same");
    now_ms += 60000;
    broker.silent = false;
    cr_assert_not(look_after(something));
    cr_assert_eq(broker.asked, 2);
    cr_assert_str_eq(topology_keeper_cause(&keeper), "");
}

Test(topology_keeper, given_any_look_then_the_queue_of_old_programs_goes)
{
    look(STATUS_OK, false);
    cr_assert_eq(broker.retired, 2);
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
