# SPDX-License-Identifier: Apache-2.0
"""The edge while its servers stop, go and come back, and while nginx itself is reloaded."""
import contextlib
import http.client
import os
import pathlib
import random
import shlex
import signal
import subprocess
import tempfile
import threading
import time

import pytest
import redis

from daemon import ROOT, Database, until, uuid7
from nginx import processes
from edge import Edge, LockedTable, Shop, checked, order_body, settle, together


class Servers:
    """A PostgreSQL and a Redis of a file's own, since it stops them."""

    def __init__(self, only="postgres,redis"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="comanda-edge-servers-", dir="/var/tmp"))
        self.link = self.folder / "s"
        try:
            self.call("start", "--only", only)
        except BaseException:
            self.remove()  # nobody else knows of it yet
            raise
        for line in (self.link / "env").read_text().splitlines():
            for word in shlex.split(line.removeprefix("export ")):
                name, _, value = word.partition("=")
                setattr(self, name.removeprefix("COMANDA_TEST_").lower(), value)

    def call(self, verb, *arguments):
        subprocess.run([ROOT / "scripts/servers", verb, self.link, *arguments], check=True,
                       capture_output=True, timeout=120)

    def pid(self, name):
        return int((self.link / "pids" / f"{name}.pid").read_text().split()[0])

    def signal(self, name, what):
        """To the server and its children: a PostgreSQL backend is a process of its own."""
        parent = self.pid(name)
        children = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for pid in [parent, *map(int, children)]:
            with contextlib.suppress(ProcessLookupError):  # a child may end meanwhile, or with it
                os.kill(pid, what)

    def cache(self):
        host, port = self.redis.split(":")
        return redis.Redis(host, int(port))

    def remove(self):
        self.call("remove")
        subprocess.run(["rm", "-rf", str(self.folder)], check=False)


@pytest.fixture(scope="module")
def servers():
    made = Servers()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def shop(servers):
    made = Shop(Database(admin=servers.postgres))
    yield made
    made.drop()


@pytest.fixture
def edge(shop, servers):
    yield from checked(Edge(shop, redis=f"{servers.redis} timeout=10s"))


@pytest.fixture
def hasty(shop, servers):
    """With a budget that a test can wait for, and a Redis that none waits for."""
    yield from checked(Edge(shop, redis=servers.redis, timeout="2s"))


def sessions(edge):
    """The backends of all edges of this database; one that lost its edge stays until it has done its
    work."""
    return {pid for pid, in edge.shop.database.rows(
        "select pid from pg_stat_activity where application_name = 'comanda-edge'"
        " and datname = current_database()")}


def keys_of(cache, order):
    return until(lambda: cache.keys("*" + order), "the document is cached")


def place_while_stopped(edge, servers, keys, body):
    until(lambda: edge.place().status == 201, "it serves, and knows the product for a second")
    servers.signal("postgres", signal.SIGSTOP)
    try:
        return together(lambda n: edge.place(keys[n], body), len(keys))
    finally:
        servers.signal("postgres", signal.SIGCONT)


def test_given_a_stopped_postgresql_then_503_is_not_written_and_504_tells_the_truth(
        edge, hasty, servers):
    def truth_of_a_round():
        """The statuses of twenty orders."""
        body = order_body(name=str(uuid7()))
        keys = [str(uuid7()) for _ in range(20)]

        def written():
            (count,), = edge.shop.database.rows(
                "select count(*) from comanda.events where type = 'OrderPlaced'"
                " and data #>> '{ship_to,name}' = %s", body["ship_to"]["name"])
            return count

        answers = place_while_stopped(hasty, servers, keys, body)
        statuses = [answer.status for answer in answers]
        assert set(statuses) <= {503, 504}, statuses
        assert all("retry-after" in answer.headers for answer in answers)
        for each in edge, hasty:
            each.wait_ready()
        until(lambda: len(sessions(edge)) == edge.sessions + hasty.sessions, "nothing is in flight")
        known, unknown = written(), statuses.count(504)
        assert known <= unknown, "a 503 was written"
        again = [edge.place(keys[n], body) for n in range(len(keys)) if statuses[n] == 504]
        assert [answer.status for answer in again] == [201] * unknown
        assert sum(answer.headers.get("idempotency-replayed") == "true" for answer in again) == known
        assert written() == unknown
        for n in range(len(keys)):
            if statuses[n] == 503:
                assert "idempotency-replayed" not in edge.place(keys[n], body).headers
        return set(statuses)

    # Some in flight and some not begun: it depends on how fast they came.
    until(lambda: truth_of_a_round() == {503, 504}, "a round with both answers")


