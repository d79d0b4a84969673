# SPDX-License-Identifier: Apache-2.0
"""What an answer promises while its server fails late, its client reads slowly, or others share the log."""
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

from daemon import until, uuid7
from edge import Edge, LockedTable, Shop, free_port, order_body


class Gate:
    """A way to Redis that can be shut: what is sent meanwhile waits."""

    def __init__(self, address):
        host, port = address.split(":")
        self.target = (host, int(port))
        self.open = threading.Event()
        self.open.set()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            upstream = socket.create_connection(self.target)
            for source, sink in ((client, upstream), (upstream, client)):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self.open.wait()
                sink.sendall(data)
        except OSError:
            pass
        source.close()
        sink.close()

    def close(self):
        self.open.set()
        self.server.close()


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
def gate():
    made = Gate(os.environ["COMANDA_TEST_REDIS"])
    yield made
    made.close()


@pytest.fixture(scope="module")
def edge(shop, gate):
    """With HTTP/2 beside HTTP/1.1, a budget that a test can wait for, and a Redis that may be slow."""
    made = Edge(shop, redis=f"{gate.address} timeout=3s", timeout="1s", start=False)
    made.h2_port = free_port()
    text = made.conf.read_text()
    listen = f"listen 127.0.0.1:{made.port};"
    made.conf.write_text(text.replace(listen, f"{listen}\n listen 127.0.0.1:{made.h2_port} http2;"))
    made.start()
    yield from checked(made)


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


def test_given_a_batch_that_took_too_long_when_all_is_well_again_then_commands_are_admitted(shop):
    slow = Edge(shop, redis="", timeout="500ms", connections=1)  # its first batch says all it knows
    try:
        lock = LockedTable(shop)
        try:
            assert slow.place().status == 504
        finally:
            lock.release()
        slow.wait_ready()
        assert slow.place().status == 201
    finally:
        slow.remove()


# ---- Slow readers -------------------------------------------------------------------------------


def given_documents(edge, subject, count=101, size=60_000, of="x"):
    """As the projector would put them, each far larger than an order."""
    edge.shop.database.rows("""
        insert into comanda_read.documents (tenant, collection, key, stream, version, epoch, tx,
                                            position, owner, filter, sort, listed, body)
        select 'main', 'orders', %s || n, gen_random_uuid(), 1, 1, 1, n, %s, '', n, true,
               json_build_object('padding', repeat(%s, %s))
          from generate_series(1, %s) as n""", subject, subject, of, size, count)


def test_given_a_reader_slower_than_the_budget_then_it_gets_its_whole_page(edge):
    given_documents(edge, "slow")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", edge.port))
        client.sendall(f"GET /v1/orders?limit=100 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                       f"Authorization: Bearer {edge.shop.token('slow')}\r\n\r\n".encode())
        time.sleep(1.5)
        head, _, body = b"".join(iter(lambda: client.recv(65536), b"")).partition(b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    assert length > 3_000_000, "it must not fit into the buffers of a connection"
    assert len(body) == length
    assert "header already sent" not in edge.log()
