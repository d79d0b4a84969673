# SPDX-License-Identifier: Apache-2.0
"""The projector on real servers: hints in any order, servers that go away, poison, rebuilds."""
import json
import signal
import time

import pika
import pytest

from daemon import Daemon, until, uuid7
from fulfilment import PLACED_AT, placed
from read_side import ReadSide


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Relay and projector, shared by tests that look at their own orders only."""
    made = ReadSide(tmp_path_factory.mktemp("whole")).start("relay", "projector")
    yield made
    made.stop_in_order()
    made.close()


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A projector whose messages the test publishes itself: the relay has only declared."""
    made = ReadSide(tmp_path_factory.mktemp("quiet")).start("relay", "projector")
    made.end("relay")
    yield made
    made.close()


@pytest.fixture
def side(tmp_path):
    """Nothing runs yet but the servers."""
    made = ReadSide(tmp_path)
    yield made
    made.close()


def dead_letter(side, stream):
    """Takes the dead letter of a stream: its headers as text."""
    def found():
        taken = side.broker.get("comanda.projector.dead")
        return taken if taken and json.loads(taken[1])["subject"] == str(stream) else None
    return str(until(found, f"the dead letter of {stream}")[0])


def row_of(side, stream, version):
    found = side.database.rows(
        "select epoch, tx::text, position, event_id::text, type, data::text,"
        " to_char(recorded_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
        " from comanda.events where stream_id = %s and version = %s", str(stream), version)
    return found[0]


def hint_of(side, stream, version, category="order", with_position=True, **changes):
    """The message that the relay would publish for a row of the log."""
    epoch, tx, position, event_id, kind, data, recorded_at = row_of(side, stream, version)
    event = {"specversion": "1.0", "id": event_id, "source": f"/comanda/main/{category}",
             "type": kind, "subject": str(stream), "time": recorded_at,
             "datacontenttype": "application/json", "sequence": str(version), "tenant": "main",
             "category": category, "kind": "event", "schemaversion": 1,
             "position": f"{epoch}.{tx}.{position}", "data": json.loads(data), **changes}
    if not with_position:
        del event["position"]
    return event


def publish(side, event):
    side.broker.channel.basic_publish(
        "comanda.events", f"{event['category']}.{event['type']}", json.dumps(event).encode(),
        pika.BasicProperties(content_type="application/cloudevents+json", delivery_mode=2,
                             message_id=event["id"]), mandatory=True)


@pytest.mark.sanitized
def test_given_events_when_relayed_then_both_stores_hold_the_same_document(whole):
    order = whole.place()
    body = whole.reaches(order, 1)
    document = json.loads(body)
    assert document["id"] == str(order)
    assert document["status"] == "placed"
    assert document["version"] == 1
    assert "payment_token" not in body and "tok_ok" not in body
    _version, header, cached = whole.cache.document(order)
    assert cached == body
    assert header.split(" ")[6] == str(order)
    whole.cancel(order)
    cancelled = json.loads(whole.reaches(order, 2))
    assert cancelled["status"] == "cancelling"
    assert whole.cache.document(order)[2] == whole.document(order)[1]


@pytest.mark.sanitized
def test_given_a_hint_ahead_of_its_predecessor_when_it_comes_then_the_log_is_read(quiet):
    order = quiet.place()
    quiet.cancel(order)
    publish(quiet, hint_of(quiet, order, 2))
    body = quiet.reaches(order, 2)
    publish(quiet, hint_of(quiet, order, 1))
    publish(quiet, hint_of(quiet, order, 2))
    stale = 'comanda_messages_total{queue="comanda.projector",outcome="stale"}'
    until(lambda: quiet.daemons["projector"].metric(stale, absent=0) == 2, "both are stale")
    assert quiet.document(order) == (2, body)


def test_given_a_hint_without_its_place_when_it_comes_then_the_document_has_it_all_the_same(quiet):
    order = quiet.place()
    publish(quiet, hint_of(quiet, order, 1, with_position=False))
    quiet.reaches(order, 1)
    _epoch, _tx, position, *_rest = row_of(quiet, order, 1)
    assert [row[7] for row in quiet.documents() if row[2] == str(order)] == [position]


