# SPDX-License-Identifier: Apache-2.0
"""Delays of the failure ladder that are changed while queues exist: told, and mended without loss."""
import json
import threading

import pika
import pytest

from daemon import Database, until, uuid7
from fulfilment import Shop, Vhost

OLD = {"COMANDA_RETRY_1": "30s", "COMANDA_RETRY_2": "40s", "COMANDA_RETRY_3": "60s"}
NEW = {"COMANDA_RETRY_1": "2s", "COMANDA_RETRY_2": "40s", "COMANDA_RETRY_3": "60s"}


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


def put_to_rest(shop, count):
    """Messages in the first delay queue of payment, as its daemon would leave them."""
    ids = [str(uuid7()) for _ in range(count)]
    for message_id in ids:
        shop.broker.channel.basic_publish(
            "comanda.retry", "comanda.payment.1", b"{}",
            pika.BasicProperties(message_id=message_id, delivery_mode=2,
                                 headers={"comanda-attempts": 1}))
    until(lambda: shop.broker.ready("comanda.payment.retry.1") == count, "they rest")
    return ids


class LateComer:
    """Puts a message into a queue that is being replaced, right after it has been emptied."""

    def __init__(self, shop, queue):
        self.broker, self.queue, self.id = shop.broker, queue, str(uuid7())
        self.result = None
        self.mender = threading.Thread(target=lambda: setattr(self, "result", rows(shop, "mend")))

    def consumers(self):
        return self.broker.channel.queue_declare(self.queue, passive=True).method.consumer_count

    def while_mending(self):
        self.mender.start()
        until(lambda: self.consumers() == 1, "it is being emptied", 60, every=0.01)
        until(lambda: self.consumers() == 0, "it has been emptied", 60, every=0.01)
        self.broker.channel.basic_publish(
            "", self.queue, b"{}",
            pika.BasicProperties(message_id=self.id, delivery_mode=2,
                                 headers={"comanda-attempts": 1}))
        self.mender.join()
        return self.result


def taken(shop, queue, count):
    got = {}
    def take():
        method, properties, _ = shop.broker.channel.basic_get(queue, auto_ack=True)
        if method is not None:
            got[properties.message_id] = (properties.headers or {}).get("comanda-attempts")
        return len(got) == count
    until(take, f"{count} messages in {queue}")
    return got


def test_changed_delays_are_told_and_mended_and_what_rests_is_not_lost(shop, monkeypatch):
    shop.start("relay", **OLD)
    assert rows(shop, "check", "30s,40s,60s") == (0, [])
    ids = put_to_rest(shop, 150)
    for _ in range(2):
        shop.broker.channel.basic_publish("", "comanda.payment.dead", b"{}")
    shop.end("relay")
    shop.start("relay", **NEW)
    until(lambda: differing(shop) == 6, "the relay counts the first queue of six ladders")
    dead = 'comanda_dead_letters{queue="comanda.%s.dead"}'
    assert [shop.daemons["relay"].metric(dead % name) for name in ("payment", "shipping")] == [2, 0]
    line = next(line for line in shop.daemons["relay"].log() if line.get("argument"))
    assert line["level"] == "error" and "comandactl topology mend" in line["message"]
    assert (line["first"], line["argument"], line["has"], line["wants"]) == \
        ("comanda.ordering.retry.1", "x-message-ttl", "30000", "2000")
    shop.daemons["relay"].wait_ready()  # messages flow as before
    found = doctor_says_of_delays(shop, monkeypatch, NEW)
    assert found["status"] == "fault" and "30000" in found["detail"] and "mend" in found["advice"]

    code, different = rows(shop, "check")
    assert code == 1 and len(different) == 6
    assert different[0]["has"] == "30000" and different[0]["wants"] == "2000"
    late = LateComer(shop, "comanda.payment.retry.1")
    code, mended = late.while_mending()
    assert code == 0 and [each["done"] for each in mended] == ["replaced"] * 6
    assert rows(shop, "check") == (0, [])
    assert taken(shop, "comanda.payment", 151) == dict.fromkeys([*ids, late.id], 1)
    until(lambda: differing(shop) == 0, "the relay sees it")
    assert doctor_says_of_delays(shop, monkeypatch, NEW)["status"] == "ok"

    put_to_rest(shop, 3)  # and the new delay is in force
    assert len(taken(shop, "comanda.payment", 3)) == 3


@pytest.mark.parametrize("given, told", [("5s,20s", "three delays"), ("5s,20s,60s,1s", "three"),
                                         ("5s,soon,60s", "COMANDA_RETRY_2 soon")])
def test_delays_that_make_no_sense_are_named(given, told, shop):
    code, text = shop.ctl("topology", "check", "--retry", given)
    assert code == 2 and told in text, text
