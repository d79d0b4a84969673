# SPDX-License-Identifier: Apache-2.0
"""The saga on real servers: every branch, silence and late answers, cancellations, daemons that die."""
import json
import os
import pathlib
import signal
import subprocess
import time

import pika
import pytest

from daemon import BUILD, Database, until, uuid7
from fulfilment import DAEMONS, SAGAS, Shop, Vhost, derived, named, placed, saga_of

FORWARD = [("authorize", "forward", 1), ("reserve", "forward", 1), ("schedule", "forward", 1),
           ("capture", "forward", 1), ("confirm", "forward", 1), ("commit", "forward", 1)]
HASTY = {"COMANDA_SAGA_TIMEOUT": "2s", "COMANDA_SAGA_ATTEMPTS": 2, "COMANDA_RETRY_1": "1s",
         "COMANDA_RETRY_2": "2s", "COMANDA_RETRY_3": "2s", "COMANDA_EFFECT_TIMEOUT": "500ms",
         "COMANDA_TIMER_CLAIM": "2s", "COMANDA_SAGA_PATIENCE": "5s"}
PATIENT = {"COMANDA_SAGA_TIMEOUT": "120s", "COMANDA_RETRY_3": "400s", "COMANDA_EFFECT_TIMEOUT": "30s"}


def open_shop(folder, **settings):
    shop = Shop(Database(), Vhost(), folder, **settings)
    shop.stock("SKU-1", 1000)
    return shop


