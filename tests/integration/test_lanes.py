# SPDX-License-Identifier: Apache-2.0
"""Contended commands go by lanes: each served by one worker, whatever happens to their number and to
the workers; and a race that is lost is tried again before anything goes down the failure ladder."""
import collections
import hashlib
import json
import signal
import uuid

import pika
import pytest

from daemon import Daemon, Database, command_event, until, uuid7
from relay_fixtures import Vhost
from test_workers import receive_stock, replies
from worker_fixtures import broker, database, reply_of, send, start  # noqa: F401

LANES = 8
STOCK = 100000
RESERVE = "inventory.reserve_reservation"

# So many appends find their streams further on than they expected.
LOSE = """
    create sequence comanda.races_lost;
    alter function comanda.append_behind rename to append_behind_really;
    create function comanda.append_behind(s_item int4[], s_id uuid[], s_expected int4[],
        s_several bool[], dead int4[]) returns int4[] language sql as $$
        select case when nextval('comanda.races_lost') <= %s
            then array(select distinct i from unnest(s_item) i)
            else comanda.append_behind_really(s_item, s_id, s_expected, s_several, dead) end $$"""
WIN = """
    drop function comanda.append_behind;
    alter function comanda.append_behind_really rename to append_behind;
    drop sequence comanda.races_lost"""


class Floor:
    """A database, a broker, a relay and inventory workers that share the lanes."""

    def __init__(self, folder):
        self.folder = folder
        self.database = Database()
        self.broker = Vhost()
        self.workers = []
        self.relay = None
        self.connection = None
        self.sent = []

    def start_relay(self, lanes):
        """One that leads from its first look on, which sees who serves the lanes."""
        if self.relay:
            self.relay.stop()
        self.relay = Daemon("relay", self.folder, COMANDA_POSTGRES=self.database.conninfo,
                            COMANDA_AMQP=self.broker.url_of("relay"), COMANDA_LANES=lanes)
        return self.relay.wait_ready()

    def start_workers(self, count):
        for _ in range(count):
            self.workers.append(Daemon(
                "inventory", self.folder, COMANDA_POSTGRES=self.database.conninfo,
                COMANDA_AMQP=self.broker.url_of("inventory")))
        for worker in self.workers:
            worker.wait_ready()
        self.wait_dealt()

    def alive(self):
        return [worker for worker in self.workers if worker.process.poll() is None]

    def wait_dealt(self):
        share = LANES / len(self.alive())
        until(lambda: all(worker.metric("comanda_lanes", absent=0) == share
                          for worker in self.alive()), "the lanes are dealt")

    def command(self, sku, number=0):
        """As the saga's row; lane: any that is the same for the same item."""
        saga, message_id = str(uuid7()), str(uuid7())
        lane = hashlib.sha256(sku.encode()).digest()[0] + 1
        _, event = command_event(RESERVE, {"lines": [{"sku": sku, "quantity": 1}]}, uuid7(),
                                 message_id, saga, "reserve")
        return (saga, message_id, json.dumps(event["data"]),
                json.dumps({"correlation_id": f"c-{number}", "route": RESERVE, "lane": lane}))

    def place(self, sku, count):
        """Rows of the log, for the relay to publish."""
        for number in range(count):
            row = self.command(sku, number)
            self.sent.append(row[1])
            self.database.rows(
                "insert into comanda.events (epoch, tenant, category, stream_id, version, event_id,"
                " kind, type, schema_version, data, meta) select l.epoch, 'main', 'saga', %s, 1, %s,"
                " 'command', 'reserve', 1, %s, %s from comanda.log l", *row)

    def tap(self):
        """From now on the keys of all commands that are published are kept."""
        self.keys = []
        self.connection = self.broker.connect()
        self.channel = self.connection.channel()
        self.channel.queue_declare("tap", exclusive=True)
        self.channel.queue_bind("tap", "comanda.commands", "#")

    def wait_published(self, count):
        """So many since the tap; gives their keys."""
        def all_there():
            method, _, _ = self.channel.basic_get("tap", auto_ack=True)
            if method:
                self.keys.append(method.routing_key)
            return len(self.keys) >= count
        until(all_there, f"{count} commands are published", every=0)
        return self.keys

    def wait_answered(self):
        until(lambda: len(replies(self.database, *self.sent)) == len(self.sent), "all are answered")

    def counted(self, outcome):
        line = f'comanda_messages_total{{queue="comanda.inventory",outcome="{outcome}"}}'
        return [worker.metric(line, absent=0) for worker in self.alive()]

    def check(self, item):
        """Each command once: one reply, one event on the item; nothing failed on the way."""
        rows = self.database.rows(
            "select data->>'command_id', type from comanda.events where kind = 'reply'")
        assert collections.Counter(row[0] for row in rows) == collections.Counter(self.sent)
        assert {row[1] for row in rows} == {"ok"}
        versions = [row[0] for row in self.database.rows(
            "select version from comanda.events where stream_id = %s order by version", str(item))]
        assert versions == list(range(1, len(self.sent) + 2))
        assert sum(self.counted("retried")) == sum(self.counted("dead")) == 0

    def end(self):
        for daemon in [self.relay, *self.workers]:
            if daemon:
                daemon.end()
        if self.connection:
            self.connection.close()
        self.broker.drop()
        self.database.drop()


