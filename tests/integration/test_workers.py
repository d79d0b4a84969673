# SPDX-License-Identifier: Apache-2.0
"""The workers' runtime against real servers: commands, replies, ladder, poison, servers that go away."""
import datetime
import hashlib
import json
import os
import signal
import time
import urllib.parse
import uuid

import pika
import pytest

from daemon import BUILD, Blocker, Daemon, Database, command_event, until, uuid7
from worker_fixtures import (AUTHORIZE, broker, database, events_of, hold_payment, journal,  # noqa: F401
                             kill, replies, reply_of, send, start, waits_for_lock)

pytestmark = pytest.mark.sanitized


# --- a command and its reply

def test_a_command_leads_to_its_event_and_one_reply(database, broker, start):
    start("payment").wait_ready()
    payment = uuid7()
    message_id = send(broker, "payments.authorize_payment", AUTHORIZE, payment)
    assert reply_of(database, message_id) == ("ok", None)
    assert events_of(database, payment) == ["PaymentAuthorized"]
    assert journal(database, payment) == [("authorize", "done")]
    row = database.rows("select category, version, type, kind::text, meta from comanda.events"
                        " where data->>'command_id' = %s and kind = 'reply'", message_id)[0]
    assert row[:4] == ("reply", 1, "ok", "reply")
    assert row[4]["causation_id"] == message_id and row[4]["correlation_id"] == "c-1"
    assert row[4]["route"] == "order_fulfilment"


def test_a_command_delivered_twice_is_handled_once(database, broker, start):
    start("payment").wait_ready()
    payment = uuid7()
    message_id, event = command_event("payments.authorize_payment", AUTHORIZE, payment)
    for _ in range(5):
        broker.publish("payments.authorize_payment", event, message_id)
    reply_of(database, message_id)
    until(lambda: broker.ready("comanda.payment") == 0, "an empty queue")
    time.sleep(0.3)
    assert events_of(database, payment) == ["PaymentAuthorized"]
    assert len(database.rows("select 1 from comanda.events where kind = 'reply'"
                             " and data->>'command_id' = %s", message_id)) == 1


def test_a_declined_card_is_a_refusal_and_is_remembered(database, broker, start):
    start("payment").wait_ready()
    payment = uuid7()
    declined = dict(AUTHORIZE, payment_token="tok_declined")
    first = send(broker, "payments.authorize_payment", declined, payment)
    assert reply_of(database, first) == ("rejected", "payment_declined")
    again = send(broker, "payments.authorize_payment", declined, payment)
    assert reply_of(database, again)[0] == "rejected"
    assert journal(database, payment) == [("authorize", "refused")]


def test_a_payment_runs_to_capture_and_is_refunded(database, broker, start):
    start("payment").wait_ready()
    payment = uuid7()
    steps = [("payments.authorize_payment", AUTHORIZE, {}),
             ("payments.capture_payment", {"amount": 3980, "currency": "BRL"}, {}),
             ("payments.refund_payment", {}, {"direction": "compensate"})]
    for command, payload, more in steps:
        message_id = send(broker, command, payload, payment, **more)
        assert reply_of(database, message_id)[0] == "ok"
    assert events_of(database, payment) == ["PaymentAuthorized", "PaymentCaptured",
                                            "PaymentRefunded"]
    assert journal(database, payment) == [("authorize", "done"), ("capture", "done"),
                                          ("refund", "done")]


def test_a_void_that_overtakes_authorize_leaves_a_tombstone_on_both_sides(database, broker, start):
    start("payment").wait_ready()
    payment = uuid7()
    void = send(broker, "payments.void_payment", {}, payment, direction="compensate")
    assert reply_of(database, void)[0] == "ok"
    late = send(broker, "payments.authorize_payment", AUTHORIZE, payment)
    assert reply_of(database, late)[0] == "rejected"
    assert ("authorize", "done") not in journal(database, payment)