def close_shop(shop):
    shop.stop()
    shop.broker.drop()
    shop.database.drop()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Patient: a step may take two minutes before it is asked again, and a ladder longer."""
    made = open_shop(tmp_path_factory.mktemp("patient"), **PATIENT).start(*DAEMONS)
    yield made
    made.stop_in_order()
    close_shop(made)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    """A step is asked twice, two seconds each."""
    made = open_shop(tmp_path_factory.mktemp("hasty"), **HASTY).start(*DAEMONS)
    yield made
    close_shop(made)


@pytest.fixture
def bare(tmp_path):
    """Patient, and nothing runs yet."""
    made = open_shop(tmp_path)
    yield made
    close_shop(made)


@pytest.fixture
def bare_hasty(tmp_path):
    """For tests of silence: its steps give up within seconds, whatever the machine is busy with."""
    made = open_shop(tmp_path, **HASTY)
    yield made
    close_shop(made)


def stock(shop, sku="SKU-1"):
    """Events of the stock item by type."""
    found = shop.types(named("main", "stock_item", sku))
    return {kind: found.count(kind) for kind in set(found)}


# --- the branches

@pytest.mark.sanitized
def test_an_order_goes_its_whole_way(shop):
    order = shop.place()
    assert shop.ended(order) == "OrderConfirmed"
    assert shop.commands(order) == FORWARD
    assert shop.types(saga_of(order)) == ["SagaStarted"] + ["SagaAdvanced"] * 5 + ["SagaCompleted"]
    assert shop.types(derived(order, "payment")) == ["PaymentAuthorized", "PaymentCaptured"]
    assert shop.types(derived(order, "reservation")) == ["ReservationMade", "ReservationCommitted"]
    assert shop.types(derived(order, "shipment")) == ["ShipmentScheduled"]
    assert shop.journal(derived(order, "payment")) == [("authorize", "done"), ("capture", "done")]


def test_its_rows_tell_where_they_come_from(shop):
    order = shop.place()
    shop.ended(order)
    rows = shop.database.rows(
        "select kind, meta->>'correlation_id', meta->>'actor', meta->>'route', meta->>'causation_id'"
        " from comanda.events where stream_id = %s order by version", str(saga_of(order)))
    assert {row[1] for row in rows} == {"c-1"}
    assert {row[2] for row in rows} == {"saga:order_fulfilment"}
    assert [row[3] for row in rows if row[0] == "command"][0] == "payments.authorize_payment"
    ids = {row[0] for row in shop.database.rows("select event_id::text from comanda.events")}
    assert {row[4] for row in rows} <= ids


def test_no_timer_is_left_when_it_ends(shop):
    order = shop.place()
    shop.ended(order)
    assert not shop.database.rows("select 1 from comanda.timers where saga_id = %s",
                                  str(saga_of(order)))


@pytest.mark.sanitized
def test_short_stock_voids_the_payment(shop):
    order = shop.place(sku="SKU-NONE")
    assert shop.ended(order) == "OrderRejected"
    assert shop.rejection(order) == "stock_short"
    assert shop.commands(order) == FORWARD[:2] + [("void", "compensate", 1),
                                                  ("reject", "compensate", 1)]
    assert shop.journal(derived(order, "payment")) == [("authorize", "done"), ("void", "done")]


def test_a_declined_card_rejects_at_once(shop):
    order = shop.place(token="tok_declined")
    assert shop.ended(order) == "OrderRejected"
    assert shop.rejection(order) == "payment_declined"
    assert shop.commands(order) == FORWARD[:1] + [("reject", "compensate", 1)]


@pytest.mark.sanitized
def test_a_refusing_carrier_releases_and_voids_in_reverse(shop):
    before = stock(shop)
    order = shop.place(postal_code="00000-000")
    assert shop.ended(order) == "OrderRejected"
    assert shop.rejection(order) == "shipment_refused"
    assert shop.commands(order) == FORWARD[:3] + [
        ("release", "compensate", 1), ("void", "compensate", 1), ("reject", "compensate", 1)]
    after = stock(shop)
    assert after["StockReleased"] == before.get("StockReleased", 0) + 1


@pytest.mark.sanitized
def test_a_failing_capture_undoes_everything(shop):
    order = shop.place(token="tok_capture_fails")
    assert shop.ended(order) == "OrderRejected"
    assert shop.rejection(order) == "payment_declined"
    assert shop.commands(order) == FORWARD[:4] + [
        ("unschedule", "compensate", 1), ("release", "compensate", 1), ("void", "compensate", 1),
        ("reject", "compensate", 1)]
    assert ("cancel", "done") in shop.journal(derived(order, "shipment"))


# --- silence

@pytest.mark.sanitized
def test_a_silent_provider_times_out_and_is_undone(hasty):
    order = hasty.place(token="tok_silent")
    assert hasty.ended(order, 60) == "OrderRejected"
    assert hasty.rejection(order) == "timed_out"
    assert hasty.commands(order)[:3] == [("authorize", "forward", 1), ("authorize", "forward", 2),
                                         ("void", "compensate", 1)]
    assert "PaymentAuthorized" not in hasty.types(derived(order, "payment"))


@pytest.mark.sanitized
def test_a_late_success_is_undone_and_its_reply_ignored(hasty):
    order = hasty.place(token="tok_late")
    assert hasty.ended(order, 60) == "OrderRejected"
    journal = hasty.journal(derived(order, "payment"))
    assert journal.count(("authorize", "done")) == journal.count(("void", "done")), journal
    assert hasty.types(derived(order, "payment"))[-1] == "PaymentVoided"


# --- cancellations, before, during and after

def test_a_cancellation_before_the_saga_has_begun(bare):
    order = bare.place()
    bare.cancel(order)
    bare.start(*DAEMONS)
    assert bare.ended(order) == "OrderCancelled"
    payment = bare.journal(derived(order, "payment"))
    assert payment.count(("capture", "done")) == payment.count(("refund", "done"))


def test_a_cancellation_while_the_stock_is_being_reserved(bare):
    bare.start("relay", "saga", "payment", "shipping")
    order = bare.place()
    until(lambda: ("reserve", "forward", 1) in bare.commands(order), "reserve is out")
    bare.cancel(order)
    until(lambda: ("release", "compensate", 1) in bare.commands(order), "the saga turns back")
    bare.start("inventory")
    assert bare.ended(order) == "OrderCancelled"
    assert bare.types(derived(order, "payment"))[-1] == "PaymentVoided"
    counts = stock(bare)
    assert counts.get("StockReserved", 0) == counts.get("StockReleased", 0)


def test_a_cancellation_after_capture_that_confirm_meets_is_refunded(bare):
    """The cancellation is in the order's stream, but the saga has not heard of it."""
    bare.start("relay", "saga", "payment", "inventory")
    order = bare.place()
    until(lambda: ("schedule", "forward", 1) in bare.commands(order), "schedule is out")
    bare.end("relay")
    bare.append(order, "order", 2, "OrderCancelRequested",
                {"reason": "too late?", "requested_at": "2026-11-24T06:52:25.123Z"},
                event_id := uuid7())
    # As if the event lay in the dead letters.
    bare.database.rows("insert into comanda.inbox (consumer, message_id) values ('saga', %s)",
                       str(event_id))
    bare.start("relay", "shipping")
    assert bare.ended(order) == "OrderCancelled"
    assert ("confirm", "forward", 1) in bare.commands(order)
    assert bare.types(derived(order, "payment")) == ["PaymentAuthorized", "PaymentCaptured",
                                                     "PaymentRefunded"]
    assert bare.journal(derived(order, "payment")).count(("refund", "done")) == 1


