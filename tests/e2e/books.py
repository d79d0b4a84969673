# SPDX-License-Identifier: Apache-2.0
"""What is kept of an order once it has ended: in the log, and in the provider's and carrier's own
journals. The streams' ids are derived from the order's, as ARCHITECTURE.md says."""
import dataclasses
import hashlib
import uuid

ROLES = ("payment", "reservation", "shipment")
PARTIES = {"payment_provider": ("payment", "provider"), "carrier": ("shipment", "carrier")}


def derived(parent, role):
    """uuid_derive: the parent's time, then a digest; a UUID of version 8."""
    bits = uuid.UUID(parent).bytes
    made = bytearray(bits[:6] + hashlib.sha256(bits + role.encode()).digest()[:10])
    made[6] = made[6] & 0x0F | 0x80
    made[8] = made[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(made)))


@dataclasses.dataclass
class Books:
    """Types of events by stream, and what the parties did as `operation outcome`; in order."""
    payment: list = dataclasses.field(default_factory=list)
    reservation: list = dataclasses.field(default_factory=list)
    shipment: list = dataclasses.field(default_factory=list)
    provider: list = dataclasses.field(default_factory=list)
    carrier: list = dataclasses.field(default_factory=list)


CONFIRMED = Books(payment=["PaymentAuthorized", "PaymentCaptured"],
                  reservation=["ReservationMade", "ReservationCommitted"],
                  shipment=["ShipmentScheduled"],
                  provider=["authorize done", "capture done"],
                  carrier=["schedule done"])


def books_of(ask, order_ids):
    """The books of each order. ask(query, *values) gives rows."""
    books = {order: Books() for order in order_ids}
    owner = {derived(order, role): (books[order], role) for order in books for role in ROLES}
    for stream, kind in ask("select stream_id::text, type from comanda.events where kind = 'event' "
                            "and stream_id = any(%s::uuid[]) order by stream_id, version",
                            list(owner)):
        book, role = owner[stream]
        getattr(book, role).append(kind)
    for party, stream, done in ask(
            "select party, split_part(key, ':', 1), operation || ' ' || outcome "
            "from sandbox.journal where split_part(key, ':', 1) = any(%s) order by recorded_at",
            list(owner)):
        role, name = PARTIES[party]
        book, owned = owner[stream]
        assert owned == role, f"{party} did {done} under a key of the {owned}"
        getattr(book, name).append(done)
    return books


def last(events):
    return events[-1] if events else None


def assert_undone(book):
    """Nothing authorised, captured = refunded, nothing reserved, no shipment: at the parties and in
    the log, and the two agree."""
    done = book.provider.count
    assert done("authorize done") <= 1 and done("capture done") <= 1, book
    assert done("capture done") == done("refund done"), book
    assert done("authorize done") == done("void done") + done("refund done"), book
    assert book.carrier.count("schedule done") == book.carrier.count("cancel done") <= 1, book
    assert book.payment.count("PaymentCaptured") == done("capture done"), book
    assert book.payment.count("PaymentRefunded") == done("refund done"), book
    assert last(book.payment) in (None, "PaymentDeclined", "PaymentVoided", "PaymentRefunded"), book
    assert "ReservationCommitted" not in book.reservation, book
    assert last(book.reservation) in (None, "ReservationRefused", "ReservationReleased"), book
    assert last(book.shipment) in (None, "ShipmentRefused", "ShipmentCancelled"), book


def assert_at_rest(status, book):
    """What must hold of an order that has ended with this status."""
    if status == "confirmed":
        assert book == CONFIRMED, book
    else:
        assert_undone(book)
