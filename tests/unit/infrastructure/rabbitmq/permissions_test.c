// SPDX-License-Identifier: Apache-2.0
// Unit tests of the broker's permissions, judged by the same regular expressions that it uses.
#include "infrastructure/rabbitmq/permissions.h"

#include <criterion/criterion.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

static struct arena arena;
static struct topology topology;

static const struct command_type wanted_by_many[] = {{.type = {"take", 4}, .contended = true}};
static const struct bounded_context meters = {
    .name = {"meters", 6}, .role = {"meter", 5}, .commands = wanted_by_many, .command_count = 1};
static const struct bounded_context clocks = {.name = {"clocks", 6}, .role = {"clock", 5}};
static const struct bounded_context *const contexts[] = {&meters, &clocks};
static const struct context_registry registry = {contexts, 2};

static const struct broker_program programs[] = {
    {.name = {"relay", 5}, .part = BROKER_DECLARES},
    {.name = {"meter", 5}, .part = BROKER_CONSUMES, .roles = {{"meter", 5}}},
    {.name = {"saga", 4}, .part = BROKER_CONSUMES, .roles = {{"saga", 4}, {"clock", 5}}},
    {.name = {"operator", 8}, .part = BROKER_OPERATES},
    {.name = {"keda", 4}, .part = BROKER_WATCHES},
};
enum { RELAY, METER, SAGA, OPERATOR, KEDA, PROGRAMS };

static void set_up(void)
{
    const struct topology_options options = {.registry = &registry, .retry_ms = {1, 2, 3}};
    arena_init(&arena, 4096, 1 << 20);
    cr_assert_eq(topology_make(&options, &arena, &topology), STATUS_OK);
}

static void tear_down(void)
{
    arena_free(&arena);
}

TestSuite(permissions, .init = set_up, .fini = tear_down);

static struct broker_user *made(void)
{
    struct broker_user *users;
    cr_assert_eq(broker_users_make(&topology, programs, PROGRAMS, &arena, &users), STATUS_OK);
    return users;
}

static bool allows(struct str pattern, struct str name)
{
    regex_t regex;
    char text[1024];
    (void)snprintf(text, sizeof(text), "%.*s", STR_FMT(pattern));
    cr_assert_eq(regcomp(&regex, text, REG_EXTENDED | REG_NOSUB), 0, "%s", text);
    (void)snprintf(text, sizeof(text), "%.*s", STR_FMT(name));
    bool matches = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return matches;
}

Test(permissions, given_the_relay_then_it_may_declare_and_bind_everything_of_the_topology)
{
    struct broker_user relay = made()[RELAY];
    for (size_t at = 0; at < topology.exchange_count; at++) {
        const struct topology_exchange *exchange = &topology.exchanges[at];
        cr_assert(allows(relay.configure, exchange->name));
        cr_assert(allows(relay.read, exchange->name));
        cr_assert(exchange->alternate.len == 0 || allows(relay.write, exchange->alternate));
    }
    for (size_t at = 0; at < topology.queue_count; at++) {
        cr_assert(allows(relay.configure, topology.queues[at].name));
        cr_assert(allows(relay.write, topology.queues[at].name));
    }
    cr_assert(allows(relay.write, STR("amq.default")), "its retry queues dead-letter there");
}

Test(permissions, given_the_relay_then_it_reads_no_work_and_no_dead_letters)
{
    struct broker_user relay = made()[RELAY];
    for (size_t at = 0; at < topology.queue_count; at++) {
        const struct topology_queue *queue = &topology.queues[at];
        if (queue->role == QUEUE_WORK || queue->role == QUEUE_LANE || queue->role == QUEUE_DEAD) {
            cr_assert_not(allows(relay.read, queue->name), "%.*s", STR_FMT(queue->name));
        }
    }
    cr_assert_not(allows(relay.write, TOPOLOGY_RETRY_EXCHANGE));
    cr_assert_not(allows(relay.write, TOPOLOGY_DEAD_EXCHANGE));
    cr_assert_not(allows(relay.configure, STR("comanda.meters")));
    cr_assert_not(allows(relay.configure, STR("xcomanda.meter")));
    cr_assert_not(allows(relay.configure, STR("comandaxmeter")));
}

Test(permissions, given_a_daemon_then_it_reads_its_own_queues_and_declares_nothing)
{
    const struct broker_user *users = made();
    for (size_t at = 0; at < topology.queue_count; at++) {
        struct str name = topology.queues[at].name;
        bool own =
            str_eq(name, STR("comanda.meter")) || str_starts_with(name, STR("comanda.meter.lane."));
        bool sagas = str_eq(name, STR("comanda.saga")) || str_eq(name, STR("comanda.clock"));
        cr_assert_eq(allows(users[METER].read, name), own, "%.*s", STR_FMT(name));
        cr_assert_eq(allows(users[SAGA].read, name), sagas, "%.*s", STR_FMT(name));
        cr_assert_not(allows(users[METER].configure, name));
        cr_assert_not(allows(users[METER].write, name));
    }
}

