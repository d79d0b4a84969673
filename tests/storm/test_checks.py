# SPDX-License-Identifier: Apache-2.0
"""Each check of the storm turned red: a whole history of three orders, and in it one planted fault."""
import copy
import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "e2e", HERE.parents[1] / "scripts"):
    sys.path.insert(0, str(folder))

# pylint: disable=wrong-import-position
import checks  # noqa: E402
from books import derived  # noqa: E402
from clients import Command, Told  # noqa: E402
from history import Event, History  # noqa: E402
from killer import schedule  # noqa: E402

CONFIRMED = "01a00000-0000-7000-8000-000000000001"
REJECTED = "01a00000-0000-7000-8000-000000000002"
CANCELLED = "01a00000-0000-7000-8000-000000000003"
STOCK = "80000000-0000-8000-8000-000000000001"
LINES = [{"sku": "SKU-1", "quantity": 2, "unit_price": 500, "total": 1000}]
ORDERS = {
    CONFIRMED: ("ok", ["OrderPlaced", "OrderConfirmed"]),
    REJECTED: ("declined", ["OrderPlaced", "OrderRejected"]),
    CANCELLED: ("ok", ["OrderPlaced", "OrderCancelRequested", "OrderCancelled"]),
}
PARTS = {
    CONFIRMED: {"payment": ["PaymentAuthorized", "PaymentCaptured"],
                "reservation": ["ReservationMade", "ReservationCommitted"],
                "shipment": ["ShipmentScheduled"]},
    REJECTED: {"payment": ["PaymentDeclined"], "reservation": [], "shipment": []},
    CANCELLED: {"payment": ["PaymentAuthorized", "PaymentVoided"],
                "reservation": ["ReservationMade", "ReservationReleased"], "shipment": []},
}
JOURNAL = {
    CONFIRMED: [("payment", "authorize", "done"), ("payment", "capture", "done"),
                ("shipment", "schedule", "done")],
    REJECTED: [("payment", "authorize", "refused")],
    CANCELLED: [("payment", "authorize", "done"), ("payment", "void", "done")],
}
MOVES = ["StockReceived 10", "StockReserved 2", "StockReserved 2", "StockCommitted 2",
         "StockReleased 2"]
FACTS = {"attempts": 3, "not_quiet": [], "dead_letters": {}}


class Book:
    """Writes rows as the log has them."""

    def __init__(self):
        self.events = []
        self.versions = {}

    def add(self, stream, category, name, data=None, kind="event", meta=None, at=None):
        version = self.versions[stream] = self.versions.get(stream, 0) + 1
        number = len(self.events) + 1
        self.events.append(Event(number, stream, version, f"event-{number}", "main", category, kind,
                                 name, data or {}, meta or {}, float(at or number)))
        return f"event-{number}"

    def order(self, order, kinds):
        meta = {"correlation_id": f"correlation-{order}"}
        for name in kinds:
            data = {checks.MOMENTS[name]: "2026-01-01T00:00:00.000Z"}
            if name == "OrderPlaced":
                data.update(customer="ana", currency="BRL", lines=LINES, total=1000, ship_to={})
            if name == "OrderRejected":
                data.update(code="payment_declined", detail="declined")
            self.add(order, "order", name, data, meta=meta)

    def saga(self, order):
        stream = derived(order, checks.SAGA)
        step = {"step": "authorize", "direction": "forward", "attempt": 1}
        self.add(stream, "saga", "SagaStarted", {"by": "start", "next": step})
        command = self.add(stream, "saga", "authorize", step, kind="command")
        self.add(derived(order, "reply"), "reply", "ok", {"command_id": command}, kind="reply")
        self.add(stream, "saga", "SagaCompleted", {"by": "ok"})

    def repeat(self, order, by, later=2, attempt=2):
        """Another attempt of the saga's command, answered too, before the saga's end."""
        end = next(at for at, event in enumerate(self.events)
                   if event.stream == derived(order, checks.SAGA) and event.type == "SagaCompleted")
        first = self.events[end - 2]
        step = {"step": "authorize", "direction": "forward", "attempt": attempt}
        stream, last = first.stream, self.events[end].version
        added = [
            dataclasses.replace(first, id="asked", kind="event", type="SagaAdvanced", version=last,
                                data={"by": by, "next": step}),
            dataclasses.replace(first, id="again", version=last + 1, data=step, at=first.at + later),
            dataclasses.replace(self.events[end - 1], id="reply-again", stream="reply-2",
                                data={"command_id": "again"})]
        self.events[end] = dataclasses.replace(self.events[end], version=last + 2)
        assert stream == self.events[end].stream
        self.events[end:end] = added


