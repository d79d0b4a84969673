// SPDX-License-Identifier: Apache-2.0
// Unit tests of the table of exchanges, queues and bindings.
#include "infrastructure/rabbitmq/topology.h"

#include <criterion/criterion.h>

#include "base/json.h"
#include "support/counting_context.h"

static struct arena arena;

static void set_up(void)
{
    arena_init(&arena, 4096, 1 << 20);
}

static void tear_down(void)
{
    arena_free(&arena);
}

TestSuite(topology, .init = set_up, .fini = tear_down);

static const struct bounded_context silent = {.name = {"silent", 6}};
static const struct bounded_context *const contexts[] = {&counting, &silent};
static const struct context_registry registry = {contexts, 2};
static const struct topology_event started[] = {
    {{"meter", 5}, {"MeterStarted", 12}},
    {{"meter", 5}, {"MeterStarted", 12}}, // of the saga's next version
};

static struct topology_options options(void)
{
    return (struct topology_options){
        .registry = &registry,
        .saga_events = started,
        .saga_event_count = 2,
        .retry_ms = {1000, 5000, 30000},
    };
}

static struct topology made(void)
{
    struct topology_options given = options();
    struct topology topology;
    cr_assert_eq(topology_make(&given, &arena, &topology), STATUS_OK);
    return topology;
}

static const struct topology_queue *queue_of(const struct topology *topology, const char *name)
{
    for (size_t i = 0; i < topology->queue_count; i++) {
        if (str_eq(topology->queues[i].name, str_from(name))) {
            return &topology->queues[i];
        }
    }
    return NULL;
}

static size_t bindings_of(const struct topology *topology, const char *exchange, const char *queue,
                          const char *key)
{
    size_t found = 0;
    for (size_t i = 0; i < topology->binding_count; i++) {
        const struct topology_binding *binding = &topology->bindings[i];
        found += str_eq(binding->exchange, str_from(exchange)) &&
                 str_eq(binding->queue, str_from(queue)) && str_eq(binding->key, str_from(key));
    }
    return found;
}

Test(topology, given_a_context_with_a_role_when_made_then_it_has_queue_ladder_and_dead_letters)
{
    struct topology topology = made();
    cr_assert_eq(queue_of(&topology, "comanda.counter")->role, QUEUE_WORK);
    const struct topology_queue *retry = queue_of(&topology, "comanda.counter.retry.3");
    cr_assert_eq(retry->ttl_ms, 30000);
    cr_assert(str_eq(retry->work_queue, STR("comanda.counter")));
    cr_assert_eq(queue_of(&topology, "comanda.counter.dead")->role, QUEUE_DEAD);
    cr_assert_eq(bindings_of(&topology, "comanda.commands", "comanda.counter", "counting.#"), 1);
    cr_assert_eq(
        bindings_of(&topology, "comanda.retry", "comanda.counter.retry.1", "comanda.counter.1"), 1);
    cr_assert_eq(bindings_of(&topology, "comanda.dead", "comanda.counter.dead", "comanda.counter"),
                 1);
}

static const struct command_type wanted_by_many[] = {{.type = {"take", 4}, .contended = true}};
static const struct bounded_context crowded = {
    .name = {"crowded", 7}, .role = {"crowd", 5}, .commands = wanted_by_many, .command_count = 1};

Test(topology, given_contended_commands_when_made_then_their_role_has_lanes_beside_its_queue)
{
    static const struct bounded_context *const both[] = {&counting, &crowded};
    static const struct context_registry with_crowd = {both, 2};
    struct topology_options given = options();
    struct topology topology;
    struct str queue;
    given.registry = &with_crowd;
    cr_assert_eq(topology_make(&given, &arena, &topology), STATUS_OK);
    cr_assert_eq(topology.queue_count, 4 * 5 + TOPOLOGY_LANES + 1);
    for (int lane = 0; lane < TOPOLOGY_LANES; lane++) {
        struct str key = topology_lane_key(STR("crowded.take_seat"), lane, &arena);
        cr_assert(topology_queue_of(&topology, STR("comanda.commands"), key, &queue));
        cr_assert(str_eq(queue, topology_lane_queue(STR("comanda.crowd"), lane, &arena)));
    }
    const struct topology_queue *last = queue_of(&topology, "comanda.crowd.lane.7");
    cr_assert_eq(last->role, QUEUE_LANE);
    cr_assert_eq(last->lane, 7);
    cr_assert(str_eq(last->work_queue, STR("comanda.crowd")));
    cr_assert_not(topology_pattern_matches(STR("crowded.#"), STR("7.crowded.take_seat")),
                  "by its lane it does not come to the role's own queue as well");
    cr_assert_null(queue_of(&topology, "comanda.counter.lane.0"));
}