Test(permissions, given_a_daemon_then_it_publishes_to_its_own_ladder_and_nowhere_else)
{
    struct broker_user meter = made()[METER];
    for (size_t at = 0; at < topology.exchange_count; at++) {
        struct str name = topology.exchanges[at].name;
        bool ladder = str_eq(name, TOPOLOGY_RETRY_EXCHANGE) || str_eq(name, TOPOLOGY_DEAD_EXCHANGE);
        cr_assert_eq(allows(meter.write, name), ladder, "%.*s", STR_FMT(name));
    }
    cr_assert_not(allows(meter.write, STR("amq.default")));
    cr_assert_eq(meter.topic_count, 2);
    cr_assert(str_eq(meter.topics[0].exchange, TOPOLOGY_RETRY_EXCHANGE));
    struct str retry = meter.topics[0].write;
    struct str dead = meter.topics[1].write;
    for (size_t at = 0; at < topology.binding_count; at++) {
        const struct topology_binding *binding = &topology.bindings[at];
        bool own = str_starts_with(binding->key, STR("comanda.meter"));
        if (str_eq(binding->exchange, TOPOLOGY_RETRY_EXCHANGE)) {
            cr_assert_eq(allows(retry, binding->key), own, "%.*s", STR_FMT(binding->key));
        } else if (str_eq(binding->exchange, TOPOLOGY_DEAD_EXCHANGE)) {
            cr_assert_eq(allows(dead, binding->key), own, "%.*s", STR_FMT(binding->key));
        }
    }
}

Test(permissions, given_the_key_of_a_proof_then_it_is_allowed_and_bound_to_nothing)
{
    struct broker_user meter = made()[METER];
    struct str key = broker_probe_key(STR("comanda.meter"), &arena);
    cr_assert(allows(meter.topics[0].write, key));
    cr_assert(allows(meter.topics[1].write, key));
    cr_assert_not(topology_routes(&topology, TOPOLOGY_RETRY_EXCHANGE, key));
    cr_assert_not(topology_routes(&topology, TOPOLOGY_DEAD_EXCHANGE, key));
}

Test(permissions, given_the_operator_then_it_gives_dead_letters_back_and_publishes_the_log_again)
{
    struct broker_user person = made()[OPERATOR];
    for (size_t at = 0; at < topology.queue_count; at++) {
        const struct topology_queue *queue = &topology.queues[at];
        cr_assert_eq(allows(person.read, queue->name),
                     queue->role == QUEUE_DEAD || queue->role == QUEUE_UNROUTABLE);
        cr_assert_not(allows(person.configure, queue->name));
    }
    cr_assert(allows(person.write, STR("amq.default")));
    cr_assert(allows(person.write, STR("comanda.events")));
    cr_assert(allows(person.write, STR("comanda.commands")));
    cr_assert(allows(person.write, STR("comanda.replies")));
    cr_assert_not(allows(person.write, TOPOLOGY_UNROUTED));
    cr_assert_not(allows(person.write, TOPOLOGY_RETRY_EXCHANGE));
    cr_assert_not(allows(person.write, TOPOLOGY_DEAD_EXCHANGE));
}

Test(permissions, given_the_watcher_then_it_has_a_tag_and_no_permission)
{
    struct broker_user keda = made()[KEDA];
    cr_assert(str_eq(keda.tags, STR("management")));
    cr_assert_not(allows(keda.read, STR("comanda.meter")));
    cr_assert_not(allows(keda.write, STR("amq.default")));
}

Test(permissions, given_a_program_without_a_queue_when_made_then_it_is_refused)
{
    struct broker_user *users = NULL;
    const struct broker_program lost = {
        .name = {"lost", 4}, .part = BROKER_CONSUMES, .roles = {{"nobody", 6}}};
    cr_assert_eq(broker_users_make(&topology, &lost, 1, &arena, &users), STATUS_INVALID);
    const struct broker_program odd = {.name = {"a.b", 3}, .part = BROKER_WATCHES};
    cr_assert_eq(broker_users_make(&topology, &odd, 1, &arena, &users), STATUS_INVALID);
    cr_assert_null(users);
}

Test(permissions, given_users_when_printed_then_it_is_json_without_a_password)
{
    const struct str passwords[PROGRAMS] = {STR("geheim1"), STR("geheim2"), STR("geheim3"),
                                            STR("geheim4"), STR("geheim5")};
    struct buffer out;
    size_t offset;
    buffer_init(&out, &arena, 1 << 16);
    cr_assert_eq(broker_users_print(&topology, made(), PROGRAMS, passwords, STR("/"), &out),
                 STATUS_OK);
    cr_assert_eq(json_check(buffer_view(&out), &offset), JSON_OK);
    buffer_add_char(&out, '\0');
    cr_assert_null(strstr(out.data, "geheim"));
    cr_assert_not_null(strstr(out.data, "rabbit_password_hashing_sha256"));
    cr_assert_not_null(strstr(out.data, "\"max-length\":1000000,\"overflow\":\"reject-publish\""));
}
