// SPDX-License-Identifier: Apache-2.0
// The consumer's loop over a broker and a register in memory, with a runtime whose time is the
// test's: what is acknowledged, given back, tried later, handled alone.
//
// links: workers/runtime/consumer.c workers/runtime/consumer_batch.c
// links: workers/runtime/consumer_failures.c workers/runtime/consumer_metrics.c
// links: workers/runtime/consumer_settings.c workers/runtime/consumer_wait.c
#include "runtime/consumer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "infrastructure/codec/cloud_event.h"
#include "infrastructure/memory/message_bus_memory.h"
#include "infrastructure/memory/suspect_register_memory.h"

enum { TURNS = 40, BATCHES_MAX = 64, PREFETCH = 1000, WINDOW = 64 };

#define QUEUE STR("comanda.projector")

// --- a runtime that ends after so many questions whether to end

struct runtime {
    const struct settings *settings;
    int turns_left;
    int64_t now_ms;
    bool bus_there;
};

bool runtime_stopping(const struct runtime *given)
{
    struct runtime *runtime = (struct runtime *)(uintptr_t)given;
    return runtime->turns_left-- <= 0;
}

bool runtime_sleep(const struct runtime *given, int ms)
{
    ((struct runtime *)(uintptr_t)given)->now_ms += ms;
    return !runtime_stopping(given);
}

const struct settings *runtime_settings_of(const struct runtime *runtime)
{
    return runtime->settings;
}

static struct runtime runtime;

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

static struct {
    enum status failure; // of the next `failures` batches
    int failures;
    size_t memory_max;    // messages in a batch that fit into memory
    enum status too_much; // what more of them give
    size_t sizes[BATCHES_MAX];
    size_t batches;
    bool ready;
    int asked; // whether it is ready
} script;

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
static struct arena arena;
static struct topology topology;
static struct memory_broker *broker;
static struct message_bus_memory *bus;
static struct suspect_register *suspects;
static uint32_t numbers;

static void open_all(void)
{
    static const struct setting_table table = {.program = "test", .purpose = "tests"};
    struct setting_table with_groups = table;
    struct settings *settings = NULL;
    struct str fault = STR("");
    const struct topology_options options = {.registry = &registry, .retry_ms = {100, 200, 300}};
    with_groups.groups[0] = consumer_settings;
    arena_init(&arena, 65536, 64 << 20);
    cr_assert_eq(settings_load(&with_groups, NULL, NULL, &arena, &settings, &fault), STATUS_OK,
                 "%.*s", STR_FMT(fault));
    cr_assert_eq(topology_make(&options, &arena, &topology), STATUS_OK);
    runtime = (struct runtime){.settings = settings, .turns_left = TURNS, .now_ms = 1000000};
    script.memory_max = HANDLER_BATCH_MAX;
    script.too_much = STATUS_NO_MEMORY;
    script.ready = true;
    broker = memory_broker_new(&topology);
    bus = message_bus_memory_new(broker, QUEUE, WINDOW, PREFETCH);
    suspects = suspect_register_memory_new(100);
}

static void close_all(void)
{
    suspect_register_memory_free(suspects);
    message_bus_memory_free(bus);
    memory_broker_free(broker);
    arena_free(&arena);
}

TestSuite(consumer, .init = open_all, .fini = close_all);

static void publish(struct message message)
{
    enum publish_outcome outcome = NACKED;
    cr_assert_eq(message_bus_publish(message_bus_memory_port(bus), &message, 1, 0, &outcome),
                 STATUS_OK);
    cr_assert_eq(outcome, PUBLISHED);
}

static struct uuid given_message(const char *type)
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
                                 .recorded_at = 1764000000000000};
    cr_assert_eq(cloud_event_encode(&row, &arena, &message), STATUS_OK);
    publish(message);
    return id;
}

// As when a process that had them died.
static void given_all_come_again(void)
{
    struct message_bus_memory *other = message_bus_memory_new(broker, QUEUE, WINDOW, PREFETCH);
    struct message *messages;
    size_t count;
    cr_assert_eq(message_bus_receive(message_bus_memory_port(other), PREFETCH, 0, 0, &arena,
                                     &messages, &count),
                 STATUS_OK);
    message_bus_memory_free(other);
}

static void when_it_runs(struct suspect_register *with)
{
    struct consumer consumer = {.queue = "comanda.projector",
                                .bus = message_bus_memory_port(bus),
                                .suspects = with,
                                .handle = handle,
                                .name = STR("projector"),
                                .ready = ready};
    cr_assert_eq(consumer_run(&runtime, &consumer), 0);
}