Test(topology, given_a_queue_then_its_role_is_known)
{
    cr_assert(str_eq(topology_role_of(STR("comanda.crowd")), STR("crowd")));
    cr_assert(str_eq(topology_role_of(STR("comanda.crowd.lane.3")), STR("crowd")));
    cr_assert(str_eq(topology_role_of(STR("other.crowd")), STR("")));
    cr_assert(str_eq(topology_role_of(STR("comanda")), STR("")));
}

Test(topology, given_a_context_without_a_role_when_made_then_it_has_no_queue)
{
    struct topology topology = made();
    cr_assert_null(queue_of(&topology, "comanda.silent"));
    cr_assert_eq(topology.queue_count, 3 * 5 + 1);
}

Test(topology, given_projections_and_sagas_when_made_then_their_events_are_bound_once)
{
    struct topology topology = made();
    cr_assert_eq(bindings_of(&topology, "comanda.events", "comanda.projector", "meter.#"), 1);
    cr_assert_eq(bindings_of(&topology, "comanda.events", "comanda.saga", "meter.MeterStarted"), 1);
    cr_assert_eq(bindings_of(&topology, "comanda.replies", "comanda.saga", "#"), 1);
}

Test(topology, given_any_table_when_made_then_nothing_is_bound_to_the_alternate_exchange)
{
    struct topology topology = made();
    cr_assert_eq(queue_of(&topology, "comanda.unroutable")->role, QUEUE_UNROUTABLE);
    cr_assert_null(queue_of(&topology, "comanda.unrouted"));
    cr_assert_not(topology_routes(&topology, TOPOLOGY_UNROUTED, STR("")));
}

Test(topology, given_keys_when_routed_then_the_table_knows_who_takes_them)
{
    struct topology topology = made();
    cr_assert(topology_routes(&topology, STR("comanda.events"), STR("meter.Anything")));
    cr_assert(topology_routes(&topology, STR("comanda.commands"), STR("counting.raise_counter")));
    cr_assert(topology_routes(&topology, STR("comanda.replies"), STR("some_saga.ok")));
    cr_assert_not(topology_routes(&topology, STR("comanda.events"), STR("other.Thing")));
    cr_assert_not(topology_routes(&topology, STR("comanda.commands"), STR("unroutable")));
}

Test(topology, given_topic_patterns_when_matched_then_as_the_broker_does)
{
    static const struct {
        const char *pattern;
        const char *key;
        bool matches;
    } cases[] = {
        {"#", "a", true},        {"#", "", true},
        {"#", "a.b.c", true},    {"a.#", "a", true},
        {"a.#", "a.b", true},    {"a.#", "a.b.c", true},
        {"a.#", "ab.c", false},  {"a.*", "a", false},
        {"a.*", "a.b", true},    {"a.*", "a.b.c", false},
        {"*.b", "a.b", true},    {"#.c", "a.b.c", true},
        {"a.#.c", "a.c", true},  {"a.#.c", "a.b.b.c", true},
        {"a.#.c", "a.b", false}, {"a.b", "a.b", true},
        {"a.b", "a.B", false},   {"", "", true},
        {"", "a", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(topology_pattern_matches(str_from(cases[i].pattern), str_from(cases[i].key)),
                     cases[i].matches, "%s against %s", cases[i].pattern, cases[i].key);
    }
}

Test(topology, given_a_delay_of_nothing_when_made_then_it_is_invalid)
{
    struct topology_options given = options();
    given.retry_ms[1] = 0;
    struct topology topology;
    cr_assert_eq(topology_make(&given, &arena, &topology), STATUS_INVALID);
}

Test(topology, given_a_small_arena_when_made_then_it_is_out_of_memory)
{
    for (size_t limit = 0; limit < 4000; limit += 100) {
        struct arena small;
        arena_init(&small, 64, limit);
        struct topology_options given = options();
        struct topology topology;
        enum status status = topology_make(&given, &small, &topology);
        cr_assert(status == STATUS_NO_MEMORY || (limit > 0 && status == STATUS_OK));
        arena_free(&small);
    }
}

Test(topology, given_a_table_when_printed_then_it_is_json_with_every_queue)
{
    struct topology topology = made();
    struct buffer out;
    size_t offset;
    buffer_init(&out, &arena, 1 << 18);
    cr_assert_eq(topology_print(&topology, &out), STATUS_OK);
    cr_assert_eq(json_check(buffer_view(&out), &offset), JSON_OK);
    cr_assert(str_starts_with(buffer_view(&out),
                              STR("{\"exchanges\":[{\"name\":\"comanda.events\",\"type\":\"topic\","
                                  "\"alternate-exchange\":\"comanda.unrouted\"}")));
}
