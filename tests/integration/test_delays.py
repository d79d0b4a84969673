# SPDX-License-Identifier: Apache-2.0
"""Delays of the failure ladder that are changed while queues exist: told, and mended without loss."""
import json
import threading
import time

import pika
import pytest

from daemon import Database, until, uuid7
from fulfilment import Shop, Vhost

# The first one longer than we wait for a message that is to come after the new one.
OLD = {"COMANDA_RETRY_1": "120s", "COMANDA_RETRY_2": "40s", "COMANDA_RETRY_3": "60s"}
OLD_DELAYS = "120s,40s,60s"
NEW = {"COMANDA_RETRY_1": "2s", "COMANDA_RETRY_2": "40s", "COMANDA_RETRY_3": "60s"}
LEAVE_S = 1  # of comandactl: what it waits between emptying a queue and replacing it


@pytest.fixture
def shop(tmp_path):
    database = Database()
    database.migrate()
    made = Shop(database, Vhost(), tmp_path)
    yield made
    made.stop()
    made.broker.drop()
    database.drop()


def differing(shop):
    return shop.daemons["relay"].metric("comanda_topology_differing", absent=0)


def rows(shop, verb, delays="2s,40s,60s"):
    code, text = shop.ctl("topology", verb, "--retry", delays, "--json", user="relay")
    return code, json.loads(text)


def doctor_says_of_delays(shop, monkeypatch, settings):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    _, text = shop.ctl("doctor", "--json", user=None)
    return {each["check"]: each for each in json.loads(text)}["delays"]


def resting(message_id):
    return pika.BasicProperties(message_id=message_id, delivery_mode=2,
                                headers={"comanda-attempts": 1})


def put_to_rest(shop, count):
    """Messages in the first delay queue of payment, as its daemon would leave them."""
    def waiting():
        return sum(map(shop.broker.ready, ("comanda.payment.retry.1", "comanda.payment")))
    before = waiting()
    ids = [str(uuid7()) for _ in range(count)]
    for message_id in ids:
        shop.broker.channel.basic_publish("comanda.retry", "comanda.payment.1", b"{}",
                                          resting(message_id))
    until(lambda: waiting() == before + count, "they rest, or have rested")
    return ids


class LateComer:
    """Puts a message into a queue that is being replaced, right after it has been emptied."""

    def __init__(self, shop, queue):
        self.shop, self.queue, self.id = shop, queue, str(uuid7())
        self.result = None
        self.in_time = False
        self.mender = threading.Thread(target=lambda: setattr(self, "result", rows(shop, "mend")))

    def consumers(self, channel):
        return channel.queue_declare(self.queue, passive=True).method.consumer_count

    def put(self, channel):
        """In time: the broker has it before the queue can have been replaced."""
        busy_at = None
        while self.mender.is_alive():
            looked_at = time.monotonic()
            if self.consumers(channel) == 1:
                busy_at = looked_at
            elif busy_at is not None:
                break
            time.sleep(0.01)
        channel.basic_publish("", self.queue, b"{}", resting(self.id), mandatory=True)
        self.in_time = busy_at is not None and time.monotonic() - busy_at < LEAVE_S

    def while_mending(self):
        connection = self.shop.broker.connect()
        channel = connection.channel()
        channel.confirm_delivery()
        self.mender.start()
        try:
            self.put(channel)
        except (pika.exceptions.ChannelClosedByBroker, pika.exceptions.UnroutableError):
            pass  # too late: the queue was just away
        self.mender.join()
        connection.close()
        return self.result


def mended_with_a_late_comer(shop, queue, ids):
    """Again where this machine was too slow to come in between; gives all messages that must have
    been kept, besides those that rest."""
    for _ in range(5):
        late = LateComer(shop, queue)
        code, mended = late.while_mending()
        assert code == 0 and [each["done"] for each in mended] == ["replaced"] * 6
        if late.in_time:
            return [*ids, late.id]
        assert rows(shop, "mend", OLD_DELAYS)[0] == 0
        ids = ids + put_to_rest(shop, 150)
    raise AssertionError("five times too slow to put a message into a queue that is replaced")


