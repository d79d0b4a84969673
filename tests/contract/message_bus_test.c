// SPDX-License-Identifier: Apache-2.0
// One suite for every message bus: the broker in memory and RabbitMQ keep the same promises.
#include "application/ports/message_bus.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "../support/bus_subject.h"

static void what_is_published_comes_as_it_was(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    struct message sent = event(7, "meter.MeterStarted");
    publish_all(bus, &sent, 1);
    struct message *got = receive_exactly(subject, bus, 1);
    cr_assert(uuid_eq(got->id, sent.id));
    cr_assert(str_eq(got->exchange, sent.exchange));
    cr_assert(str_eq(got->routing_key, sent.routing_key));
    cr_assert(str_eq(got->content_type, sent.content_type));
    cr_assert(str_eq(got->body, sent.body));
    cr_assert_eq(got->attempts.count, 0);
    cr_assert_not(got->redelivered);
    cr_assert_eq(message_bus_ack(bus, got->delivery_tag, false), STATUS_OK);
}

static void attempts_travel_with_a_message(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    struct message sent = event(8, "meter.X");
    sent.attempts =
        (struct message_attempts){3, 1764000000123456, 1764000001123456, STR("no \xc3\xa9")};
    publish_all(bus, &sent, 1);
    struct message *got = receive_exactly(subject, bus, 1);
    cr_assert_eq(got->attempts.count, 3);
    cr_assert_eq(got->attempts.first_at_us, 1764000000123456);
    cr_assert_eq(got->attempts.last_at_us, 1764000001123456);
    cr_assert(str_eq(got->attempts.cause, STR("no \xc3\xa9")));
}

static void a_message_without_id_comes_with_none(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    struct message sent = event(9, "meter.X");
    sent.id = (struct uuid){0};
    sent.body = STR("");
    publish_all(bus, &sent, 1);
    struct message *got = receive_exactly(subject, bus, 1);
    cr_assert(uuid_is_nil(got->id));
    cr_assert_eq(got->body.len, 0);
}

static void large_bodies_come_whole(struct subject *subject)
{
    static char body[MESSAGE_BODY_MAX];
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    memset(body, 'b', sizeof(body));
    static const size_t sizes[] = {131064, 131065, 131072, MESSAGE_BODY_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct message sent = event(10, "meter.X");
        sent.body = (struct str){body, sizes[i]};
        publish_all(bus, &sent, 1);
        struct message *got = receive_exactly(subject, bus, 1);
        cr_assert(str_eq(got->body, sent.body), "%zu bytes became %zu", sizes[i], got->body.len);
    }
}

static void a_batch_larger_than_the_window_is_published_in_order(struct subject *subject)
{
    enum { COUNT = 5 * WINDOW + 3 };
    static struct message sent[COUNT];
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    for (uint32_t i = 0; i < COUNT; i++) {
        sent[i] = event(i, "meter.X");
    }
    publish_all(bus, sent, COUNT);
    uint32_t seen = 0;
    while (seen < COUNT) {
        size_t count;
        struct message *got = receive(subject, bus, 100, WAIT_MS, &count);
        cr_assert_gt(count, 0);
        for (size_t i = 0; i < count; i++) {
            cr_assert(uuid_eq(got[i].id, sent[seen++].id));
        }
        cr_assert_eq(message_bus_ack(bus, got[count - 1].delivery_tag, true), STATUS_OK);
    }
    assert_nothing_comes(subject, bus);
}

static void unacknowledged_messages_come_again(struct subject *subject)
{
    struct message_bus *first = open_bus(subject, "comanda.projector");
    publish_events(first, 40, 43, "meter.X");
    struct message *got = receive_exactly(subject, first, 3);
    cr_assert_eq(message_bus_ack(first, got[1].delivery_tag, true), STATUS_OK);
    if (subject->memory == NULL) {
        size_t none; // the ack leaves before the connection goes
        receive(subject, first, 1, 100, &none);
    }
    close_bus(subject, 0);
    struct message_bus *second = open_bus(subject, "comanda.projector");
    struct message *again = receive_exactly(subject, second, 1);
    cr_assert(uuid_eq(again->id, id_of(42)));
    cr_assert(again->redelivered);
    cr_assert_eq(message_bus_ack(second, again->delivery_tag, false), STATUS_OK);
    assert_nothing_comes(subject, second);
}

static void one_ack_leaves_the_others_unacknowledged(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    publish_events(bus, 50, 53, "meter.X");
    struct message *got = receive_exactly(subject, bus, 3);
    cr_assert_eq(message_bus_ack(bus, got[1].delivery_tag, false), STATUS_OK);
    cr_assert_eq(message_bus_requeue(bus, got[2].delivery_tag, true), STATUS_OK);
    struct message *again = receive_exactly(subject, bus, 2);
    cr_assert(again[0].redelivered && again[1].redelivered);
    cr_assert(!uuid_eq(again[0].id, id_of(51)) && !uuid_eq(again[1].id, id_of(51)));
}

static void a_paused_bus_leaves_everything_to_others(struct subject *subject)
{
    struct message_bus *first = open_bus(subject, "comanda.projector");
    publish_events(first, 55, 58, "meter.X");
    struct message *got = receive_exactly(subject, first, 2);
    message_bus_pause(first);
    cr_assert_eq(message_bus_tick(first), STATUS_OK);
    struct message_bus *second = open_bus(subject, "comanda.projector");
    got = receive_exactly(subject, second, 3);
    cr_assert_eq(message_bus_ack(first, got[2].delivery_tag, true), STATUS_OK, "an old tag");
    cr_assert_eq(message_bus_ack(second, got[0].delivery_tag, true), STATUS_OK);
    message_bus_pause(second);
    receive_exactly(subject, first, 2);
}