# --- operators

def silent_to_the_end(shop):
    """An order whose payment daemon is away and whose commands are lost: its saga is parked."""
    order = shop.place()
    until(lambda: "SagaParked" in shop.types(saga_of(order)), "it is parked", 120)
    until(lambda: shop.broker.ready("comanda.payment") == len(shop.commands(order)),
          "each of its commands is on its way")
    shop.broker.channel.queue_purge("comanda.payment")
    return order


def test_a_parked_saga_is_counted_and_goes_on_by_itself_when_the_answer_comes(bare_hasty):
    bare_hasty.start("relay", "saga", "inventory", "shipping")
    order = bare_hasty.place()
    until(lambda: "SagaParked" in bare_hasty.types(saga_of(order)), "it is parked", 120)
    assert bare_hasty.database.rows("select comanda.sagas_parked(5)")[0][0] == 1
    until(lambda: bare_hasty.daemons["saga"].metric('comanda_sagas_total{outcome="parked"}',
                                                    absent=0) == 1, "it is counted")
    bare_hasty.start("payment")
    assert bare_hasty.ended(order) == "OrderRejected"
    assert bare_hasty.rejection(order) == "timed_out"
    assert bare_hasty.database.rows("select comanda.sagas_parked(5)")[0][0] == 0


def test_an_operator_retries_a_parked_saga(bare_hasty):
    bare_hasty.start("relay", "saga", "inventory", "shipping")
    order = silent_to_the_end(bare_hasty)
    bare_hasty.start("payment")
    code, text = bare_hasty.ctl("saga", "retry", saga_of(order))
    assert code == 0, text
    assert bare_hasty.ended(order) == "OrderRejected"
    ids = [row[0] for row in bare_hasty.database.rows(
        "select event_id::text from comanda.events where stream_id = %s and kind = 'command'",
        str(saga_of(order)))]
    assert str(derived(saga_of(order), "void:compensate:1:r1")) in ids


@pytest.mark.sanitized
def test_an_operator_aborts_before_confirm_and_not_after(bare):
    bare.start("relay", "saga", "payment", "shipping")
    order = bare.place()
    until(lambda: ("reserve", "forward", 1) in bare.commands(order), "reserve is out")
    code, text = bare.ctl("saga", "abort", saga_of(order))
    assert code == 0, text
    bare.start("inventory")
    assert bare.ended(order) == "OrderRejected"
    assert bare.rejection(order) == "aborted"
    code, text = bare.ctl("saga", "abort", saga_of(order))
    assert code != 0 and "ended" in text


# --- daemons that die, and two at once

def test_a_wrong_clock_sets_no_deadline_wrong(bare):
    """A saga daemon an hour behind: PostgreSQL would call each of its deadlines long past."""
    bare.start("relay")
    bare.start("saga", LD_PRELOAD=next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")),
               FAKETIME="-1h", FAKETIME_DONT_FAKE_MONOTONIC=1)
    order = bare.place()
    until(lambda: bare.commands(order), "the first command")
    assert bare.database.rows("select 1 from comanda.timers where saga_id = %s and due between"
                              " clock_timestamp() and clock_timestamp() + interval '20 seconds'",
                              str(saga_of(order)))
    assert "NTP" in bare.daemons["saga"].log_path.read_text()


def test_timers_outlive_a_saga_daemon_that_is_killed(bare_hasty):
    bare_hasty.start("relay", "saga", "inventory", "shipping")
    order = bare_hasty.place()
    until(lambda: bare_hasty.commands(order), "authorize is out")
    bare_hasty.end("saga", signal.SIGKILL)
    bare_hasty.start("saga")
    until(lambda: ("void", "compensate", 1) in bare_hasty.commands(order), "its patience ends")
    bare_hasty.start("payment")
    assert bare_hasty.ended(order) in ("OrderConfirmed", "OrderRejected")


@pytest.mark.sanitized
def test_two_saga_daemons_and_kills_in_the_middle_lose_and_double_nothing(shop):
    second = Shop(shop.database, shop.broker, shop.folder, **shop.settings).start("saga")
    orders = [shop.place() for _ in range(12)]
    second.end("saga", signal.SIGKILL)
    second.start("saga")
    orders += [shop.place() for _ in range(12)]
    shop.end("saga", signal.SIGKILL)
    shop.start("saga")
    for order in orders:
        assert shop.ended(order, 60) == "OrderConfirmed"
        assert shop.journal(derived(order, "payment")).count(("capture", "done")) == 1
    second.stop()