def make_history():
    book, journal = Book(), []
    for order, (_, kinds) in ORDERS.items():
        book.order(order, kinds)
        book.saga(order)
        for role, names in PARTS[order].items():
            for name in names:
                book.add(derived(order, role), role, name)
        for role, operation, outcome in JOURNAL[order]:
            party = "payment_provider" if role == "payment" else "carrier"
            journal.append((party, f"{derived(order, role)}:{operation}", operation, outcome))
    for move in MOVES:
        name, quantity = move.split()
        book.add(STOCK, "stock_item", name, {"sku": "SKU-1", "quantity": int(quantity)}
                 if name == "StockReceived" else {"quantity": int(quantity)})
    history = History(book.events, journal, {}, {}, {}, {}, {"SKU-1": 10})
    fill_documents(history)
    return history, book


def fill_documents(history):
    for order, events in checks.orders_of(history).items():
        document = checks.document_of(order, events)
        history.documents[order] = (document["version"], "ana", document["status"], True, document)
        history.cached[order] = (document["version"], document)
        history.shown[order] = (200, document)
    history.listed["ana"] = list(ORDERS)


def make_told():
    told = Told()
    for order, (kind, _) in ORDERS.items():
        told.placed.append(Command(kind, "/v1/orders", {}, "ana", order=order, status=201,
                                   correlation=f"correlation-{order}"))
    told.cancelled.append(Command("cancel", "", {}, "ana", order=CANCELLED, status=202))
    return told


class Case:
    """A history, what was told, and the facts; a test plants into it and asks who noticed."""

    def __init__(self):
        self.history, self.book = make_history()
        self.told, self.facts = make_told(), copy.deepcopy(FACTS)

    def found(self):
        return {check.__name__ for check, violations in
                checks.run_checks(self.history, self.told, self.facts).items() if violations}

    def change(self, which, **changes):
        at = next(at for at, event in enumerate(self.history.events) if which(event))
        self.history.events[at] = dataclasses.replace(self.history.events[at], **changes)

    def drop(self, which):
        self.history.events = [event for event in self.history.events if not which(event)]

    def add(self, stream, name, data=None, kind="event"):
        one = next(event for event in self.history.events if event.stream == stream)
        version = max(event.version for event in self.history.events if event.stream == stream)
        self.history.events.append(dataclasses.replace(
            one, id=f"planted-{name}", version=version + 1, type=name, data=data or {}, kind=kind))


@pytest.fixture
def case():
    return Case()


def test_a_good_history_has_no_violation(case):
    assert case.found() == set()


def test_a_repeat_by_its_timer_is_none(case):
    case.book.repeat(CONFIRMED, "timer", 2.1)
    assert case.found() == set()
    assert checks.early_repeats(case.history, 2) == 0


def test_a_repeat_before_its_time_is_counted(case):
    case.book.repeat(CONFIRMED, "timer", 0.4)
    assert checks.early_repeats(case.history, 2) == 1


def lose_order(case):
    """Acknowledged, and the promoted server never heard of it."""
    case.drop(lambda event: event.stream in (CONFIRMED, derived(CONFIRMED, checks.SAGA)))


def place_twice(case):
    other = copy.deepcopy(next(event for event in case.history.events
                               if event.type == "OrderPlaced"))
    case.history.events.append(dataclasses.replace(other, stream="01a00000-0000-7000-8000-000000000009",
                                                   id="other"))


def never_end(case):
    case.drop(lambda event: event.type == "OrderConfirmed")


def forget_cancellation(case):
    case.change(lambda event: event.type == "OrderCancelled", type="OrderRejected",
                data={"code": "timed_out", "detail": "", "rejected_at": ""})


def confirm_declined(case):
    case.told.placed[0].kind = "declined"


def wrong_code(case):
    case.change(lambda event: event.type == "OrderRejected",
                data={"code": "stock_short", "detail": "", "rejected_at": ""})


def odd_answer(case):
    case.told.fault("500 internal")


def gap(case):
    case.change(lambda event: event.stream == STOCK and event.version == 5, version=6)


def same_id(case):
    case.change(lambda event: event.stream == STOCK and event.version == 5, id="event-1")


