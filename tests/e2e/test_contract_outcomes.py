# SPDX-License-Identifier: Apache-2.0
"""docs/http.md, Status and sandbox marks: every way an order ends, in the log and at the provider."""
import json

import pytest

from shop import an_order, assert_document


def events_of(log, order_id):
    return [row[0] for row in log("select type from comanda.events where stream_id = %s and "
                                  "kind = 'event' order by version", order_id)]


def journal_of(log, order_id, party):
    """What really happened at the provider or carrier for this order."""
    return log("select j.operation, j.outcome from sandbox.journal j where j.party = %s and "
               "split_part(j.key, ':', 1)::uuid in (select stream_id from comanda.events "
               "where meta->>'correlation_id' = (select meta->>'correlation_id' "
               "from comanda.events where stream_id = %s and version = 1)) "
               "order by j.recorded_at", party, order_id)


def rejected(customer, seconds=15, **changes):
    order = customer.wait(customer.placed(an_order(**changes))["id"], seconds)
    assert order["status"] == "rejected", order
    assert_document(order)
    return order


def test_confirmed_means_captured_once_reserved_and_scheduled(ana, log):
    order = ana.wait(ana.placed(an_order("SKU-11", 3))["id"])
    assert order["status"] == "confirmed"
    assert events_of(log, order["id"]) == ["OrderPlaced", "OrderConfirmed"]
    done = [operation for operation, outcome in journal_of(log, order["id"], "payment_provider")
            if outcome == "done"]
    assert done == ["authorize", "capture"]


def test_short_stock_rejects_and_voids_the_payment(ana, log):
    order = rejected(ana, sku="SKU-SHORT", quantity=1)
    assert order["rejection"]["code"] == "stock_short"
    done = [operation for operation, outcome in journal_of(log, order["id"], "payment_provider")
            if outcome == "done"]
    assert done[0] == "authorize" and "capture" not in done and len(done) == 2


def test_short_stock_of_one_line_reserves_none_of_the_others(ana, log):
    lines = [{"sku": "SKU-12", "quantity": 5}, {"sku": "SKU-SHORT", "quantity": 1}]
    order = ana.wait(ana.placed(an_order(lines=lines))["id"])
    assert order["rejection"]["code"] == "stock_short"


def test_a_declined_card_rejects(ana):
    assert rejected(ana, token="tok_declined")["rejection"]["code"] == "payment_declined"


def test_a_capture_that_fails_rejects_and_undoes_everything(ana, log):
    order = rejected(ana, token="tok_capture_fails")
    assert order["rejection"]["code"] == "payment_declined"
    done = [operation for operation, outcome in journal_of(log, order["id"], "payment_provider")
            if outcome == "done"]
    assert "capture" not in done


def test_a_carrier_that_refuses_rejects(ana):
    address = dict(an_order()["ship_to"], postal_code="00000-000")
    order = rejected(ana, ship_to=address)
    assert order["rejection"]["code"] == "shipment_refused"


def timed_out(demo, customer, token):
    order = customer.wait(demo.slow[token], 90)
    assert order["status"] == "rejected" and order["rejection"]["code"] == "timed_out", order
    return order


def test_a_silent_provider_ends_by_the_steps_timeout(demo, ana):
    timed_out(demo, ana, "tok_silent")


def test_a_late_answer_changes_nothing_any_more(demo, ana, log):
    order = timed_out(demo, ana, "tok_late")
    done = [operation for operation, outcome in journal_of(log, order["id"], "payment_provider")
            if outcome == "done"]
    assert done[0] == "authorize" and "capture" not in done


def test_a_cancelled_order_holds_nothing(ana, log):
    order = ana.placed(an_order("SKU-13", 2, token="tok_silent"))
    assert ana.cancel(order["id"]).status_code == 202
    assert ana.wait(order["id"], 90)["status"] == "cancelled"
    assert events_of(log, order["id"]) == ["OrderPlaced", "OrderCancelRequested", "OrderCancelled"]


def test_an_operator_aborts_a_silent_order(ana, ctl):
    order = ana.placed(an_order(token="tok_silent"))
    ctl("saga", "abort", order["id"])
    ended = ana.wait(order["id"], 30)
    assert ended["status"] == "rejected" and ended["rejection"]["code"] == "aborted"


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
         "comanda_queue_length", "comanda_shed_total", "comanda_rate_limited_total",
         "comanda_relay_lag_events", "comanda_log_horizon_age_seconds", "comanda_messages_total",
         "comanda_sagas_total", "comanda_dead_letters", "comanda_unrouted_total"]


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_of_the_contract_is_there(metrics, name):
    assert any(line.startswith((name + "{", name + " ")) for line in metrics().splitlines()), name


def test_commands_and_sagas_are_counted_by_outcome(ana, metrics):
    ana.wait(ana.placed()["id"])
    page = metrics()
    assert 'comanda_commands_total{command="ordering.place_order",outcome="' in page
    assert 'comanda_sagas_total{outcome="' in page
    assert 'comanda_messages_total{queue="comanda.payment",outcome="' in page