@pytest.fixture
def floor(tmp_path):
    made = Floor(tmp_path)
    try:
        yield made
    finally:
        made.end()


def new_item(database):
    sku = "SKU-" + uuid.uuid4().hex[:8]
    return sku, receive_stock(database, sku, STOCK)


def test_a_race_that_is_lost_again_and_again_goes_down_no_ladder(broker, start, database):  # noqa: F811
    sku, _ = new_item(database)
    database.rows(LOSE % 24)
    try:
        daemon = start("inventory").wait_ready()
        message_id = send(broker, RESERVE, {"lines": [{"sku": sku, "quantity": 1}]}, uuid7(),
                          step="reserve")
        assert reply_of(database, message_id) == ("ok", None)
        assert database.rows("select last_value from comanda.races_lost")[0][0] == 25
        assert daemon.metric('comanda_messages_total{queue="comanda.inventory",outcome="retried"}',
                             absent=0) == 0
    finally:
        database.rows(WIN)


def test_a_race_that_is_lost_until_the_limit_waits_on_the_ladder(broker, start, database):  # noqa: F811
    sku, _ = new_item(database)
    database.rows(LOSE % 1000000)
    try:
        daemon = start("inventory", COMANDA_CONTENTION="300ms").wait_ready()
        message_id = send(broker, RESERVE, {"lines": [{"sku": sku, "quantity": 1}]}, uuid7(),
                          step="reserve")
        until(lambda: daemon.metric(
            'comanda_messages_total{queue="comanda.inventory",outcome="retried"}', absent=0) >= 1,
            "it climbs the ladder")
    finally:
        database.rows(WIN)
    assert reply_of(database, message_id) == ("ok", None)


def test_two_workers_on_one_item_leave_it_to_one_of_them(floor):
    sku, item = new_item(floor.database)
    floor.start_relay(LANES)
    floor.start_workers(2)
    floor.start_relay(LANES)
    floor.place(sku, 200)
    floor.wait_answered()
    floor.check(item)
    assert sorted(floor.counted("ok")) == [0, 200]


def test_the_number_of_lanes_changes_while_messages_wait(floor):
    sku, item = new_item(floor.database)
    floor.start_relay(2)
    floor.start_workers(2)
    for worker in floor.workers:
        worker.process.send_signal(signal.SIGSTOP)
    floor.tap()
    lane = int(json.loads(floor.command(sku)[3])["lane"])
    wanted = []
    for lanes in (2, 4, 1):
        floor.start_relay(lanes)
        floor.place(sku, 40)
        wanted += [f"{lane % lanes}.{RESERVE}"] * 40
        floor.wait_published(len(wanted))
    assert floor.keys == wanted
    for worker in floor.workers:
        worker.process.send_signal(signal.SIGCONT)
    floor.wait_answered()
    floor.check(item)


def test_the_lanes_of_a_worker_that_is_killed_go_on(floor):
    sku, item = new_item(floor.database)
    floor.start_relay(LANES)
    floor.start_workers(2)
    floor.start_relay(LANES)
    floor.place(sku, 1)
    floor.wait_answered()
    owner = next(worker for worker, count in zip(floor.workers, floor.counted("ok")) if count)
    owner.process.send_signal(signal.SIGSTOP)
    floor.tap()
    floor.place(sku, 40)
    assert not {RESERVE} & set(floor.wait_published(40)), "they are in the lane"
    owner.stop(signal.SIGKILL)
    # Ten seconds of silence, at once; who lives says so again.
    floor.database.rows("update comanda.lane_members set seen_at = seen_at - interval '10 s'")
    floor.wait_dealt()
    floor.wait_answered()
    floor.check(item)


def test_two_owners_at_once_do_no_harm(floor):
    sku, item = new_item(floor.database)
    floor.start_relay(LANES)
    floor.start_workers(2)
    floor.start_relay(LANES)
    connection = floor.broker.connect()
    channel = connection.channel()
    for number in range(150):  # by each lane in turn and by the role's own queue
        saga, message_id, data, _ = floor.command(sku)
        _, event = command_event(RESERVE, json.loads(data)["payload"],
                                 json.loads(data)["stream_id"], message_id, saga, "reserve")
        key = RESERVE if number % 9 == 8 else f"{number % 9}.{RESERVE}"
        channel.basic_publish(
            "comanda.commands", key, json.dumps(event).encode(),
            pika.BasicProperties(content_type="application/cloudevents+json", delivery_mode=2,
                                 message_id=message_id))
        floor.sent.append(message_id)
    connection.close()
    floor.wait_answered()
    floor.check(item)
    assert min(floor.counted("ok")) > 0


def test_lanes_that_nobody_serves_are_left_alone(floor):
    sku, item = new_item(floor.database)
    floor.start_relay(LANES)
    floor.tap()
    floor.place(sku, 20)  # no worker, as when all are older ones
    assert set(floor.wait_published(20)) == {RESERVE}
    floor.start_workers(1)
    floor.wait_answered()
    floor.check(item)