static void prefetch_bounds_what_is_in_hand(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    publish_events(bus, 0, PREFETCH + 5, "meter.X");
    struct message *got = receive_exactly(subject, bus, PREFETCH);
    assert_nothing_comes(subject, bus);
    cr_assert_eq(message_bus_ack(bus, got[PREFETCH - 1].delivery_tag, true), STATUS_OK);
    receive_exactly(subject, bus, 5);
}

static void a_receive_takes_at_most_max(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    publish_events(bus, 0, 10, "meter.X");
    size_t count;
    receive(subject, bus, 4, WAIT_MS, &count);
    cr_assert_leq(count, 4);
    receive_exactly(subject, bus, 10 - count);
}

static void an_arena_that_is_full_loses_no_message(struct subject *subject)
{
    static char body[3000];
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    memset(body, 'x', sizeof(body));
    for (uint32_t i = 0; i < 6; i++) {
        struct message sent = event(i, "meter.X");
        sent.body = (struct str){body, sizeof(body)};
        publish_all(bus, &sent, 1);
    }
    size_t seen = 0;
    for (int tries = 0; tries < 20 && seen < 6; tries++) {
        struct arena small;
        struct message *messages;
        size_t count = 0;
        arena_init(&small, 1024, 12000);
        cr_assert_eq(message_bus_receive(bus, 6, WAIT_MS, LINGER_MS, &small, &messages, &count),
                     STATUS_OK);
        for (size_t i = 0; i < count; i++) {
            cr_assert(uuid_eq(messages[i].id, id_of((uint32_t)seen++)));
        }
        arena_free(&small);
    }
    cr_assert_eq(seen, 6);
}

static void offered_messages_settle_in_order(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    struct message messages[WINDOW + 10];
    enum publish_outcome outcomes[WINDOW + 10];
    for (uint32_t i = 0; i < WINDOW + 10; i++) {
        messages[i] = event(i, "meter.X");
    }
    messages[3].exchange = TOPOLOGY_DEAD_EXCHANGE;
    messages[3].routing_key = STR("comanda.nobody");
    size_t taken = 0;
    cr_assert_eq(message_bus_offer(bus, messages, WINDOW + 10, &taken), STATUS_OK);
    cr_assert_eq(taken, WINDOW, "the window bounds what is in flight");
    size_t settled = 0;
    for (int tries = 0; tries < 100 && settled < WINDOW; tries++) {
        size_t count;
        cr_assert_eq(message_bus_settle(bus, WAIT_MS, 10, outcomes + settled, &count), STATUS_OK);
        cr_assert_leq(count, 10);
        settled += count;
    }
    cr_assert_eq(settled, WINDOW);
    for (size_t i = 0; i < WINDOW; i++) {
        cr_assert_eq(outcomes[i], i == 3 ? RETURNED : PUBLISHED, "message %zu", i);
    }
    size_t none;
    cr_assert_eq(message_bus_settle(bus, 0, 10, outcomes, &none), STATUS_OK);
    cr_assert_eq(none, 0);
}

static void a_message_rests_in_a_retry_queue_and_comes_back(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "comanda.counter");
    struct message sent = event(60, "comanda.counter.1");
    sent.exchange = TOPOLOGY_RETRY_EXCHANGE;
    sent.attempts = (struct message_attempts){1, 5, 5, STR("away")};
    int64_t start = monotonic_ms();
    publish_all(bus, &sent, 1);
    if (subject->memory != NULL) {
        assert_nothing_comes(subject, bus);
        memory_broker_pass(subject->memory, RETRY_MS);
    }
    struct message *got = receive_exactly(subject, bus, 1);
    // However late this test looks, it cannot have come before its time. (Memory has its own time.)
    cr_assert(subject->memory != NULL || monotonic_ms() - start >= RETRY_MS, "it came at once");
    cr_assert(uuid_eq(got->id, sent.id));
    cr_assert_eq(got->attempts.count, 1);
    cr_assert(str_eq(got->attempts.cause, STR("away")));
}

static void dead_letters_have_a_queue_of_their_own(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "comanda.counter.dead");
    struct message sent = event(70, "comanda.counter");
    sent.exchange = TOPOLOGY_DEAD_EXCHANGE;
    publish_all(bus, &sent, 1);
    cr_assert(uuid_eq(receive_exactly(subject, bus, 1)->id, sent.id));
}

static void a_bus_without_a_queue_receives_nothing(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "");
    struct message *messages;
    size_t count;
    cr_assert_eq(message_bus_receive(bus, 1, 0, 0, &subject->arena, &messages, &count),
                 STATUS_INVALID);
    cr_assert_eq(message_bus_tick(bus), STATUS_OK);
}

PROMISE(what_is_published_comes_as_it_was)
PROMISE(attempts_travel_with_a_message)
PROMISE(a_message_without_id_comes_with_none)
PROMISE(large_bodies_come_whole)
PROMISE(a_batch_larger_than_the_window_is_published_in_order)
PROMISE(unacknowledged_messages_come_again)
PROMISE(one_ack_leaves_the_others_unacknowledged)
PROMISE(a_paused_bus_leaves_everything_to_others)
PROMISE(prefetch_bounds_what_is_in_hand)
PROMISE(a_receive_takes_at_most_max)
PROMISE(an_arena_that_is_full_loses_no_message)
PROMISE(offered_messages_settle_in_order)
PROMISE(a_message_rests_in_a_retry_queue_and_comes_back)
PROMISE(dead_letters_have_a_queue_of_their_own)
PROMISE(a_bus_without_a_queue_receives_nothing)