static void then_depths(int64_t work, int64_t later, int64_t dead)
{
    cr_assert_eq(memory_broker_depth(broker, QUEUE), work, "work: %lld",
                 (long long)memory_broker_depth(broker, QUEUE));
    cr_assert_eq(memory_broker_depth(broker, STR("comanda.projector.retry.1")), later);
    cr_assert_eq(memory_broker_depth(broker, STR("comanda.projector.dead")), dead);
}

// Sees what is neither acknowledged nor given back too.
static void then_nothing_is_in_hand(void)
{
    int64_t before = memory_broker_depth(broker, QUEUE);
    message_bus_pause(message_bus_memory_port(bus));
    cr_assert_eq(memory_broker_depth(broker, QUEUE), before);
}

// --- acknowledging, the ladder

Test(consumer, given_messages_when_handled_then_one_batch_and_all_acknowledged)
{
    for (int at = 0; at < 5; at++) {
        given_message("fine");
    }
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 1);
    cr_assert_eq(script.sizes[0], 5);
    then_depths(0, 0, 0);
    then_nothing_is_in_hand();
    cr_assert(runtime.bus_there);
}

Test(consumer, given_more_than_a_batch_when_handled_then_no_batch_is_larger_than_its_limit)
{
    for (int at = 0; at < 300; at++) {
        given_message("fine");
    }
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 3);
    cr_assert_eq(script.sizes[0], 128);
    cr_assert_eq(script.sizes[2], 300 - 2 * 128);
    then_depths(0, 0, 0);
}

Test(consumer, given_failures_among_others_when_handled_then_each_takes_its_own_way)
{
    given_message("fine");
    given_message("later");
    given_message("never");
    given_message("fine");
    when_it_runs(suspects);
    then_depths(0, 1, 1);
    then_nothing_is_in_hand();
}

Test(consumer, given_one_that_always_fails_when_its_ladder_ends_then_it_is_a_dead_letter)
{
    given_message("later");
    for (int rung = 0; rung < 4; rung++) {
        runtime.turns_left = TURNS;
        when_it_runs(suspects);
        memory_broker_pass(broker, 1000);
    }
    cr_assert_eq(script.batches, 4);
    then_depths(0, 0, 1);
}

Test(consumer, given_what_cannot_be_read_when_it_comes_then_only_that_is_a_dead_letter)
{
    publish((struct message){.exchange = STR("comanda.events"),
                             .routing_key = STR("meter.fine"),
                             .content_type = STR("text/plain"),
                             .body = STR("{")});
    given_message("fine");
    when_it_runs(suspects);
    cr_assert_eq(script.sizes[0], 1);
    then_depths(0, 0, 1);
}

// --- servers that are away, memory

Test(consumer, given_a_store_that_is_away_when_it_is_back_then_the_batch_is_handled)
{
    given_message("fine");
    script.failure = STATUS_UNAVAILABLE;
    script.failures = 5;
    int64_t began = runtime.now_ms;
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 1);
    cr_assert_gt(runtime.now_ms, began, "it waits between its tries");
    then_depths(0, 0, 0);
}

Test(consumer, given_a_store_that_stays_away_when_asked_to_end_then_the_batch_is_given_back)
{
    given_message("fine");
    given_message("fine");
    script.failure = STATUS_UNAVAILABLE;
    script.failures = 1000000;
    when_it_runs(suspects);
    then_depths(2, 0, 0);
    then_nothing_is_in_hand();
}

// More than memory holds, more than a call takes, something that cannot be read.
static const enum status faults_of_batch[] = {STATUS_NO_MEMORY, STATUS_INVALID, STATUS_MALFORMED};

Test(consumer, given_a_batch_that_cannot_be_handled_whole_when_handled_then_it_is_halved)
{
    for (size_t fault = 0; fault < 3; fault++) {
        for (int at = 0; at < 8; at++) {
            given_message("fine");
        }
        script.memory_max = 3;
        script.too_much = faults_of_batch[fault];
        script.batches = 0;
        runtime.turns_left = TURNS;
        when_it_runs(suspects);
        cr_assert_eq(script.batches, 4, "%zu batches", script.batches);
        then_depths(0, 0, 0);
    }
}

Test(consumer, given_one_that_cannot_be_handled_when_handled_then_it_is_tried_later)
{
    for (size_t fault = 0; fault < 3; fault++) {
        given_message("fine");
        given_message("fine");
        script.memory_max = 0;
        script.too_much = faults_of_batch[fault];
        runtime.turns_left = TURNS;
        when_it_runs(suspects);
        then_depths(0, 2 * (int64_t)(fault + 1), 0);
    }
}