def test_the_carrier_refuses_a_marked_postal_code(database, broker, start):
    start("shipping").wait_ready()
    address = {"name": "A", "street": "B 1", "city": "C", "postal_code": "01310-100",
               "country": "BR"}
    good, bad = uuid7(), uuid7()
    accepted = send(broker, "shipping.schedule_shipment", {"ship_to": address}, good)
    refused = send(broker, "shipping.schedule_shipment",
                   {"ship_to": dict(address, postal_code="00000-000")}, bad)
    assert reply_of(database, accepted)[0] == "ok"
    assert reply_of(database, refused) == ("rejected", "shipment_refused")
    cancel = send(broker, "shipping.cancel_shipment", {}, good, direction="compensate")
    assert reply_of(database, cancel)[0] == "ok"
    assert journal(database, good) == [("schedule", "done"), ("cancel", "done")]


def test_orders_for_the_same_item_are_decided_together_and_stock_adds_up(database, broker, start):
    sku = "SKU-" + uuid.uuid4().hex[:8]
    item = receive_stock(database, sku, 50)
    reservations = [uuid7() for _ in range(60)]
    ids = [send(broker, "inventory.reserve_reservation",
                {"lines": [{"sku": sku, "quantity": 1}]}, reservation, step="reserve")
           for reservation in reservations]
    daemon = start("inventory").wait_ready()
    until(lambda: len(replies(database, *ids)) == 60, "60 replies")
    outcomes = sorted(replies(database, *ids).values())
    assert outcomes == [("ok", None)] * 50 + [("rejected", "stock_short")] * 10
    assert events_of(database, item).count("StockReserved") == 50
    versions = [row[0] for row in database.rows(
        "select version from comanda.events where stream_id = %s order by version", str(item))]
    assert versions == list(range(1, len(versions) + 1))
    batches = daemon.metric('comanda_message_batch_count{queue="comanda.inventory"}')
    assert batches < 60, "they were not decided together"


def receive_stock(database, sku, quantity):
    """Puts stock into the log as `stock load` would: one StockReceived as the item's first event."""
    item = uuid_named("main", "stock_item", sku)
    database.rows("insert into comanda.events (epoch, tenant, category, stream_id, version,"
                  " event_id, kind, type, schema_version, data, meta) select l.epoch, 'main',"
                  " 'stock_item', %s, 1, %s, 'event', 'StockReceived', 1, %s, '{}'"
                  " from comanda.log l", str(item), str(uuid7()),
                  json.dumps({"sku": sku, "quantity": quantity, "receipt": "test"}))
    return item


def uuid_named(tenant, category, name):
    """uuid_named of base/uuid.c, said again."""
    pieces = b"".join(len(part).to_bytes(4, "big") + part.encode()
                      for part in (tenant, category, name))
    digest = bytearray(hashlib.sha256(pieces).digest()[:16])
    digest[0] |= 0x80
    digest[6] = digest[6] & 0x0f | 0x80
    digest[8] = digest[8] & 0x3f | 0x80
    return uuid.UUID(bytes=bytes(digest))


def test_a_context_that_is_no_shop_goes_through_the_same_worker(database, broker, start):
    """`make seam` links the counting context instead of the shop's, and changes nothing else."""
    start("inventory", programs=BUILD / "seam/bin").wait_ready()
    broker.channel.queue_bind("comanda.inventory", "comanda.commands", "counting.#")
    counter = uuid7()
    opened = send(broker, "counting.open_counter", {"start": 999990}, counter, step="open")
    assert reply_of(database, opened) == ("ok", None)
    ids = [send(broker, "counting.add_counter", {"amount": 1}, counter, step="add")
           for _ in range(12)]
    until(lambda: len(replies(database, *ids)) == 12, "12 replies")
    assert sorted(replies(database, *ids).values()) == \
        [("ok", None)] * 10 + [("rejected", "counter-full")] * 2
    assert events_of(database, counter) == ["CounterOpened"] + ["CounterAdded"] * 10