@pytest.mark.sanitized
def test_given_a_bad_payload_in_the_log_when_projected_then_it_is_parked_and_others_go_on(whole):
    broken, before = uuid7(), whole.place()
    whole.append(broken, "order", 1, "OrderPlaced", {"customer": 7})
    after = whole.place()
    whole.reaches(before, 1)
    whole.reaches(after, 1)
    assert "cannot be read as orders" in dead_letter(whole, broken)
    assert whole.document(broken) is None


def test_given_an_unknown_event_type_when_projected_then_the_version_moves_on(whole):
    order = whole.place()
    whole.append(order, "order", 2, "OrderSung", {"by": "a newer program"})
    body = json.loads(whole.reaches(order, 2))
    assert body["status"] == "placed"


@pytest.mark.sanitized
def test_given_messages_that_are_none_when_they_come_then_they_are_dead_letters(quiet):
    order = quiet.place()
    forged = hint_of(quiet, order, 1)
    dead = quiet.broker.ready("comanda.projector.dead")
    for change in ({"sequence": "x"}, {"subject": "none"}, {"time": "yesterday"}):
        publish(quiet, {**forged, "id": str(uuid7()), **change})
    publish(quiet, forged)
    quiet.reaches(order, 1)
    until(lambda: quiet.broker.ready("comanda.projector.dead") == dead + 3, "the dead letters")
    quiet.broker.channel.queue_purge("comanda.projector.dead")


@pytest.mark.sanitized
def test_given_redis_stopped_when_events_come_then_the_read_schema_goes_on_and_no_old_one_stays(
        side):
    side.start("relay", "projector", COMANDA_REDIS_TIMEOUT="2s")
    order = side.place()
    until(lambda: side.document(order), "version 1 is stored")
    side.cache.pause()
    side.cancel(order)
    other = side.place()
    until(lambda: side.document(order) and side.document(order)[0] == 2, "version 2 is stored")
    until(lambda: side.document(other), "the other order is stored")
    until(lambda: side.database.rows("select 1 from comanda_read.cache_debt"), "the note")
    assert side.daemons["projector"].is_ready()
    side.cache.go_on()
    until(lambda: not side.database.rows("select 1 from comanda_read.cache_debt"), "it is settled")
    stale = side.cache.document(order)
    assert stale is None or stale[0] == 2
    later = []

    def cached_again():  # one whose put Redis answered too late never is
        found = [each for each in later if side.document(each) and side.cache.document(each)]
        later.append(side.place())
        return found
    until(cached_again, "a later order in both stores", every=0.3)


@pytest.mark.sanitized
def test_given_a_note_left_by_a_dead_projector_when_another_starts_then_the_cache_is_emptied(side):
    side.cache.client.set("comanda:doc:main:orders:old", "1 1 1 1 x")
    side.cache.client.set("another:key", "stays")
    side.cache.client.set("comanda:doc:other:orders:old", "red before: its tenant was not emptied")
    side.database.rows("insert into comanda_read.cache_debt values ('gone')")
    side.start("relay", "projector")
    until(lambda: side.cache.client.get("comanda:doc:main:orders:old") is None, "it is emptied")
    until(lambda: side.cache.client.get("comanda:doc:other:orders:old") is None, "of every tenant")
    assert side.cache.client.get("another:key") == b"stays"


def rebuild_until(side, before, *collections, broken):
    """Rebuilds until all documents are back: a rebuild reads what is settled, which the projector
    does not wait for, and another test's transaction may hold that."""
    def rebuilt():
        code, report = side.ctl_json("projection", "rebuild", *collections)
        assert code == 0, report
        assert {row["collection"]: row["broken"] for row in report} == broken
        return side.documents() == before
    until(rebuilt, "the same documents")


