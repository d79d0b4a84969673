# SPDX-License-Identifier: Apache-2.0
"""What waits for a session of the edge: who goes first, who is refused, who is told to ask again.

A placement that comes more than a second after its product was looked up waits for another lookup
instead of for its append. So all are sent at once, over connections that are open already, and a
round in which some came too late for that is repeated with another product."""
import concurrent.futures
import contextlib
import http.client
import select
import socket
import time

from daemon import PATIENCE_S, until, uuid7
from edge import Answer, LockedTable, order_body, request_bytes

ROUNDS = 10


def repeated(play):
    """What play(sku) gives as soon as it gives something; None: some came too late."""
    for n in range(1, ROUNDS + 1):
        found = play(f"SKU-{n}")
        if found is not None:
            return found
    raise AssertionError(f"in {ROUNDS} rounds some came too late for their product")


def placements(edge, count, sku, name="Ana"):
    return [request_bytes(edge, str(uuid7()), order_body(sku, name=name)) for _ in range(count)]


def connect(edge, opened):
    return opened.enter_context(
        socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE_S))


def line_up(edge, lock, opened, requests, waiting=1):
    """Sends the first, which looks its product up and waits for the lock, and the others at once.
    waiting: how many sessions wait for a lock then."""
    clients = [connect(edge, opened) for _ in requests]
    clients[0].sendall(requests[0])
    until(lambda: lock.waiting() == waiting, "the first is in flight", every=0.01)
    for client, request in zip(clients[1:], requests[1:]):
        client.sendall(request)
    return clients


def answered(clients):
    return select.select(clients, [], [], 0)[0]


def answer_of(client):
    response = http.client.HTTPResponse(client)
    response.begin()
    return Answer(response)