# --- the failure ladder

def test_a_silent_provider_holds_up_nobody_and_its_message_ends_in_the_dead_letters(
        database, broker, start):
    silent, good = uuid7(), uuid7()
    broker.need("payments")
    stuck = send(broker, "payments.authorize_payment",
                 dict(AUTHORIZE, payment_token="tok_silent"), silent, correlation_id="shop-7")
    fine = send(broker, "payments.authorize_payment", AUTHORIZE, good)
    daemon = start("payment").wait_ready()
    assert reply_of(database, fine)[0] == "ok"
    headers, body = until(lambda: broker.get("comanda.payment.dead"), "a dead letter")
    assert json.loads(body)["id"] == stuck
    text = json.dumps({key: str(value) for key, value in headers.items()})
    assert "payment.authorize: no answer" in text
    assert 4 in headers.values(), headers
    assert not replies(database, stuck)
    said = [line for line in daemon.log() if line.get("id") == stuck or stuck in json.dumps(line)]
    assert said and {line["correlation_id"] for line in said} == {"shop-7"}
    first, dead = said[0], said[-1]
    assert (first["attempts"], dead["level"]) == (1, "error")
    replied = database.rows("select recorded_at from comanda.events where kind = 'reply'"
                            " and data->>'command_id' = %s", fine)[0][0]
    assert replied < datetime.datetime.fromisoformat(dead["time"].replace("Z", "+00:00"))
    assert daemon.metric('comanda_messages_total{queue="comanda.payment",outcome="retried"}') == 3
    assert daemon.metric('comanda_messages_total{queue="comanda.payment",outcome="dead"}') == 1


@pytest.mark.parametrize("broker", [(1000, 10000, 20000)], ids=["patient ladder"], indirect=True)
def test_a_late_provider_answers_only_after_the_payment_was_undone(database, broker, start):
    start("payment").wait_ready()
    payment = uuid7()
    late = dict(AUTHORIZE, payment_token="tok_late")
    authorize = send(broker, "payments.authorize_payment", late, payment)
    until(lambda: journal(database, payment) == [("authorize", "done")], "done at the provider")
    void = send(broker, "payments.void_payment", {}, payment, direction="compensate")
    assert reply_of(database, void)[0] == "ok"
    assert reply_of(database, authorize)[0] == "rejected"
    assert journal(database, payment) == [("authorize", "done"), ("void", "done")]


