# SPDX-License-Identifier: Apache-2.0
"""docs/http.md, Status and sandbox marks: every way an order ends, in the log and at the provider."""
import json
import os
import signal

import pytest

from books import CONFIRMED, Books, assert_undone, books_of, derived
from shop import PATIENCE_S, an_order, assert_document, assert_problem, until

AUTHORIZED_AND_VOIDED = {"payment": ["PaymentAuthorized", "PaymentVoided"],
                         "provider": ["authorize done", "void done"]}
# Nothing was authorised, and the provider remembers that nothing may be.
NEVER_AUTHORIZED = Books(payment=["PaymentVoided"], provider=["void tombstone"])
RELEASED = ["ReservationMade", "ReservationReleased"]


def events_of(log, order_id):
    return [row[0] for row in log("select type from comanda.events where stream_id = %s and "
                                  "kind = 'event' order by version", order_id)]


def stock_moves(log, order_id):
    """What the request that placed the order has moved: type, SKU and quantity."""
    return log("select type, (select r.data->>'sku' from comanda.events r where "
               "r.stream_id = e.stream_id and r.type = 'StockReceived' limit 1), "
               "(data->>'quantity')::int from comanda.events e "
               "where category = 'stock_item' and kind = 'event' and meta->>'correlation_id' = "
               "(select meta->>'correlation_id' from comanda.events "
               "where stream_id = %s and version = 1) order by position", order_id)


@pytest.fixture
def books(log):
    """What the log and the parties keep of one order."""
    return lambda order: books_of(log, [order["id"]])[order["id"]]


def rejected(customer, code, **changes):
    order = customer.wait(customer.placed(an_order(**changes))["id"])
    assert order["status"] == "rejected", order
    assert order["rejection"]["code"] == code, order
    assert_document(order)
    return order


def test_confirmed_means_captured_once_reserved_and_scheduled(ana, log, books):
    order = ana.wait(ana.placed(an_order("SKU-11", 3))["id"])
    assert order["status"] == "confirmed"
    assert events_of(log, order["id"]) == ["OrderPlaced", "OrderConfirmed"]
    until(lambda: "ReservationCommitted" in books(order).reservation,
          "the reservation is committed")
    assert books(order) == CONFIRMED
    assert stock_moves(log, order["id"]) == [("StockReserved", "SKU-11", 3),
                                             ("StockCommitted", "SKU-11", 3)]


def test_short_stock_rejects_and_voids_the_payment(ana, books):
    order = rejected(ana, "stock_short", sku="SKU-SHORT", quantity=1)
    assert books(order) == Books(**AUTHORIZED_AND_VOIDED, reservation=["ReservationRefused"])


def test_short_stock_of_one_line_reserves_none_of_the_others(ana, log, books):
    lines = [{"sku": "SKU-12", "quantity": 5}, {"sku": "SKU-SHORT", "quantity": 1}]
    order = rejected(ana, "stock_short", lines=lines)
    assert stock_moves(log, order["id"]) == []
    assert books(order) == Books(**AUTHORIZED_AND_VOIDED, reservation=["ReservationRefused"])


def test_a_declined_card_rejects(ana, books):
    order = rejected(ana, "payment_declined", token="tok_declined")
    assert books(order) == Books(payment=["PaymentDeclined"], provider=["authorize refused"])


def test_a_capture_that_fails_rejects_and_undoes_everything(ana, log, books):
    order = rejected(ana, "payment_declined", sku="SKU-14", quantity=4, token="tok_capture_fails")
    assert books(order) == Books(
        payment=["PaymentAuthorized", "PaymentVoided"], reservation=RELEASED,
        shipment=["ShipmentScheduled", "ShipmentCancelled"],
        provider=["authorize done", "capture refused", "void done"],
        carrier=["schedule done", "cancel done"])
    assert stock_moves(log, order["id"]) == [("StockReserved", "SKU-14", 4),
                                             ("StockReleased", "SKU-14", 4)]


def test_a_carrier_that_refuses_rejects(ana, books):
    address = dict(an_order()["ship_to"], postal_code="00000-000")
    order = rejected(ana, "shipment_refused", ship_to=address)
    assert books(order) == Books(**AUTHORIZED_AND_VOIDED, reservation=RELEASED,
                                 shipment=["ShipmentRefused"], carrier=["schedule refused"])


def timed_out(demo, customer, token):
    order = customer.wait(demo.slow[token], 90 + PATIENCE_S)
    assert order["status"] == "rejected" and order["rejection"]["code"] == "timed_out", order
    return order


def test_a_silent_provider_ends_by_the_steps_timeout(demo, ana, books):
    assert books(timed_out(demo, ana, "tok_silent")) == NEVER_AUTHORIZED


def test_a_late_answer_changes_nothing_any_more(demo, ana, books):
    order = timed_out(demo, ana, "tok_late")
    assert books(order) == Books(payment=["PaymentVoided"],
                                 provider=["authorize done", "void done"])


def test_a_cancelled_order_holds_nothing(ana, log, books):
    order = ana.placed(an_order("SKU-13", 2, token="tok_silent"))
    assert ana.cancel(order["id"]).status_code == 202
    assert ana.wait(order["id"], 90)["status"] == "cancelled"
    assert events_of(log, order["id"]) == ["OrderPlaced", "OrderCancelRequested", "OrderCancelled"]
    assert books(order) in (NEVER_AUTHORIZED, Books())  # Books(): it came before the saga began