def saga_runs(case):
    case.drop(lambda event: event.type == "SagaCompleted" and
              event.stream == derived(CONFIRMED, checks.SAGA))


def no_saga(case):
    case.drop(lambda event: event.stream == derived(CONFIRMED, checks.SAGA))


def no_reply(case):
    case.drop(lambda event: event.stream == derived(CONFIRMED, "reply"))


def two_replies(case):
    reply = next(event for event in case.history.events if event.kind == "reply")
    case.add(reply.stream, "ok", reply.data, kind="reply")


def repeat_too_often(case):
    case.book.repeat(CONFIRMED, "timer", attempt=4)


def repeat_without_reason(case):
    case.book.repeat(CONFIRMED, "ok")


def capture_twice(case):
    key = f"{derived(CONFIRMED, 'payment')}:capture"
    case.history.journal.append(("payment_provider", key, "capture", "done"))


def refund_nothing(case):
    key = f"{derived(CANCELLED, 'payment')}:undo"
    case.history.journal.append(("payment_provider", key, "refund", "done"))


def charge_nobody(case):
    case.history.journal.append(("payment_provider", "nobody:authorize", "authorize", "done"))


def keep_authorized(case):
    case.history.journal.remove(next(row for row in case.history.journal if row[2] == "void"))


def keep_reserved(case):
    case.drop(lambda event: event.type == "StockReleased")


def reserve_too_much(case):
    case.change(lambda event: event.type == "StockReserved", data={"quantity": 20})


def receive_twice(case):
    case.add(STOCK, "StockReceived", {"sku": "SKU-1", "quantity": 10})


def old_document(case):
    version, owner, _, listed, body = case.history.documents[CONFIRMED]
    case.history.documents[CONFIRMED] = (version - 1, owner, "placed", listed, body)


def no_document(case):
    del case.history.documents[CONFIRMED]


def old_cache(case):
    version, body = case.history.cached[CONFIRMED]
    case.history.cached[CONFIRMED] = (version - 1, dict(body, status="placed"))


def lost_get(case):
    case.history.shown[CONFIRMED] = (404, {})


def not_listed(case):
    case.history.listed["ana"].remove(CONFIRMED)


def listed_twice(case):
    case.history.listed["ana"].append(CONFIRMED)


def stuck(case):
    case.facts["not_quiet"].append("3 messages in comanda.saga")


def dead_letter(case):
    case.facts["dead_letters"]["comanda.saga.dead"] = ["id: cause"]


@pytest.mark.parametrize("plant,check", [
    (lose_order, "acknowledged"), (place_twice, "acknowledged"), (never_end, "acknowledged"),
    (forget_cancellation, "accepted"), (confirm_declined, "outcomes"), (wrong_code, "outcomes"),
    (odd_answer, "answers"), (gap, "streams"), (same_id, "streams"), (saga_runs, "sagas"),
    (no_saga, "sagas"), (no_reply, "replies"), (two_replies, "replies"), (repeat_too_often, "repeats"),
    (repeat_without_reason, "repeats"), (capture_twice, "books"), (refund_nothing, "books"),
    (charge_nobody, "books"), (keep_authorized, "books"), (keep_reserved, "stock"),
    (reserve_too_much, "stock"), (receive_twice, "stock"), (old_document, "documents"),
    (no_document, "documents"), (old_cache, "documents"), (lost_get, "documents"),
    (not_listed, "documents"), (listed_twice, "documents"), (stuck, "left_over"),
    (dead_letter, "left_over")], ids=lambda value: getattr(value, "__name__", value))
def test_a_planted_fault_is_found(case, plant, check):
    plant(case)
    assert check in case.found()


def test_a_seed_gives_the_same_acts_again():
    names = ["saga", "relay-2"]
    assert schedule("7", 90, names) == schedule("7", 90, names)
    assert schedule("7", 90, names) != schedule("8", 90, names)


def test_no_act_begins_at_the_end_and_promotions_are_few():
    for seed in range(50):
        acts = schedule(str(seed), 90, ["saga"])
        assert sum(act.verb == "fail over" for act in acts) == 2
        assert acts == sorted(acts, key=lambda act: act.at) and acts[-1].at < 0.92 * 90


def test_the_seed_is_said_first():
    done = subprocess.run([HERE / "storm.py", "--schedule", "--seed", "5", "--duration", "20"],
                          check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == "storm: seed 5, 20 s"
    assert json.dumps("fail over")[1:-1] in done.stdout