@pytest.mark.parametrize("name, body, cause", [
    ("not JSON", b"{nonsense", "body"),
    ("no object", b"[]", "body"),
    ("nothing", b"", "body"),
    ("too large", b"[" + b" " * 300000 + b"]", "256 KiB"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_read_goes_to_the_dead_letters_at_once(database, broker, start, name, body,
                                                              cause):
    start("payment").wait_ready()
    broker.publish("payments.authorize_payment", body, str(uuid7()))
    good = send(broker, "payments.authorize_payment", AUTHORIZE, uuid7())
    headers, dead = until(lambda: broker.get("comanda.payment.dead"), f"a dead letter: {name}")
    assert cause in str(headers), headers
    assert dead[:1000] == body[:1000]
    assert reply_of(database, good)[0] == "ok"


@pytest.mark.parametrize("change, cause", [
    (lambda event: event["data"].pop("payload"), "data.payload"),
    (lambda event: event["data"].update(stream_id="no"), "data.stream_id"),
    (lambda event: event["data"].update(direction="sideways"), "data.direction"),
    (lambda event: event["data"].update(payload={"amount": -1}), "data.payload/"),
    (lambda event: event["data"].update(command="payments.steal_payment"), "data.command"),
])
def test_a_command_that_makes_no_sense_names_the_member(database, broker, start, change, cause):
    start("payment").wait_ready()
    message_id, event = command_event("payments.authorize_payment", AUTHORIZE, uuid7())
    change(event)
    broker.publish("payments.authorize_payment", event, message_id)
    headers, _ = until(lambda: broker.get("comanda.payment.dead"), "a dead letter")
    assert cause in str(headers), headers


def test_a_command_that_nobody_knows_is_poison(database, broker, start):
    start("payment").wait_ready()
    message_id, event = command_event("payments.steal_payment", {}, uuid7())
    broker.publish("payments.steal_payment", event, message_id)
    headers, _ = until(lambda: broker.get("comanda.payment.dead"), "a dead letter")
    assert "payments.steal_payment" in str(headers)


def test_forged_attempt_headers_do_not_stop_the_queue(database, broker, start):
    start("payment").wait_ready()
    message_id, event = command_event("payments.authorize_payment", AUTHORIZE, uuid7())
    broker.channel.basic_publish(
        "comanda.commands", "payments.authorize_payment", json.dumps(event).encode(),
        pika.BasicProperties(content_type="application/cloudevents+json", message_id=message_id,
                             headers={"comanda-attempts": "many", "x-death": 7,
                                      "x-delivery-count": -3}))
    assert reply_of(database, message_id)[0] == "ok"


# --- servers that go away

def test_a_postgres_that_is_away_is_no_messages_fault(database, broker, start):
    blocker = Blocker(database)
    daemon = start("payment").wait_ready()
    blocker.close_the_door()
    message_id = send(broker, "payments.authorize_payment", AUTHORIZE, uuid7())
    until(lambda: not daemon.is_ready(), "not ready without PostgreSQL")
    assert daemon.checks()["postgres"]["status"] == "failed"
    assert daemon.get("/healthz")[0] == 200
    time.sleep(1.5)  # longer than the whole ladder
    blocker.open_the_door()
    assert reply_of(database, message_id)[0] == "ok"
    daemon.wait_ready()
    assert broker.ready("comanda.payment.dead") == 0
    assert any("postgres" == line.get("dependency") and line["level"] == "warning"
               for line in daemon.log())


def test_a_broker_that_drops_the_connection_is_reconnected(database, broker, start):
    daemon = start("payment").wait_ready()
    for connection in until(lambda: [each for each in broker.call("GET", "/api/connections")
                                     if each.get("vhost") == broker.vhost
                                     and "payment" in str(each.get("client_properties"))],
                            "the daemon's connections in the management's list"):
        broker.call("DELETE", "/api/connections/" + urllib.parse.quote(connection["name"]))
    message_id = send(broker, "payments.authorize_payment", AUTHORIZE, uuid7())
    assert reply_of(database, message_id)[0] == "ok"
    daemon.wait_ready()


def test_a_schema_of_another_version_is_not_ready(broker, tmp_path):
    empty = Database(migrated=False)
    daemon = Daemon("payment", tmp_path, COMANDA_POSTGRES=empty.conninfo, COMANDA_AMQP=broker.url)
    try:
        broker.need("payments")
        until(lambda: "run comandactl migrate" in daemon.checks()["postgres"]["detail"],
              "the schema named as the reason")
        assert not daemon.is_ready()
        empty.migrate()
        daemon.wait_ready()
        assert daemon.stop() == 0
    finally:
        daemon.end()
        empty.drop()


def test_servers_that_are_not_there_at_start_are_waited_for(tmp_path):
    daemon = Daemon("shipping", tmp_path, COMANDA_POSTGRES="host=127.0.0.1 port=9 dbname=none",
                    COMANDA_AMQP="amqp://a:b@127.0.0.1:9/x")
    time.sleep(1)
    assert daemon.process.poll() is None
    assert not daemon.is_ready()
    assert daemon.get("/healthz")[0] == 200
    used = os.sysconf("SC_CLK_TCK") and sum(
        map(int, open(f"/proc/{daemon.process.pid}/stat").read().rsplit(")", 1)[1].split()[11:13]))
    assert used < 50, "it spins"
    assert daemon.stop() == 0


# --- dying and ending

def test_a_message_that_kills_its_process_ends_alone_in_the_dead_letters(database, broker, start):
    """Stands in for a crash inside the handler: the process is killed while the poison is in hand,
    which the test sees by the mark that it carries then."""
    poison = uuid7()
    lock = hold_payment(database, poison)
    innocent = [send(broker, "payments.authorize_payment", AUTHORIZE, uuid7()) for _ in range(20)]
    bad = send(broker, "payments.authorize_payment", AUTHORIZE, poison)
    innocent += [send(broker, "payments.authorize_payment", AUTHORIZE, uuid7()) for _ in range(20)]
    first = start("payment", COMANDA_CRASHES=2, COMANDA_LINGER="500ms").wait_ready()
    until(lambda: waits_for_lock(database), "the whole batch in hand")
    kill(first, database)
    second = start("payment", COMANDA_CRASHES=2, COMANDA_LINGER="500ms")
    until(lambda: database.rows("select attempts from comanda.suspects where message_id = %s",
                                bad) == [(0,)] and waits_for_lock(database),
          "with others once more, marked")
    assert database.rows("select count(*) > 1, sum(attempts) from comanda.suspects") == [(True, 0)]
    kill(second, database)
    for crash in (1, 2):
        daemon = start("payment", COMANDA_CRASHES=2)
        until(lambda: database.rows("select attempts from comanda.suspects where message_id = %s",
                                    bad) == [(crash,)] and waits_for_lock(database),
              f"crash {crash} on the suspect alone")
        kill(daemon, database)
    start("payment", COMANDA_CRASHES=2)
    headers, body = until(lambda: broker.get("comanda.payment.dead"), "the dead letter")
    assert json.loads(body)["id"] == bad
    assert "the process ended each time" in str(headers)
    until(lambda: len(replies(database, *innocent)) == 40, "all the innocent ones handled")
    assert broker.ready("comanda.payment.dead") == 0
    until(lambda: database.rows("select count(*) from comanda.suspects") == [(0,)], "no mark left")
    lock.close()


def test_what_a_killed_process_had_in_hand_comes_again_in_batches(database, broker, start):
    """The broker says of 300 messages that they come again; nothing is wrong with any of them."""
    slow = uuid7()
    lock = hold_payment(database, slow)
    ids = [send(broker, "payments.authorize_payment", AUTHORIZE, slow)]
    ids += [send(broker, "payments.authorize_payment", AUTHORIZE, uuid7()) for _ in range(299)]
    first = start("payment").wait_ready()
    until(lambda: waits_for_lock(database), "a batch in hand")
    until(lambda: broker.ready("comanda.payment") == 0, "the other ones handed out too")
    kill(first, database)
    lock.close()
    daemon = start("payment")
    until(lambda: len(replies(database, *ids)) == 300, "a reply to each")
    batches = daemon.metric('comanda_message_batch_count{queue="comanda.payment"}')
    assert batches < 30, f"they went nearly one by one, in {batches} batches"
    until(lambda: database.rows("select count(*) from comanda.suspects") == [(0,)], "no mark left")
    assert broker.ready("comanda.payment.dead") == 0


def test_kill_in_the_middle_loses_and_doubles_nothing(database, broker, start):
    ids = [send(broker, "payments.authorize_payment", AUTHORIZE, uuid7()) for _ in range(300)]
    for _ in range(3):
        daemon = start("payment", COMANDA_BATCH=16)
        batches = 'comanda_message_batch_count{queue="comanda.payment"}'
        until(lambda: daemon.metric(batches, absent=0) >= 2
              or len(replies(database, *ids)) == 300, "some batches")
        daemon.stop(signal.SIGKILL)
    start("payment")
    until(lambda: len(replies(database, *ids)) == 300, "a reply to each")
    assert database.rows("select count(*) from comanda.events where kind = 'reply'"
                         " and data->>'command_id' = any(%s)", ids) == [(300,)]
    assert broker.ready("comanda.payment.dead") == 0


def test_two_instances_share_a_hot_item(database, broker, start):
    sku = "SKU-" + uuid.uuid4().hex[:8]
    item = receive_stock(database, sku, 1000)
    daemons = [start("inventory", COMANDA_BATCH=8, COMANDA_PREFETCH=16).wait_ready()
               for _ in range(2)]
    ids = [send(broker, "inventory.reserve_reservation",
                {"lines": [{"sku": sku, "quantity": 2}]}, uuid7(), step="reserve")
           for _ in range(300)]
    until(lambda: len(replies(database, *ids)) == 300, "300 replies", 60)
    assert set(replies(database, *ids).values()) == {("ok", None)}
    assert events_of(database, item).count("StockReserved") == 300
    for daemon in daemons:
        assert daemon.metric('comanda_messages_total{queue="comanda.inventory",outcome="ok"}') > 0


def test_sigterm_drains_and_gives_back_the_rest(database, broker, start):
    ids = [send(broker, "payments.authorize_payment", AUTHORIZE, uuid7()) for _ in range(200)]
    daemon = start("payment", COMANDA_BATCH=8)
    until(lambda: replies(database, *ids), "the first replies")
    assert daemon.stop() == 0
    done = len(replies(database, *ids))
    until(lambda: broker.ready("comanda.payment") == 200 - done, "the rest is back in the queue")
    assert daemon.log()[-1]["message"] == "ended"


def test_a_state_that_another_worker_has_moved_on_is_read_again(database, broker, start):
    """Two daemons alternate on one payment, so each one's kept state is old when its turn comes."""
    payment = uuid7()
    one = start("payment").wait_ready()
    assert reply_of(database, send(broker, "payments.authorize_payment", AUTHORIZE, payment))[0] == "ok"
    two = start("payment").wait_ready()
    one.process.send_signal(signal.SIGSTOP)
    capture = send(broker, "payments.capture_payment", {"amount": 3980, "currency": "BRL"}, payment)
    if not wait_quietly(lambda: replies(database, capture), 3):  # it lay in the stopped one's hands
        one.process.send_signal(signal.SIGCONT)
    assert reply_of(database, capture)[0] == "ok"
    one.process.send_signal(signal.SIGCONT)
    two.stop()
    refund = send(broker, "payments.refund_payment", {}, payment, direction="compensate")
    assert reply_of(database, refund)[0] == "ok"
    assert events_of(database, payment)[-1] == "PaymentRefunded"


def wait_quietly(condition, timeout):
    try:
        return until(condition, "", timeout)
    except AssertionError:
        return None


def test_long_streams_are_read_from_a_snapshot(database, broker, start):
    sku = "SKU-" + uuid.uuid4().hex[:8]
    item = receive_stock(database, sku, 1000)
    daemon = start("inventory", COMANDA_SNAPSHOT_EVERY=10, COMANDA_STATES=0).wait_ready()
    ids = [send(broker, "inventory.reserve_reservation",
                {"lines": [{"sku": sku, "quantity": 1}]}, uuid7(), step="reserve")
           for _ in range(40)]
    until(lambda: len(replies(database, *ids)) == 40, "40 replies")
    kept = until(lambda: database.rows("select version from comanda.snapshots where stream_id = %s",
                                       str(item)), "a snapshot")
    assert kept[0][0] >= 10
    database.rows("update comanda.snapshots set state = '{\"broken\":true}' where stream_id = %s",
                  str(item))
    more = send(broker, "inventory.reserve_reservation", {"lines": [{"sku": sku, "quantity": 1}]},
                uuid7(), step="reserve")
    assert reply_of(database, more)[0] == "ok"
    assert daemon.process.poll() is None