def test_given_everything_dropped_when_rebuilt_then_the_same_bytes_are_back(side, tmp_path):
    side.start("relay", "projector")
    products = tmp_path / "products.ndjson"
    products.write_text("".join(
        json.dumps({"sku": f"SKU-{n}", "name": f"Cup {n}",
                    "price": {"amount": 100 * n, "currency": "BRL"}}) + "\n"
        for n in range(1, 31)))
    assert side.ctl("product", "load", products)[0] == 0
    orders = [side.place(quantity=n + 1) for n in range(40)]
    for order in orders[::3]:
        side.cancel(order)
    side.append(orders[1], "order", 2, "OrderConfirmed", {"confirmed_at": PLACED_AT})
    until(lambda: len(side.documents()) == 70 and side.document(orders[1])[0] == 2
          and all(side.document(order)[0] == 2 for order in orders[::3]), "all are projected", 60)
    before = side.documents()

    side.cache.client.flushall()
    side.database.rows("truncate comanda_read.documents")
    side.database.rows("truncate comanda.snapshots")
    rebuild_until(side, before, broken={"orders": 0, "products": 0})
    rebuild_until(side, before, "orders", broken={"orders": 0})
    side.cancel(orders[2])
    side.reaches(orders[2], 2)


def test_given_a_broken_event_when_rebuilt_then_it_is_counted_and_the_rest_is_there(side):
    broken, sound = uuid7(), side.place()
    side.append(broken, "order", 1, "OrderPlaced", {})

    def rebuilt():  # a rebuild reads what is settled, and another test's transaction may hold that
        code, report = side.ctl_json("projection", "rebuild", "orders")
        return report[0] if code == 1 else None
    report = until(rebuilt, "the broken event is met")
    assert report["broken"] == 1 and "OrderPlaced" in report["first_cause"]
    assert side.document(sound) and not side.document(broken)


def test_given_two_projectors_one_killed_again_and_again_then_every_document_is_there(side):
    side.start("relay", "projector")
    second = Daemon("projector", side.folder, COMANDA_POSTGRES=side.database.conninfo,
                    COMANDA_AMQP=side.broker.url, COMANDA_REDIS=side.cache.address)
    orders = []
    for _round in range(3):
        for _each in range(15):
            order = side.place()
            side.cancel(order)
            orders.append(order)
        side.end("projector", signal.SIGKILL)
        side.start("projector")
    until(lambda: side.database.rows(
        "select count(*) from comanda_read.documents where version = 2")[0][0] == len(orders),
        "every order", 90)
    second.stop(signal.SIGKILL)
    before = side.documents()
    side.database.rows("truncate comanda_read.documents")
    rebuild_until(side, before, broken={"orders": 0, "products": 0})


@pytest.mark.sanitized
def test_given_a_document_that_postgres_refuses_when_projected_then_it_alone_is_parked(quiet):
    long_name = "".join(str(uuid7()) for _ in range(200))  # too long for an index, whatever it packs
    orders = [quiet.place() for _ in range(5)]
    refused = uuid7()
    quiet.append(refused, "order", 1, "OrderPlaced", {**placed(), "customer": long_name})
    for order in orders[:3] + [refused] + orders[3:]:
        publish(quiet, hint_of(quiet, order, 1))
    for order in orders:
        quiet.reaches(order, 1)
    assert "refuses the document" in dead_letter(quiet, refused)
    quiet.database.rows("truncate comanda_read.documents")

    def rebuilt():  # reads what is settled
        code, report = quiet.ctl_json("projection", "rebuild", "orders")
        return report[0] if code == 1 else None
    report = until(rebuilt, "the refused document is met")
    assert report["broken"] == 1 and "refuses the document" in report["first_cause"]
    assert all(quiet.document(order) for order in orders) and not quiet.document(refused)


@pytest.mark.sanitized
def test_given_postgres_refuses_when_messages_come_then_they_wait_and_none_is_lost(quiet):
    order = quiet.place()
    quiet.database.rows("alter table comanda_read.documents rename to documents_away")
    publish(quiet, hint_of(quiet, order, 1))
    dead = quiet.broker.ready("comanda.projector.dead")
    time.sleep(1)
    assert quiet.broker.ready("comanda.projector.dead") == dead
    quiet.database.rows("alter table comanda_read.documents_away rename to documents")
    quiet.reaches(order, 1, timeout=60)