def test_an_order_without_a_saga_is_found(bare):
    order = bare.place()
    older = "select missing, example::text from comanda.sagas_missing('order', '{OrderPlaced}'," \
            " 'saga:order_fulfilment', %s, '1 hour')"
    assert bare.database.rows(older, "1 minute") == [(0, None)]
    time.sleep(1.1)
    assert bare.database.rows(older, "1 second") == [(1, str(order))]
    bare.start("relay", "saga")
    until(lambda: bare.types(saga_of(order)), "its saga starts")
    assert bare.database.rows(older, "1 second") == [(0, None)]


# --- what comes in wrong

def event_of(order, **changes):
    event = {"specversion": "1.0", "id": str(uuid7()), "source": "/comanda/main/order",
             "type": "OrderPlaced", "subject": str(order), "time": "2026-11-24T06:52:25.123Z",
             "datacontenttype": "application/json", "sequence": "1", "correlationid": "c-1",
             "tenant": "main", "category": "order", "kind": "event", "schemaversion": 1,
             "data": placed()}
    event.update(changes)
    return event


def dead_letter(shop, event, exchange, key):
    shop.broker.channel.basic_publish(
        exchange, key, json.dumps(event).encode(),
        pika.BasicProperties(content_type="application/cloudevents+json", message_id=event["id"]))
    headers, body = until(lambda: shop.broker.get("comanda.saga.dead"), "a dead letter")
    assert json.loads(body)["id"] == event["id"]
    return json.dumps({name: str(value) for name, value in headers.items()})


@pytest.mark.sanitized
def test_poison_goes_to_the_dead_letters_with_its_cause_and_stops_nothing(shop):
    lacking = placed()
    del lacking["ship_to"]
    cause = dead_letter(shop, event_of(uuid7(), data=lacking), "comanda.events",
                        "order.OrderPlaced")
    assert "$.ship_to" in cause
    reply = event_of(uuid7(), kind="reply", category="reply", type="ok",
                     data={"saga_id": "none", "outcome": "ok"})
    cause = dead_letter(shop, reply, "comanda.replies", "order_fulfilment.ok")
    assert "data.saga_id" in cause
    order = shop.place()
    assert shop.ended(order) == "OrderConfirmed"


@pytest.mark.parametrize("change, told", [
    (('"payments.void_payment"', '"payments.unpay_payment"'), "/steps/0/compensation/command"),
    (('"attempts": 3', '"attempts": 0'), "/attempts"),
    (('"$.ship_to"', '"$.address"'), "/steps/2/payload"),
    (('"timeout_s": 20', '"timeout_s": 40'), "ladder"),
    (('"version": 1,', '"version": 1'), "line 4"),
])
def test_a_wrong_definition_stops_the_daemon_and_names_file_and_place(tmp_path, change, told):
    with open(os.path.join(SAGAS, "order_fulfilment.json"), encoding="utf-8") as file:
        text = file.read()
    assert change[0] in text
    (tmp_path / "mine.json").write_text(text.replace(change[0], change[1]), encoding="utf-8")
    environment = dict(os.environ, COMANDA_POSTGRES="host=127.0.0.1 dbname=x",
                       COMANDA_AMQP="amqp://a:b@127.0.0.1:1/x", COMANDA_SAGAS=str(tmp_path))
    run = subprocess.run([BUILD / "bin/comanda-saga", "--check"], env=environment,
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "mine.json" in run.stderr and told in run.stderr, run.stderr


def test_an_order_that_has_been_without_a_saga_for_hours_is_still_told(bare_hasty):
    bare_hasty.start("relay", "saga")  # for the queues; what comes then is never published
    bare_hasty.end("relay")
    bare_hasty.end("saga")
    born = int((time.time() - 5 * 3600) * 1000)
    order = uuid7(born)
    bare_hasty.database.rows(
        "insert into comanda.events (recorded_at, epoch, tenant, category, stream_id, version,"
        " event_id, kind, type, schema_version, data, meta) select now() - interval '5 hours', epoch,"
        " 'main', 'order', %s, 1, %s, 'event', 'OrderPlaced', 1, %s, '{}' from comanda.log",
        str(order), str(uuid7(born)), json.dumps(placed()))
    young = "select count(*) from comanda.events where recorded_at > now() - interval '2500 ms'"
    until(lambda: bare_hasty.database.rows(young) == [(0,)], "what was placed before is old enough")
    bare_hasty.database.rows("update comanda.saga_watch set due_at = '-infinity'")
    bare_hasty.start("saga")
    until(lambda: bare_hasty.daemons["saga"].metric("comanda_sagas_missing", absent=0) == 1, "it is told")
