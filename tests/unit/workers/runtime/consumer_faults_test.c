// SPDX-License-Identifier: Apache-2.0
// The consumer's loop over a broker and a register in memory, with a runtime whose time is the
// test's: what is done while servers are away and when memory ends.
//
// links: workers/runtime/consumer.c workers/runtime/consumer_batch.c
// links: workers/runtime/consumer_failures.c workers/runtime/consumer_metrics.c
// links: workers/runtime/consumer_lanes.c
// links: workers/runtime/consumer_settings.c workers/runtime/consumer_wait.c
// links: workers/runtime/consumer_backlog.c
#include "runtime/consumer.h"

#include <criterion/criterion.h>

#include "support/consumer_world.h"

TestSuite(consumer_faults, .init = consumer_world_open, .fini = consumer_world_close);

Test(consumer_faults, given_a_store_that_is_away_when_it_is_back_then_the_batch_is_handled)
{
    given_message("fine");
    script.failure = STATUS_UNAVAILABLE;
    script.failures = 5;
    int64_t began = runtime.now_ms;
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 1);
    cr_assert_gt(runtime.now_ms, began, "it waits between its tries");
    cr_assert_gt(script.now, began * 1000, "its timers are set from when it was decided");
    then_depths(0, 0, 0);
}

Test(consumer_faults, given_a_store_that_stays_away_when_asked_to_end_then_the_batch_is_given_back)
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

Test(consumer_faults, given_a_batch_that_cannot_be_handled_whole_when_handled_then_it_is_halved)
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

Test(consumer_faults, given_one_that_cannot_be_handled_when_handled_then_it_is_tried_later)
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

// Leaves no memory behind the first messages that it receives, and brings one more with the next.
static struct {
    struct message_bus port;
    struct message_bus_ops ops;
    int received;
    size_t limit;
} narrow;

static enum status receive_narrowly(struct message_bus *given, size_t max, int wait_ms,
                                    int linger_ms, struct arena *into, struct message **messages,
                                    size_t *count)
{
    (void)given;
    narrow.limit = narrow.received == 0 ? into->limit_max : narrow.limit;
    into->limit_max = narrow.limit;
    if (narrow.received++ == 1) {
        given_message("fine");
    }
    enum status status = message_bus_receive(message_bus_memory_port(bus), max, wait_ms, linger_ms,
                                             into, messages, count);
    into->limit_max = narrow.received == 1 ? into->used : narrow.limit;
    return status;
}

static void pause_broker(struct message_bus *given)
{
    (void)given;
    message_bus_pause(message_bus_memory_port(bus));
}

static enum status ack_broker(struct message_bus *given, uint64_t tag, bool multiple)
{
    (void)given;
    return message_bus_ack(message_bus_memory_port(bus), tag, multiple);
}

static enum status tick_broker(struct message_bus *given)
{
    (void)given;
    return STATUS_OK;
}

Test(consumer_faults, given_no_memory_for_a_batch_when_the_next_is_acknowledged_then_none_is_lost)
{
    narrow.ops = (struct message_bus_ops){
        .receive = receive_narrowly, .ack = ack_broker, .pause = pause_broker, .tick = tick_broker};
    narrow.port.ops = &narrow.ops;
    port = &narrow.port;
    given_message("fine");
    given_message("fine");
    when_it_runs(NULL);
    cr_assert_eq(script.batches, 1);
    cr_assert_eq(script.sizes[0], 3, "%zu of 3 handled", script.sizes[0]);
    then_depths(0, 0, 0);
}

// A broker that has no room among the dead letters for a while.
static struct {
    struct message_bus port;
    struct message_bus_ops ops;
    int refusals;        // of dead letters that are still to come
    enum status failure; // of the calls that refuse; the others in them are confirmed all the same
    int tries;
} strict;

static enum status publish_strictly(struct message_bus *given, const struct message *messages,
                                    size_t count, int timeout_ms, enum publish_outcome *outcomes)
{
    (void)given;
    bool refuses = strict.refusals > 0;
    strict.tries++;
    for (size_t at = 0; at < count; at++) {
        if (refuses && str_eq(messages[at].exchange, STR("comanda.dead"))) {
            outcomes[at] = strict.failure == STATUS_OK ? NACKED : UNSETTLED;
            continue;
        }
        cr_assert_eq(message_bus_publish(message_bus_memory_port(bus), &messages[at], 1, timeout_ms,
                                         &outcomes[at]),
                     STATUS_OK);
    }
    strict.refusals -= refuses;
    return refuses ? strict.failure : STATUS_OK;
}

static enum status receive_broker(struct message_bus *given, size_t max, int wait_ms, int linger_ms,
                                  struct arena *into, struct message **messages, size_t *count)
{
    (void)given;
    return message_bus_receive(message_bus_memory_port(bus), max, wait_ms, linger_ms, into,
                               messages, count);
}

static enum status requeue_broker(struct message_bus *given, uint64_t tag, bool multiple)
{
    (void)given;
    return message_bus_requeue(message_bus_memory_port(bus), tag, multiple);
}

static void given_a_strict_broker(int refusals, enum status failure)
{
    strict.ops = (struct message_bus_ops){.publish = publish_strictly,
                                          .receive = receive_broker,
                                          .ack = ack_broker,
                                          .requeue = requeue_broker,
                                          .pause = pause_broker,
                                          .tick = tick_broker};
    strict.port.ops = &strict.ops;
    strict.refusals = refusals;
    strict.failure = failure;
    port = &strict.port;
}

Test(consumer_faults, given_one_copy_that_is_refused_when_taken_at_last_then_none_is_there_twice)
{
    static const enum status failures[] = {STATUS_OK, STATUS_TIMEOUT};
    for (size_t each = 0; each < 2; each++) {
        int64_t before = (int64_t)each;
        given_a_strict_broker(3, failures[each]);
        given_message("later");
        given_message("never");
        given_message("fine");
        runtime.turns_left = TURNS;
        when_it_runs(suspects);
        cr_assert_geq(strict.tries, 4);
        then_depths(0, before + 1, before + 1);
        then_nothing_is_in_hand();
    }
}

Test(consumer_faults, given_dead_letters_that_are_full_when_asked_to_end_then_it_stays_in_its_queue)
{
    given_a_strict_broker(1000000, STATUS_OK);
    given_message("fine");
    given_message("later");
    given_message("never");
    when_it_runs(suspects);
    then_depths(1, 1, 0);
    then_nothing_is_in_hand();
}

Test(consumer_faults, given_a_daemon_that_is_not_ready_when_it_runs_then_it_takes_nothing)
{
    given_message("fine");
    script.ready = false;
    when_it_runs(suspects);
    cr_assert_gt(script.asked, 2);
    cr_assert_eq(script.batches, 0);
    then_depths(1, 0, 0);
}