def wait_for_command(log, order, step):
    """Until the order's saga has sent the command of the step."""
    until(lambda: log("select 1 from comanda.events where stream_id = %s and kind = 'command' and "
                      "data->>'step' = %s", derived(order["id"], "saga:order_fulfilment"), step),
          f"{step} is sent")


def wait_until_published(log, order):
    until(lambda: not log("select 1 from comanda.outbox where stream_id = %s", order["id"]),
          "the broker has all events of the order")


def cancelled_while(demo, customer, log, name, step=None, undo=None):
    """An order that is cancelled while one daemon stands still, and so the saga waits for it. It
    goes on when the cancellation has come to the saga's queue, or the saga has turned back."""
    stopped = demo.pid(name)
    os.kill(stopped, signal.SIGSTOP)
    try:
        order = customer.placed(an_order("SKU-15", 2))
        if step:
            wait_for_command(log, order, step)
        answer = customer.cancel(order["id"])
        assert answer.status_code == 202 and answer.json()["status"] == "cancelling"
        if undo:
            wait_for_command(log, order, undo)
        else:
            wait_until_published(log, order)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert customer.wait(order["id"])["status"] == "cancelled"
    assert events_of(log, order["id"]) == ["OrderPlaced", "OrderCancelRequested", "OrderCancelled"]
    return order


def test_cancelled_before_the_saga_has_begun_nothing_is_reserved(demo, ana, log, books):
    book = books(cancelled_while(demo, ana, log, "saga"))
    assert_undone(book)
    assert book.reservation == [] and book.shipment == []


def test_cancelled_while_the_stock_is_being_reserved_it_is_released(demo, ana, log, books):
    book = books(cancelled_while(demo, ana, log, "inventory", "reserve", "release"))
    assert book == Books(**AUTHORIZED_AND_VOIDED, reservation=RELEASED)


def test_cancelled_while_the_shipment_is_being_scheduled_it_is_cancelled(demo, ana, log, books):
    book = books(cancelled_while(demo, ana, log, "shipping", "schedule", "unschedule"))
    assert book == Books(**AUTHORIZED_AND_VOIDED, reservation=RELEASED,
                         shipment=["ShipmentScheduled", "ShipmentCancelled"],
                         carrier=["schedule done", "cancel done"])


def test_cancelled_after_the_end_it_stays_confirmed(ana, log, books):
    order = ana.wait(ana.placed()["id"])
    assert_problem(ana.cancel(order["id"]), 409, "order-not-cancellable")
    until(lambda: books(order) == CONFIRMED, "it is what a confirmed order must be")
    assert events_of(log, order["id"]) == ["OrderPlaced", "OrderConfirmed"]


def test_an_operator_aborts_a_silent_order(ana, ctl, log, books):
    order = ana.placed(an_order(token="tok_silent"))
    wait_for_command(log, order, "authorize")
    ctl("saga", "abort", order["id"])
    ended = ana.wait(order["id"])
    assert ended["status"] == "rejected" and ended["rejection"]["code"] == "aborted"
    assert_undone(books(order))


def test_loading_the_same_stock_twice_counts_once(ctl, log, tmp_path):
    stock = tmp_path / "stock.ndjson"
    sku = "SKU-1"
    stock.write_text(json.dumps({"sku": sku, "quantity": 17}) + "\n")

    def received():
        return log("select coalesce(sum((data->>'quantity')::bigint), 0) from comanda.events "
                   "where type = 'StockReceived' and data->>'sku' = %s", sku)[0][0]

    before = received()
    ctl("stock", "load", str(stock))
    ctl("stock", "load", str(stock))
    assert received() - before == 17


def test_streams_have_no_gaps_and_events_no_twins(ana, log):
    ana.wait(ana.placed()["id"])
    assert log("select stream_id from comanda.events group by stream_id "
               "having max(version) <> count(*) or min(version) <> 1") == []
    assert log("select event_id from comanda.events group by event_id having count(*) > 1") == []


# ---- Metrics -------------------------------------------------------------------------------------

NAMES = ["comanda_commands_total", "comanda_batch_commands_bucket", "comanda_batch_seconds_bucket",
         "comanda_queue_length", "comanda_shed_total", "comanda_shed_backlog_total",
         "comanda_backlog_age_seconds", "comanda_rate_limited_total",
         "comanda_relay_lag_events", "comanda_log_horizon_age_seconds", "comanda_messages_total",
         "comanda_sagas_total", "comanda_dead_letters", "comanda_unrouted_total"]


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_of_the_contract_is_there(metrics, name):
    def is_there():
        return any(line.startswith((name + "{", name + " ")) for line in metrics().splitlines())
    until(is_there, name)


def test_commands_and_sagas_are_counted_by_outcome(ana, metrics):
    ana.wait(ana.placed()["id"])
    wanted = ('comanda_commands_total{command="ordering.place_order",outcome="',
              'comanda_sagas_total{outcome="',
              'comanda_messages_total{queue="comanda.payment",outcome="')
    for series in wanted:
        until(lambda: series in metrics(), series)
