// SPDX-License-Identifier: Apache-2.0
// The suite of every message bus, continued: what nobody takes, and what finds no room.
#include <criterion/criterion.h>
#include <stdio.h>

#include "../support/bus_subject.h"

static void what_is_optional_and_nobody_wants_is_dropped(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    struct message messages[2] = {event(20, "other.Thing"), event(21, "meter.X")};
    enum publish_outcome outcomes[2];
    messages[0].optional = true;
    messages[1].optional = true;
    cr_assert_eq(message_bus_publish(bus, messages, 2, WAIT_MS, outcomes), STATUS_OK);
    cr_assert_eq(outcomes[0], PUBLISHED);
    cr_assert_eq(outcomes[1], PUBLISHED);
    cr_assert(uuid_eq(receive_exactly(subject, bus, 1)->id, id_of(21)));
}

static void what_nobody_can_take_is_returned(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    struct message messages[4] = {event(30, "meter.X"), event(31, ""), event(32, "meter.X"),
                                  event(33, "other.read_meter")};
    messages[1].exchange = TOPOLOGY_DEAD_EXCHANGE; // and nothing is bound with this key
    messages[1].routing_key = STR("comanda.nobody");
    messages[3].exchange = STR("comanda.commands"); // nor behind its alternate exchange
    enum publish_outcome outcomes[4];
    cr_assert_eq(message_bus_publish(bus, messages, 4, WAIT_MS, outcomes), STATUS_OK);
    cr_assert_eq(outcomes[0], PUBLISHED);
    cr_assert_eq(outcomes[1], RETURNED);
    cr_assert_eq(outcomes[2], PUBLISHED);
    cr_assert_eq(outcomes[3], RETURNED);
}

static void what_is_put_aside_by_name_lies_in_its_queue(struct subject *subject)
{
    struct message_bus *bus = open_bus(subject, "comanda.unroutable");
    struct message sent = event(34, "comanda.unroutable");
    sent.exchange = STR("");
    sent.attempts = (struct message_attempts){.count = 1, .cause = STR("unroutable: nobody")};
    publish_all(bus, &sent, 1);
    struct message *got = receive_exactly(subject, bus, 1);
    cr_assert(uuid_eq(got->id, sent.id));
    cr_assert(str_eq(got->attempts.cause, sent.attempts.cause));
}

// Each adapter has its own way to a small maximum: the table's, and a policy.
static void given_a_small_queue(struct subject *subject)
{
    if (subject->memory == NULL) {
        char path[TEST_VHOST_URL_MAX];
        snprintf(path, sizeof(path), "/api/policies/%s/small", subject->vhost.name);
        test_vhost_call(
            "PUT", path,
            "{\"pattern\":\"^comanda.projector$\",\"apply-to\":\"queues\",\"priority\":1,"
            "\"definition\":{\"max-length\":3,\"overflow\":\"reject-publish\"}}");
        return;
    }
    struct topology_queue *queues =
        arena_array(&subject->arena, subject->topology.queue_count, sizeof(*queues));
    for (size_t at = 0; at < subject->topology.queue_count; at++) {
        queues[at] = subject->topology.queues[at];
        queues[at].length_max = str_eq(queues[at].name, STR("comanda.projector")) ? 3 : 100;
    }
    memory_broker_free(subject->memory);
    subject->topology.queues = queues;
    subject->memory = memory_broker_new(&subject->topology);
}

// A quorum queue refuses some messages after its maximum, and takes again a moment after it fell.
static bool comes_to(struct message_bus *bus, enum publish_outcome wanted, uint32_t *number)
{
    enum publish_outcome outcome = UNSETTLED;
    for (int tries = 0; tries < 1000 && outcome != wanted; tries++) {
        struct message message = event(++*number, "meter.X");
        cr_assert_eq(message_bus_publish(bus, &message, 1, WAIT_MS, &outcome), STATUS_OK);
    }
    return outcome == wanted;
}

static void a_full_queue_refuses_until_it_has_room(struct subject *subject)
{
    given_a_small_queue(subject);
    struct message_bus *bus = open_bus(subject, "comanda.projector");
    uint32_t number = 100;
    cr_assert(comes_to(bus, NACKED, &number));
    size_t count = 0;
    struct message *got = receive(subject, bus, 100, WAIT_MS, &count);
    cr_assert_gt(count, 0);
    cr_assert_eq(message_bus_ack(bus, got[count - 1].delivery_tag, true), STATUS_OK);
    cr_assert(comes_to(bus, PUBLISHED, &number));
}

PROMISE(what_is_optional_and_nobody_wants_is_dropped)
PROMISE(what_nobody_can_take_is_returned)
PROMISE(what_is_put_aside_by_name_lies_in_its_queue)
PROMISE(a_full_queue_refuses_until_it_has_room)