Test(consumer, given_a_daemon_that_is_not_ready_when_it_runs_then_it_takes_nothing)
{
    given_message("fine");
    script.ready = false;
    when_it_runs(suspects);
    cr_assert_gt(script.asked, 2);
    cr_assert_eq(script.batches, 0);
    then_depths(1, 0, 0);
}

// --- messages that come again

static int marks_of(struct uuid message)
{
    int attempts = 0;
    cr_assert_eq(suspect_register_mark(suspects, STR("projector"), message, &attempts), STATUS_OK);
    return attempts - 1;
}

static void given_marked(const struct uuid *messages, size_t count)
{
    bool known[8];
    cr_assert_eq(suspect_register_mark_group(suspects, STR("projector"), messages, count, known),
                 STATUS_OK);
}

Test(consumer, given_messages_that_come_again_when_handled_then_together_and_no_mark_stays)
{
    struct uuid first = given_message("fine");
    given_message("later");
    given_message("fine");
    given_all_come_again();
    given_message("fine");
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 2);
    cr_assert_eq(script.sizes[0], 1, "the fresh one goes first");
    cr_assert_eq(script.sizes[1], 3);
    bool known[1];
    cr_assert_eq(suspect_register_mark_group(suspects, STR("projector"), &first, 1, known),
                 STATUS_OK);
    cr_assert_not(known[0]);
    then_depths(0, 1, 0);
}

Test(consumer, given_some_whose_group_died_when_they_come_again_then_each_of_them_goes_alone)
{
    struct uuid messages[2] = {given_message("fine"), given_message("fine")};
    given_message("fine");
    given_message("fine");
    given_all_come_again();
    given_marked(messages, 2);
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 3);
    cr_assert_eq(script.sizes[0], 2, "the others are together once");
    cr_assert_eq(script.sizes[1], 1);
    cr_assert_eq(script.sizes[2], 1);
    cr_assert_eq(marks_of(messages[0]), 0);
    then_depths(0, 0, 0);
}

Test(consumer, given_one_that_died_alone_too_often_when_it_comes_again_then_it_is_a_dead_letter)
{
    struct uuid bad = given_message("fine");
    struct uuid good = given_message("fine");
    given_all_come_again();
    for (int crash = 0; crash < 3; crash++) {
        (void)marks_of(bad);
    }
    given_marked(&good, 1);
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 1, "the bad one is not even read");
    then_depths(0, 0, 1);
    cr_assert_eq(marks_of(bad), 0, "forgotten");
}

Test(consumer, given_a_store_that_stays_away_when_a_suspect_is_given_back_then_its_mark_stays)
{
    struct uuid message = given_message("fine");
    given_all_come_again();
    script.failure = STATUS_UNAVAILABLE;
    script.failures = 1000000;
    when_it_runs(suspects);
    then_depths(1, 0, 0);
    cr_assert_eq(marks_of(message), 1);
}

Test(consumer, given_no_register_when_messages_come_again_then_nobody_is_suspected)
{
    given_message("fine");
    given_message("fine");
    given_all_come_again();
    when_it_runs(NULL);
    cr_assert_eq(script.batches, 1);
    cr_assert_eq(script.sizes[0], 2);
    then_depths(0, 0, 0);
}

// --- settings

Test(consumer, given_the_defaults_when_summed_then_the_ladder_lasts_as_long)
{
    cr_assert_eq(consumer_ladder_ms(runtime.settings), 5000 + 20000 + 60000);
    cr_assert_eq(ladder_settings.count, 3);
    cr_assert_str_eq(ladder_settings.items[0].name, "COMANDA_RETRY_1");
    cr_assert_str_eq(ladder_settings.items[2].name, "COMANDA_RETRY_3");
}

Test(consumer, given_settings_outside_their_limits_when_read_then_the_fault_names_them)
{
    static char *const environments[][2] = {{"COMANDA_BATCH=0", NULL},
                                            {"COMANDA_BATCH=1025", NULL},
                                            {"COMANDA_PREFETCH=10001", NULL},
                                            {"COMANDA_LINGER=soon", NULL},
                                            {"COMANDA_RETRY_2=9ms", NULL}};
    struct setting_table table = {.program = "test", .purpose = "tests"};
    table.groups[0] = consumer_settings;
    for (size_t at = 0; at < sizeof(environments) / sizeof(environments[0]); at++) {
        struct settings *settings = NULL;
        struct str fault = STR("");
        const char *given = environments[at][0];
        cr_assert_eq(settings_load(&table, NULL, environments[at], &arena, &settings, &fault),
                     STATUS_INVALID, "%s", given);
        struct str name = {given, strcspn(given, "=")};
        cr_assert(str_starts_with(fault, name), "%s: %.*s", given, STR_FMT(fault));
    }
}
