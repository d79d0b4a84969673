// SPDX-License-Identifier: Apache-2.0
// Buses that receive from other queues beside their own: in memory and RabbitMQ keep the same
// promises.
#include <criterion/criterion.h>

#include "../support/bus_subject.h"

static void publish_command(struct message_bus *bus, uint32_t number)
{
    struct message sent = event(number, "counting.raise_counter");
    sent.exchange = STR("comanda.commands");
    publish_all(bus, &sent, 1);
}

// Connected, as every bus that has received once.
static struct message_bus *open_receiving(struct subject *subject, const char *queue)
{
    size_t count;
    struct message_bus *bus = open_bus(subject, queue);
    (void)receive(subject, bus, 1, 0, &count);
    return bus;
}

static void other_queues_come_too_until_they_are_left_out(struct subject *subject)
{
    static const struct str also[] = {{"comanda.counter", 15}};
    struct message_bus *bus = open_receiving(subject, "comanda.projector");
    cr_assert_eq(message_bus_also(bus, also, 1), STATUS_OK);
    cr_assert_eq(message_bus_also(bus, also, 1), STATUS_OK, "twice is once");
    publish_command(bus, 80);
    struct message *got = receive_exactly(subject, bus, 1);
    cr_assert(uuid_eq(got->id, id_of(80)));
    publish_events(bus, 81, 82, "meter.X");
    cr_assert(uuid_eq(receive_exactly(subject, bus, 1)->id, id_of(81)));
    cr_assert_eq(message_bus_also(bus, NULL, 0), STATUS_OK);
    publish_command(bus, 82);
    assert_nothing_comes(subject, bus);
    // What is in hand stays in hand, and is acknowledged.
    cr_assert_eq(message_bus_ack(bus, got->delivery_tag, false), STATUS_OK);
    struct message_bus *other = open_bus(subject, "comanda.counter");
    cr_assert(uuid_eq(receive_exactly(subject, other, 1)->id, id_of(82)));
}

static void what_is_given_back_goes_to_the_queue_it_came_from(struct subject *subject)
{
    static const struct str also[] = {{"comanda.counter", 15}};
    struct message_bus *bus = open_receiving(subject, "comanda.projector");
    cr_assert_eq(message_bus_also(bus, also, 1), STATUS_OK);
    publish_command(bus, 83);
    (void)receive_exactly(subject, bus, 1);
    message_bus_pause(bus);
    struct message_bus *other = open_bus(subject, "comanda.counter");
    struct message *got = receive_exactly(subject, other, 1);
    cr_assert(uuid_eq(got->id, id_of(83)) && got->redelivered);
}

static void asking_for_a_queue_that_is_not_there_leaves_the_own_one(struct subject *subject)
{
    static const struct str also[] = {{"comanda.counter", 15}, {"comanda.nobody", 14}};
    struct message_bus *bus = open_receiving(subject, "comanda.projector");
    cr_assert_eq(message_bus_also(bus, also, 2), STATUS_NOT_FOUND);
    publish_events(open_bus(subject, ""), 84, 85, "meter.X");
    enum status status = STATUS_UNAVAILABLE;
    struct message *messages = NULL;
    size_t count = 0;
    for (int tries = 0; tries < 100 && count == 0; tries++) {
        status = message_bus_receive(bus, 1, 300, 0, &subject->arena, &messages, &count);
    }
    cr_assert_eq(status, STATUS_OK);
    cr_assert_eq(count, 1);
    cr_assert(uuid_eq(messages[0].id, id_of(84)));
}

PROMISE(other_queues_come_too_until_they_are_left_out)
PROMISE(what_is_given_back_goes_to_the_queue_it_came_from)
PROMISE(asking_for_a_queue_that_is_not_there_leaves_the_own_one)