def taken(shop, queue, wanted):
    """Takes messages until it has seen the wanted ones; gives their attempts."""
    got = {}

    def take():
        while True:
            method, properties, _ = shop.broker.channel.basic_get(queue, auto_ack=True)
            if method is None:
                return set(wanted) <= set(got)
            got[properties.message_id] = (properties.headers or {}).get("comanda-attempts")
    until(take, f"{len(wanted)} messages in {queue}")
    return {message_id: got[message_id] for message_id in wanted}


def test_changed_delays_are_told_and_mended_and_what_rests_is_not_lost(shop, monkeypatch):
    dead = 'comanda_dead_letters{queue="comanda.%s.dead"}'
    shop.start("relay", **OLD)
    until(lambda: shop.daemons["relay"].metric(dead % "shipping", absent=-1) == 0, "it has declared")
    assert rows(shop, "check", OLD_DELAYS) == (0, [])
    ids = put_to_rest(shop, 150)
    for _ in range(2):
        shop.broker.channel.basic_publish("", "comanda.payment.dead", b"{}")
    shop.end("relay")
    shop.start("relay", **NEW)
    until(lambda: differing(shop) == 6, "the relay counts the first queue of six ladders")
    until(lambda: [shop.daemons["relay"].metric(dead % name) for name in ("payment", "shipping")]
          == [2, 0], "it counts dead letters")
    line = next(line for line in shop.daemons["relay"].log() if line.get("argument"))
    assert line["level"] == "error" and "comandactl topology mend" in line["message"]
    assert (line["first"], line["argument"], line["has"], line["wants"]) == \
        ("comanda.ordering.retry.1", "x-message-ttl", "120000", "2000")
    shop.daemons["relay"].wait_ready()  # messages flow as before
    found = doctor_says_of_delays(shop, monkeypatch, NEW)
    assert found["status"] == "fault" and "120000" in found["detail"] and "mend" in found["advice"]

    code, different = rows(shop, "check")
    assert code == 1 and len(different) == 6
    assert different[0]["has"] == "120000" and different[0]["wants"] == "2000"
    kept = mended_with_a_late_comer(shop, "comanda.payment.retry.1", ids)
    assert rows(shop, "check") == (0, [])
    assert taken(shop, "comanda.payment", kept) == dict.fromkeys(kept, 1)
    until(lambda: differing(shop) == 0, "the relay sees it")
    assert doctor_says_of_delays(shop, monkeypatch, NEW)["status"] == "ok"

    taken(shop, "comanda.payment", put_to_rest(shop, 3))  # and the new delay is in force


def test_a_missing_binding_is_named_and_made_anew_by_the_operator_too(shop):
    asked = {"COMANDA_AMQP_MANAGEMENT": shop.broker.management()}

    def bindings():
        _, text = shop.ctl("doctor", "--json", **asked)
        return {each["check"]: each for each in json.loads(text)}["bindings"]

    assert shop.ctl("topology", "declare", user="relay")[0] == 0
    assert bindings()["status"] == "ok"
    shop.broker.channel.queue_unbind("comanda.saga", "comanda.events", "order.OrderPlaced")
    lost = "comanda.saga from comanda.events by order.OrderPlaced"
    assert bindings()["status"] == "fault" and lost in bindings()["detail"]
    code, text = shop.ctl("topology", "check", "--json", user="relay", **asked)
    assert code == 1 and json.loads(text)[0]["wants"] == lost
    assert shop.ctl("topology", "mend", user="relay", **asked)[0] == 0
    assert bindings()["status"] == "ok"
    assert shop.ctl("topology", "check", user="relay", **asked)[0] == 0
    asked["COMANDA_AMQP_MANAGEMENT"] = "http://x:y@127.0.0.1:1"
    assert bindings()["status"] == "warning"


@pytest.mark.parametrize("given, told", [("5s,20s", "three delays"), ("5s,20s,60s,1s", "three"),
                                         ("5s,soon,60s", "COMANDA_RETRY_2 soon")])
def test_delays_that_make_no_sense_are_named(given, told, shop):
    code, text = shop.ctl("topology", "check", "--retry", given)
    assert code == 2 and told in text, text