def test_given_a_postgresql_that_restarts_then_the_edge_comes_back_by_itself(edge, servers):
    order = edge.place().json["id"]
    keys_of(servers.cache(), order)
    old = servers.pid("postgres")
    servers.signal("postgres", signal.SIGQUIT)  # immediate: as after a crash
    until(lambda: not processes.is_running(old), "it has ended")
    until(lambda: edge.readiness() == "not ready", "readyz says so")  # after a second without it
    assert edge.get("/readyz", token=None).status == 503
    assert edge.get("/healthz", token=None).status == 200
    until(lambda: edge.get(f"/v1/orders/{order}").status == 200, "what Redis has needs no PostgreSQL")
    begun = time.monotonic()
    refused = edge.place()
    assert (refused.status, refused.slug) == (503, "unavailable")
    assert time.monotonic() - begun < 20  # at once, not after its own thirty
    servers.call("start", "--only", "postgres")
    edge.wait_ready()
    assert edge.place().status == 201
    assert "PostgreSQL answers again" in edge.log()


def test_given_backends_that_are_ended_then_no_command_is_lost_or_doubled(edge):
    before = set(edge.shop.orders())
    stop = threading.Event()

    def end_backends():
        while not stop.is_set():
            until(lambda: edge.metric("comanda_postgres_connections") >= 1, "a session serves")
            time.sleep(random.uniform(0, 0.3))
            edge.shop.database.rows("select pg_terminate_backend(pid) from pg_stat_activity"
                                    " where application_name = 'comanda-edge'"
                                    " and datname = current_database()")

    killer = threading.Thread(target=end_backends)
    killer.start()

    def place_until_known(n):
        keys = [str(uuid7()) for _ in range(5)]
        for key in keys:
            until(lambda: edge.place(key).status == 201, "an answer")
        return keys

    try:
        together(place_until_known, 4)
    finally:
        stop.set()
        killer.join()
    assert len(set(edge.shop.orders()) - before) == 20


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_given_no_redis_then_everything_is_served_without_it(shop, servers, how):
    edge = Edge(shop, redis=servers.redis)
    try:
        order = edge.place().json["id"]
        servers.signal("redis", how)
        try:
            begun = time.monotonic()
            assert edge.get(f"/v1/orders/{order}").status == 200
            assert edge.place().status == 201
            assert edge.cancel(order).status == 202
            assert edge.get(f"/v1/orders/{order}").json["status"] == "cancelling"
            assert time.monotonic() - begun < 25  # no budget of thirty has passed
            until(lambda: edge.readiness() == "degraded", "readyz says degraded")
            until(lambda: edge.get("/readyz", token=None).status == 200, "it is ready all the same")
        finally:
            if how == signal.SIGSTOP:
                servers.signal("redis", signal.SIGCONT)
            else:
                servers.call("stop", "--only", "redis")
                servers.call("start", "--only", "redis")
        edge.wait_ready()
        order = edge.place().json["id"]

        def read_from_redis():
            assert edge.get(f"/v1/orders/{order}").status == 200
            return edge.metric('comanda_queries_total{collection="orders",source="redis"') >= 1
        until(read_from_redis, "Redis is asked again")
    finally:
        complaints = edge.complaints()
        edge.remove()
    assert complaints == []


def test_given_redis_emptied_then_documents_come_from_the_log_and_are_put_back(edge, servers):
    cache = servers.cache()
    order = edge.place().json["id"]
    keys_of(cache, order)
    first = edge.get(f"/v1/orders/{order}").text
    cache.flushall()
    from_log = edge.metric('comanda_queries_total{collection="orders",source="log"')
    assert edge.get(f"/v1/orders/{order}").text == first
    assert edge.metric('comanda_queries_total{collection="orders",source="log"') == from_log + 1
    keys_of(cache, order)  # it is put back
    assert edge.get(f"/v1/orders/{order}").text == first
    assert edge.metric('comanda_queries_total{collection="orders",source="log"') == from_log + 1


