# SPDX-License-Identifier: Apache-2.0
"""What a session of the edge is for: not for workers that only drain, nor for reads alone, nor for
commands whose client has given up."""
import concurrent.futures
import contextlib
import os
import pathlib

import psycopg2
import pytest

from daemon import ROOT, until
from edge import Edge, LockedTable, Shop, together
from test_edge_guard import Upstream

SESSIONS = """select count(*) from pg_stat_activity where application_name = 'comanda-edge'
    and datname = current_database()"""


@pytest.fixture
def edge():
    """A database of its own, and a server behind that can hold its answers."""
    made = []
    upstream = Upstream()

    def make(conninfo="", **options):
        shop = Shop()
        shop.database.conninfo += conninfo
        poll = f"location = /poll {{ comanda_jwt off; proxy_pass {upstream.url}; }}"
        made.append(Edge(shop, locations=f"{poll} include {ROOT}/conf/nginx/comanda_shop.conf;",
                         **options))
        made[-1].upstream = upstream
        return made[-1]

    yield make
    for one in made:
        complaints = one.complaints()
        one.remove()
        one.shop.drop()
        assert complaints == []
    upstream.shutdown()
    upstream.server_close()


def open_files(pid):
    """Of a process that may end meanwhile."""
    for fd in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(fd)


def redis_connections(workers):
    """Of these processes, at the shared Redis."""
    port = int(os.environ["COMANDA_TEST_REDIS"].rsplit(":", 1)[1])
    lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    wanted = {f"socket:[{line[9]}]" for line in lines
              if line[3] == "01" and int(line[2].split(":")[1], 16) == port}
    return sum(link in wanted for pid in workers for link in open_files(pid))


def said_by(edge, worker, words):
    return any(f" {worker}#" in line and words in line for line in edge.log().splitlines())


def test_five_reloads_under_long_polls_leave_two_generations_of_sessions_at_most(edge):
    """Red before: 4, 8, 12 … 24."""
    one = edge()
    generation = one.shop.database.rows(SESSIONS)[0][0]
    assert generation == one.sessions
    with concurrent.futures.ThreadPoolExecutor(6) as pool, one.upstream.held():
        polls, old = [], []
        for n in range(5):
            polls.append(pool.submit(one.get, "/poll", token=None))
            until(lambda: len(one.upstream.seen) == n + 1, "the poll is held")
            old = one.workers()
            one.nginx("-s", "reload")
            until(lambda: set(one.workers()) - set(old), "there are new workers")
            one.wait_ready()
            until(lambda: one.shop.database.rows(SESSIONS)[0][0] <= 2 * generation,
                  "the sessions of the old ones end")
        until(lambda: one.shop.database.rows(SESSIONS)[0][0] == generation, "all of the old ones")
        assert len(one.workers()) > 2, "a poll holds each old one that it came to"
        until(lambda: redis_connections(one.workers()) == 1, "their connections to Redis too")
    assert [poll.result().status for poll in polls] == [200] * 5


def test_a_request_that_came_before_the_drain_finds_the_store_all_the_same(edge):
    one = edge()
    with concurrent.futures.ThreadPoolExecutor(2) as pool, one.upstream.held():
        poll = pool.submit(one.get, "/poll", token=None)
        until(lambda: one.upstream.seen, "the poll is held")
        client, old = one.connect(), one.workers()
        body = b'{"reason":"slow"}'
        order = one.place().json["id"]
        client.putrequest("POST", f"/v1/orders/{order}/cancellation")
        for name, value in {"Authorization": f"Bearer {one.shop.token()}", "Idempotency-Key": "slow",
                            "Content-Type": "application/json", "Content-Length": len(body)}.items():
            client.putheader(name, str(value))
        client.endheaders()  # its body comes after the drain
        client.send(body[:5])
        one.get("/healthz", token=None)
        one.nginx("-s", "reload")
        until(lambda: set(one.workers()) - set(old), "there are new workers")
        until(lambda: one.shop.database.rows(SESSIONS)[0][0] == one.sessions, "the old ones give back")
        client.send(body[5:])
        answer = client.getresponse()
        assert answer.status == 202, answer.read()
        assert one.get(f"/v1/orders/{order}").json["status"] == "cancelling"
    assert poll.result().status == 200


def test_a_batch_that_is_halved_ends_with_its_members_budget(edge):
    """Red before: sixteen took 31 lock timeouts one after another, and each client as long."""
    one = edge(" options='-c lock_timeout=300ms'", connections=1, timeout="2s", redis="")
    lock = LockedTable(one.shop)
    try:
        statuses = together(lambda n: one.place().status, 16)
    finally:
        lock.release()
    assert set(statuses) == {503}
    assert 1 <= one.log().count("55P03") <= 2 * 2000 // 300
    assert one.shop.orders() == []


def test_reads_leave_a_session_for_commands(edge):
    """Red before: two pages held both."""
    one = edge(redis="", timeout="60s", queue=8)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        documents = LockedTable(one.shop, "comanda_read.documents", "access exclusive")
        try:
            pages = [pool.submit(one.get, "/v1/products", token=None) for _ in range(10)]
            until(lambda: sum(page.done() for page in pages) == 3, "three find the reads' share full")
            assert documents.waiting() == 1
            assert one.place().status == 201
            assert sum(page.done() for page in pages) == 3
        finally:
            documents.release()
        assert sorted(page.result().status for page in pages) == [200] * 7 + [503] * 3


def test_a_session_that_is_lost_lets_the_read_go_on_that_waited_for_its_turn(edge):
    """Red before: the other session had nothing to do, and nobody woke it."""
    one = edge(redis="", timeout="60s")
    admin = psycopg2.connect(one.shop.database.admin)
    admin.autocommit = True
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        documents = LockedTable(one.shop, "comanda_read.documents", "access exclusive")
        try:
            first = pool.submit(one.get, "/v1/products", token=None)
            until(lambda: documents.waiting() == 1, "the first has the readers' session")
            second = pool.submit(one.get, "/v1/products", token=None)
            until(lambda: one.metric("comanda_queue_length") == 1, "the second waits")
            name = one.shop.database.name
            admin.cursor().execute(f'alter database "{name}" allow_connections false')
            documents.connection.cursor().execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'"
                " and datname = current_database()")
            assert first.result().status == 503
            until(lambda: documents.waiting() == 1, "the second has the other session")
        finally:
            documents.release()
            admin.cursor().execute(f'alter database "{name}" allow_connections true')
            admin.close()
        assert second.result().status == 200


def test_a_worker_that_drains_notices_that_an_idle_session_is_lost(edge):
    """Red before: the end of the session was left unread, and the loop turned on it."""
    one = edge(redis="", timeout="60s")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        documents = LockedTable(one.shop, "comanda_read.documents", "access exclusive")
        try:
            pages = [pool.submit(one.get, "/v1/products", token=None) for _ in range(2)]
            until(lambda: documents.waiting() == 1 and one.metric("comanda_queue_length") == 1,
                  "one page is read, one waits")
            old, = one.workers()
            mine = {pid for pid, in one.shop.database.rows(SESSIONS.replace("count(*)", "pid"))}
            one.nginx("-s", "reload")
            until(lambda: said_by(one, old, "gracefully shutting down"), "the old worker drains")
            documents.connection.cursor().execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where pid = any(%s) and wait_event_type is distinct from 'Lock'", (list(mine),))
            until(lambda: said_by(one, old, "is lost"), "the old worker says so")
        finally:
            documents.release()
        assert [page.result().status for page in pages] == [200, 200]
