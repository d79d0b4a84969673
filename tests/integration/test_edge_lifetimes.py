# SPDX-License-Identifier: Apache-2.0
"""What an answer promises while its server fails late, its client reads slowly, or others share the log."""
import pytest

from daemon import uuid7
from edge import Edge, Shop


def checked(edge):
    """For a fixture: gives the edge, and no run may leave a complaint in its log."""
    try:
        yield edge
        complaints = edge.complaints()
    finally:
        edge.remove()
    assert complaints == []


@pytest.fixture(scope="module")
def shop():
    made = Shop()
    yield made
    made.drop()


@pytest.fixture(scope="module")
def edge(shop):
    """With a budget that a test can wait for."""
    yield from checked(Edge(shop, timeout="1s"))


# ---- What PostgreSQL says late ------------------------------------------------------------------


def test_given_a_commit_that_fails_then_it_is_not_acknowledged(edge):
    database = edge.shop.database
    database.rows("""
        create function refuse_late() returns trigger language plpgsql as
            $$ begin raise exception 'too late'; end $$;
        create constraint trigger refuse_late after insert on comanda.events
            deferrable initially deferred for each row execute function refuse_late()""")
    key = str(uuid7())
    before = edge.shop.orders()
    try:
        refused = edge.place(key)
    finally:
        database.rows("drop function refuse_late cascade")
    assert refused.status in (500, 503), refused.text
    assert edge.shop.orders() == before
    placed = edge.place(key)
    assert placed.status == 201 and "idempotency-replayed" not in placed.headers