def all_have_come(edge, clients, seconds):
    """Whether all but the first wait for their append, or are refused."""
    deadline = time.monotonic() + seconds
    while edge.metric("comanda_queue_length") + len(answered(clients[1:])) != len(clients) - 1:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_given_more_than_a_batch_holds_then_a_cancellation_goes_before_placements(own):
    edge = own(timeout="60s")
    order = edge.place().json["id"]

    def play(sku):
        with contextlib.ExitStack() as opened:
            pool = opened.enter_context(concurrent.futures.ThreadPoolExecutor(1))
            # One session is kept busy by a document, the other by the first order.
            documents = LockedTable(edge.shop, "comanda_read.documents", "access exclusive")
            opened.callback(documents.release)
            connect(edge, opened).sendall(b"GET /v1/products/SKU-3 HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: documents.waiting() == 1, "the document is waited for", every=0.01)
            keys = LockedTable(edge.shop)
            opened.callback(keys.release)
            clients = line_up(edge, keys, opened, placements(edge, 521, sku), waiting=2)
            if not all_have_come(edge, clients, 10):
                return None
            cancelled = pool.submit(edge.cancel, order)
            until(lambda: edge.metric("comanda_queue_length") == 521, "so does the cancellation")
            keys.release()
            assert {answer_of(client).status for client in clients} == {201}
            return cancelled
    assert repeated(play).result().status == 202
    assert edge.shop.database.rows(
        "select count(*) >= 520 - 511 from comanda.events where position > (select position from"
        " comanda.events where stream_id = %s and version = 2)", order) == [(True,)]


def test_given_a_twin_that_waits_too_long_then_it_is_told_so(own):
    edge = own(connections=1, timeout="60s")  # no session is left that would ask for work

    def play(sku):
        key = str(uuid7())
        with contextlib.ExitStack() as opened:
            lock = LockedTable(edge.shop)
            opened.callback(lock.release)
            begun = time.monotonic()
            clients = line_up(edge, lock, opened, [request_bytes(edge, key, order_body(sku))] * 2)
            until(lambda: edge.metric("comanda_queue_length") == 1, "the twin waits", every=0.01)
            if time.monotonic() - begun > 0.9:
                return None
            until(lambda: answered(clients), "one is answered")
            refused = answer_of(clients[1])
            assert answered(clients) == []
            lock.release()
            assert answer_of(clients[0]).status == 201
            return refused, key, sku
    refused, key, sku = repeated(play)
    assert (refused.status, refused.slug) == (409, "in-flight")
    again = edge.place(key, order_body(sku))
    assert again.status == 201 and again.headers["idempotency-replayed"] == "true"


def done(futures):
    return sum(each.done() for each in futures)


def test_given_a_full_queue_then_it_refuses_at_once(own):
    edge = own(queue=2, timeout="60s")
    orders = [edge.place().json["id"] for _ in range(6)]
    with contextlib.ExitStack() as opened:
        pool = opened.enter_context(concurrent.futures.ThreadPoolExecutor(8))
        lock = LockedTable(edge.shop)
        opened.callback(lock.release)
        placed = []
        for busy in (1, 2):  # one after the other: together they are one batch
            placed.append(pool.submit(edge.place))
            until(lambda: lock.waiting() == busy, "a session is busy")
        cancelled = [pool.submit(edge.cancel, order) for order in orders]
        until(lambda: done(cancelled) >= 4, "four are refused", 20)
        assert {each.result().status for each in cancelled if each.done()} == {503}
    statuses = sorted(each.result().status for each in cancelled)
    assert statuses == [202, 202, 503, 503, 503, 503]
    assert [each.result().status for each in placed] == [201, 201]


SLOW_ORDERS = """
create function public.be_slow() returns trigger language plpgsql as $$
begin
    perform pg_sleep(0.4);
    return new;
end $$;
create trigger be_slow before insert on comanda.events
    for each row when (new.data #>> '{ship_to,name}' = 'SLOW') execute function public.be_slow();
"""


def place_eight_slow_ones(edge):
    """As one batch, unless some come too late: a smaller one says nothing of a command's price."""
    with contextlib.ExitStack() as opened:
        lock = LockedTable(edge.shop)
        opened.callback(lock.release)
        requests = placements(edge, 1, "SKU-20") + placements(edge, 8, "SKU-20", "SLOW")
        clients = line_up(edge, lock, opened, requests)
        all_have_come(edge, clients, 4)
        lock.release()
        assert {answer_of(client).status for client in clients} == {201}


def place_forty(edge, order, sku):
    """Who was refused while the only session was busy, and the answers of all the others."""
    with contextlib.ExitStack() as opened:
        pool = opened.enter_context(concurrent.futures.ThreadPoolExecutor(2))
        lock = LockedTable(edge.shop)
        opened.callback(lock.release)
        clients = line_up(edge, lock, opened, placements(edge, 41, sku))
        if not all_have_come(edge, clients, 4):
            return None
        refused = answered(clients[1:])
        waiting = len(clients) - len(refused)
        cancelled = pool.submit(edge.cancel, order)
        until(lambda: edge.metric("comanda_queue_length") == waiting, "it is taken", 20)
        assert edge.get("/healthz", token=None).status == 200
        read = pool.submit(edge.get, "/v1/products/SKU-19", token=None)
        lock.release()
        assert (cancelled.result().status, read.result().status) == (202, 200)
        return [answer_of(client) for client in refused], [
            answer_of(client) for client in clients if client not in refused]


def test_given_more_placements_than_fit_in_the_time_then_they_alone_are_shed(own):
    edge = own(connections=1, timeout="12s")
    order = edge.place().json["id"]
    edge.shop.database.rows(SLOW_ORDERS)
    until(lambda: edge.batch_mean(lambda: place_eight_slow_ones(edge)) == 4.5, "it knows the price")

    def play(sku):
        nonlocal shed
        shed = edge.metric('comanda_shed_total{priority="normal"}')
        return place_forty(edge, order, sku)
    shed = 0
    refused, placed = repeated(play)
    assert 5 <= len(refused) <= 35
    assert {(each.status, each.slug) for each in refused} == {(503, "overloaded")}
    assert all(1 <= int(each.headers["retry-after"]) <= 60 for each in refused)
    assert {each.status for each in placed} == {201}
    assert edge.metric('comanda_shed_total{priority="normal"}') == shed + len(refused)
    assert edge.metric('comanda_shed_total{priority="high"}') == 0
