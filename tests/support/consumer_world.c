// SPDX-License-Identifier: Apache-2.0
// The consumer's loop in a test: a runtime whose time is the test's, a handler that does as the
// message's type says, a broker and a register in memory.
#include "consumer_world.h"

#include <criterion/criterion.h>
#include <string.h>

#include "infrastructure/codec/cloud_event.h"
#include "infrastructure/memory/suspect_register_memory.h"

// --- a runtime that ends after so many questions whether to end

bool runtime_stopping(const struct runtime *given)
{
    return ((struct runtime *)(uintptr_t)given)->turns_left-- <= 0;
}

bool runtime_sleep(const struct runtime *given, int ms)
{
    ((struct runtime *)(uintptr_t)given)->now_ms += ms;
    return !runtime_stopping(given);
}

const struct settings *runtime_settings_of(const struct runtime *given)
{
    return given->settings;
}

struct runtime runtime;

void readiness_need(struct runtime *given, const char *name)
{
    (void)given;
    cr_assert_str_eq(name, "rabbitmq");
}

void readiness_set(struct runtime *given, const char *name, bool ready, const char *detail)
{
    (void)name;
    (void)detail;
    given->bus_there = ready;
}

instant_us runtime_now(void)
{
    return runtime.now_ms * 1000;
}

int64_t runtime_monotonic_ms(void)
{
    return runtime.now_ms;
}

uint32_t runtime_random(void)
{
    return 0;
}

// --- what handles: the message's type says what becomes of it

struct consumer_script script;

static enum status handle(void *context, const struct incoming *messages, size_t count,
                          struct arena *arena, const struct message_result **results)
{
    (void)context;
    if (script.failures > 0) {
        script.failures--;
        return script.failure;
    }
    if (count > script.memory_max) {
        return script.too_much;
    }
    script.sizes[script.batches++ % BATCHES_MAX] = count;
    struct message_result *made = arena_array(arena, count, sizeof(*made));
    for (size_t at = 0; at < count; at++) {
        bool later = str_eq(messages[at].type, STR("later"));
        bool never = str_eq(messages[at].type, STR("never"));
        made[at] = (struct message_result){.outcome = later   ? MESSAGE_TRANSIENT
                                                      : never ? MESSAGE_POISON
                                                              : MESSAGE_HANDLED,
                                           .cause = later || never ? STR("so it is") : STR(""),
                                           .label = STR("ok")};
    }
    *results = made;
    return STATUS_OK;
}

static bool ready(struct runtime *given, void *dependencies)
{
    (void)given;
    (void)dependencies;
    script.asked++;
    return script.ready;
}

// --- the broker

static const struct projection meters[] = {{.collection = {"meters", 6}, .category = {"meter", 5}}};
static const struct bounded_context counting = {
    .name = {"counting", 8}, .role = {"counter", 7}, .projections = meters, .projection_count = 1};
static const struct bounded_context *const contexts[] = {&counting};
static const struct context_registry registry = {contexts, 1};
struct arena consumer_arena;
static struct topology topology;
struct memory_broker *broker;
struct message_bus_memory *bus;
struct suspect_register *suspects;
static uint32_t numbers;

void consumer_world_open(void)
{
    static const struct setting_table table = {.program = "test", .purpose = "tests"};
    struct setting_table with_groups = table;
    struct settings *settings = NULL;
    struct str fault = STR("");
    const struct topology_options options = {.registry = &registry, .retry_ms = {100, 200, 300}};
    with_groups.groups[0] = consumer_settings;
    arena_init(&consumer_arena, 65536, 64 << 20);
    cr_assert_eq(settings_load(&with_groups, NULL, NULL, &consumer_arena, &settings, &fault),
                 STATUS_OK, "%.*s", STR_FMT(fault));
    cr_assert_eq(topology_make(&options, &consumer_arena, &topology), STATUS_OK);
    runtime = (struct runtime){.settings = settings, .turns_left = TURNS, .now_ms = 1000000};
    script.memory_max = HANDLER_BATCH_MAX;
    script.too_much = STATUS_NO_MEMORY;
    script.ready = true;
    broker = memory_broker_new(&topology);
    bus = message_bus_memory_new(broker, QUEUE, WINDOW, PREFETCH);
    suspects = suspect_register_memory_new(100);
}

void consumer_world_close(void)
{
    suspect_register_memory_free(suspects);
    message_bus_memory_free(bus);
    memory_broker_free(broker);
    arena_free(&consumer_arena);
}

void publish(struct message message)
{
    enum publish_outcome outcome = NACKED;
    cr_assert_eq(message_bus_publish(message_bus_memory_port(bus), &message, 1, 0, &outcome),
                 STATUS_OK);
    cr_assert_eq(outcome, PUBLISHED);
}

struct uuid given_message(const char *type)
{
    struct uuid id = {.bytes = {1, 2, 3, 4, 5, 6, 0x70, 8, 0x80}};
    struct message message;
    numbers++;
    memcpy(id.bytes + 12, &numbers, sizeof(numbers));
    struct recorded_event row = {.tenant = STR("t"),
                                 .category = STR("meter"),
                                 .stream = id,
                                 .version = 1,
                                 .id = id,
                                 .kind = RECORD_EVENT,
                                 .type = str_from(type),
                                 .schema_version = 1,
                                 .data = STR("{}"),
                                 .meta = STR("{}"),
                                 .recorded_at = MESSAGE_RECORDED_AT,
                                 .at = {1, numbers, numbers}};
    cr_assert_eq(cloud_event_encode(&row, &consumer_arena, &message), STATUS_OK);
    publish(message);
    return id;
}

// As when a process that had them died.
void given_all_come_again(void)
{
    struct message_bus_memory *other = message_bus_memory_new(broker, QUEUE, WINDOW, PREFETCH);
    struct message *messages;
    size_t count;
    cr_assert_eq(message_bus_receive(message_bus_memory_port(other), PREFETCH, 0, 0,
                                     &consumer_arena, &messages, &count),
                 STATUS_OK);
    message_bus_memory_free(other);
}

struct message_bus *port;
struct backlog_register *told;

void when_it_runs(struct suspect_register *with)
{
    struct consumer consumer = {.queue = "comanda.projector",
                                .bus = port == NULL ? message_bus_memory_port(bus) : port,
                                .suspects = with,
                                .backlog = told,
                                .handle = handle,
                                .name = STR("projector"),
                                .ready = ready};
    cr_assert_eq(consumer_run(&runtime, &consumer), 0);
}

void then_depths(int64_t work, int64_t later, int64_t dead)
{
    cr_assert_eq(memory_broker_depth(broker, QUEUE), work, "work: %lld",
                 (long long)memory_broker_depth(broker, QUEUE));
    cr_assert_eq(memory_broker_depth(broker, STR("comanda.projector.retry.1")), later);
    cr_assert_eq(memory_broker_depth(broker, STR("comanda.projector.dead")), dead);
}

// Sees what is neither acknowledged nor given back too.
void then_nothing_is_in_hand(void)
{
    int64_t before = memory_broker_depth(broker, QUEUE);
    message_bus_pause(message_bus_memory_port(bus));
    cr_assert_eq(memory_broker_depth(broker, QUEUE), before);
}