def test_given_rubbish_in_redis_then_it_is_a_miss(edge, servers):
    cache = servers.cache()
    for rubbish in (b"", b"nonsense", b"1 2 3", b"\xff" * 100):
        order = edge.place().json["id"]
        (key,) = keys_of(cache, order)
        cache.set(key, rubbish)
        assert edge.get(f"/v1/orders/{order}").status == 200
        with cache.pipeline(transaction=True) as at_once:  # the refill may come between
            at_once.delete(key).hset(key, "a", "b").execute()  # another type: WRONGTYPE
        assert edge.get(f"/v1/orders/{order}").status == 200
        cache.delete(key)


def test_given_a_reload_with_commands_in_flight_then_each_gets_its_answer(edge):
    edge.place()
    old = edge.workers()
    counted = edge.metric("comanda_commands_total")
    lock = LockedTable(edge.shop)

    def reload_meanwhile():
        try:
            until(lambda: lock.waiting() >= 1, "one is in flight")
            edge.nginx("-s", "reload")
            until(lambda: set(edge.workers()) - set(old), "there is a new worker")
        finally:
            lock.release()

    reload = threading.Thread(target=reload_meanwhile)
    reload.start()
    answers = together(lambda n: edge.place(), 12)
    reload.join()
    assert [answer.status for answer in answers] == [201] * 12
    until(lambda: not set(edge.workers()) & set(old), "the old worker ends")
    edge.wait_ready()
    assert edge.place().status == 201
    assert edge.metric("comanda_commands_total") >= counted + 13, "metrics survive a reload"
    assert edge.metric("comanda_postgres_connections") == 2, "gauges are those of the living"


def test_given_a_worker_that_is_killed_then_the_next_one_serves_and_keys_tell_the_truth(shop, servers):
    edge = Edge(shop, redis=f"{servers.redis} timeout=10s")
    try:
        before = set(shop.orders())
        keys = [str(uuid7()) for _ in range(40)]

        def place(n):
            try:
                return edge.place(keys[n]).status
            except (OSError, http.client.HTTPException):
                return None

        killer = threading.Timer(0.02, lambda: os.kill(edge.workers()[0], signal.SIGKILL))
        killer.start()
        together(place, len(keys))
        killer.join()
        edge.wait_ready()
        answers = [settle(lambda key=key: edge.place(key)) for key in keys]
        assert [answer.status for answer in answers] == [201] * len(keys)
        assert len(set(shop.orders()) - before) == len(keys)
    finally:
        edge.remove()


def test_given_two_workers_then_twins_across_them_are_one_order(shop, servers):
    edge = Edge(shop, redis=f"{servers.redis} timeout=10s", workers=2)
    try:
        for _ in range(10):
            key = str(uuid7())
            before = set(shop.orders())
            answers = together(lambda n: settle(lambda: edge.place(key)), 12)
            assert [answer.status for answer in answers] == [201] * 12
            assert len({answer.json["id"] for answer in answers}) == 1
            assert len(set(shop.orders()) - before) == 1
    finally:
        complaints = edge.complaints()
        edge.remove()
    assert complaints == []


def test_given_a_later_migration_then_it_is_ready_as_long_as_that_serves_it(servers):
    shop = Shop(Database(admin=servers.postgres), products=False)

    def later(version, serves):
        shop.database.rows("insert into comanda.schema_versions (version, serves, name, checksum)"
                           " values (%s, %s, 'later', 'x')", version, serves)

    def detail():
        return edge.get("/readyz", token=None).json["checks"]["postgres"]["detail"]

    (mine,), = shop.database.rows("select max(version) from comanda.schema_versions")
    edge = Edge(shop, redis=servers.redis)
    try:
        later(9998, mine)
        assert edge.get("/readyz", token=None).status == 200
        later(9999, 9999)
        edge.wait_ready("not ready")
        assert detail() == (f"the schema, version 9999, serves programs of 9999 and later, this one"
                            f" is of {mine}: start a newer program")
        shop.database.rows("delete from comanda.schema_versions where version >= %s", mine)
        edge.wait_ready("not ready")
        assert detail().endswith(f"this program needs {mine}: run comandactl migrate")
        # As a program of before this table left the database.
        shop.database.rows("drop table comanda.schema_versions")
        assert edge.get("/readyz", token=None).status == 503
        assert "run comandactl migrate" in detail()
    finally:
        edge.remove()
        shop.drop()
