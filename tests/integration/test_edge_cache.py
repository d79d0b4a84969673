# SPDX-License-Identifier: Apache-2.0
"""A Redis that goes back in time, refuses writes or forgets: no older document is shown after a newer.
No projector runs here, so that nobody but the edge puts it right."""
import shutil
import subprocess

import pytest

from daemon import until
from edge import Edge, checked
from read_side import Cache

MARK = "comanda:doc::{generation}"


class Restarted(Cache):
    """A Redis that comes back at the same port, with what its folder holds."""

    def __init__(self, folder, *options):
        self.folder = folder
        super().__init__(folder, ("--maxmemory-policy", "noeviction",
                                  "--repl-diskless-sync-delay", "0", *options))

    def launch(self, *options):
        self.process = subprocess.Popen(
            [shutil.which("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1",
             "--save", "", "--dir", str(self.folder), *options],
            stdout=open(self.log, "ab"), stderr=subprocess.STDOUT)

    def restart(self):
        self.stop()
        self.launch()
        until(self.answers, "Redis answers")

    def value(self, order):
        return self.client.get(f"comanda:doc:main:orders:{order}")

    def mark(self):
        """Generation, run id and replication id as the mark has them."""
        return (self.client.get(MARK) or b"").decode().split(" ")

    def notices(self):
        """Waits until an edge has marked the server that this is now."""
        here = [self.client.info("server")["run_id"],
                self.client.info("replication")["master_replid"]]
        until(lambda: self.mark()[1:] == here, "the edge has seen which server this is")


@pytest.fixture
def cache(tmp_path):
    made = Restarted(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def edge(shop, cache):
    yield from checked(Edge(shop, redis=f"{cache.address} timeout=5s", workers=2))


def placed(edge, cache):
    """An order whose first version is in Redis."""
    order = edge.place().json["id"]
    until(lambda: edge.get(f"/v1/orders/{order}").status == 200 and cache.document(order),
          "it is cached")
    return order


def shown(edge, order):
    """What some answers say, of whichever workers."""
    answers = [edge.get(f"/v1/orders/{order}") for _ in range(8)]
    assert {answer.status for answer in answers} == {200}
    return {answer.json["status"] for answer in answers}


def from_redis(edge):
    return edge.metric('comanda_queries_total{collection="orders",source="redis"')


def serves_from_redis(edge, order):
    def read():
        before = from_redis(edge)
        return shown(edge, order) == {"cancelling"} and from_redis(edge) > before
    until(read, "Redis is read again")


def test_given_a_restart_from_an_older_dump_then_nothing_of_it_is_shown(edge, cache):
    order = placed(edge, cache)
    cache.client.save()
    edge.cancel(order)
    assert cache.document(order)[0] == 2
    cache.restart()
    assert cache.document(order)[0] == 1, "it went back in time"
    edge.wait_ready()
    assert shown(edge, order) == {"cancelling"}
    serves_from_redis(edge, order)
    assert cache.document(order)[0] == 2


def test_given_a_lagging_replica_at_the_masters_address_then_nothing_of_it_is_shown(
        edge, cache, tmp_path_factory):
    order = placed(edge, cache)
    replica = Restarted(tmp_path_factory.mktemp("replica"))
    try:
        replica.client.replicaof("127.0.0.1", cache.port)
        until(lambda: replica.value(order), "it has the first version")
        replica.client.replicaof("NO", "ONE")  # from here on it lags
        edge.cancel(order)
        cache.stop()
        replica.client.config_set("port", cache.port)
        assert replica.document(order)[0] == 1
        edge.wait_ready()
        assert shown(edge, order) == {"cancelling"}
        serves_from_redis(edge, order)
    finally:
        replica.stop()


def test_given_another_dataset_under_a_connection_that_lives_then_it_is_noticed(
        edge, cache, tmp_path_factory):
    order = placed(edge, cache)
    other = Restarted(tmp_path_factory.mktemp("other"))
    try:
        other.client.replicaof("127.0.0.1", cache.port)
        until(lambda: other.value(order), "it has the first version")
        other.client.replicaof("NO", "ONE")
        edge.cancel(order)
        cache.client.replicaof("127.0.0.1", other.port)
        until(lambda: cache.document(order)[0] == 1, "the older dataset is there")
        cache.client.replicaof("NO", "ONE")
        cache.notices()
        edge.wait_ready()
        until(lambda: shown(edge, order) == {"cancelling"}, "every worker has noticed")
        serves_from_redis(edge, order)
    finally:
        other.stop()
    assert "is lost" not in edge.log(), "the connection lived"


def test_given_a_value_cut_at_its_end_then_it_is_a_miss_and_is_mended(edge, cache):
    order = placed(edge, cache)
    whole = cache.value(order)
    for cut in (whole[:-1], whole[:-20], whole[:whole.index(b"\n") + 2]):
        cache.client.set(f"comanda:doc:main:orders:{order}", cut)
        answer = edge.get(f"/v1/orders/{order}")
        assert answer.status == 200 and answer.json["id"] == order
        until(lambda: cache.value(order) == whole, "it is whole again")


class ReadOnly:
    code = "READONLY"

    def __init__(self, cache):
        self.client = cache.client

    def begin(self):
        self.client.replicaof("127.0.0.1", 1)

    def end(self):
        self.client.replicaof("NO", "ONE")


class Misconf:
    """It cannot save to disk: its folder is gone."""
    code = "MISCONF"

    def __init__(self, cache):
        self.client = cache.client
        self.folder = cache.folder

    def begin(self):
        self.folder.rename(self.folder.with_name("away"))
        shutil.rmtree(self.folder.with_name("away"))
        self.client.config_set("save", "3600 1")
        self.client.bgsave()
        until(lambda: self.client.info("persistence")["rdb_last_bgsave_status"] == "err",
              "saving has failed")

    def end(self):
        self.client.config_set("stop-writes-on-bgsave-error", "no")


@pytest.mark.parametrize("trouble", [ReadOnly, Misconf])
def test_given_a_server_that_refuses_writes_then_its_older_documents_are_not_read(
        edge, cache, trouble):
    order = placed(edge, cache)
    generation = cache.mark()[0]
    refuses = trouble(cache)
    refuses.begin()
    assert edge.cancel(order).status == 202
    edge.wait_ready("degraded")
    until(lambda: shown(edge, order) == {"cancelling"}, "every worker has noticed")
    assert cache.document(order)[0] == 1, "it is there all the same"
    until(lambda: "takes no writes" in
          edge.get("/readyz", token=None).json["checks"]["redis"]["detail"], "readiness tells it")
    assert refuses.code in edge.log()
    refuses.end()
    until(lambda: cache.mark()[0] not in ("", generation), "another generation begins")
    edge.wait_ready()
    assert shown(edge, order) == {"cancelling"}
    serves_from_redis(edge, order)


def test_given_a_full_server_then_a_changed_document_is_dropped_instead_of_kept(edge, cache):
    order = placed(edge, cache)
    cache.client.config_set("maxmemory", 1)
    assert edge.cancel(order).status == 202
    assert cache.value(order) is None
    assert shown(edge, order) == {"cancelling"}
    assert edge.readiness() == "ready", "what it has is right"
    cache.client.config_set("maxmemory", 0)
    serves_from_redis(edge, order)


def test_given_a_server_that_is_loading_then_everything_is_served_without_it(edge, cache):
    order = placed(edge, cache)
    with cache.client.pipeline() as many:
        for n in range(3000):
            many.set(f"filler:{n}", "x" * 100)
        many.execute()
    cache.client.save()
    cache.stop()
    cache.launch("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
    until(lambda: "LOADING" in edge.log(), "it is told to wait", every=0.05)
    assert edge.cancel(order).status == 202
    assert shown(edge, order) == {"cancelling"}
    assert edge.readiness() == "degraded"
    until(lambda: cache.client.config_set("key-load-delay", 0), "it loads on")
    edge.wait_ready()
    assert cache.document(order)[0] == 1
    assert shown(edge, order) == {"cancelling"}
    serves_from_redis(edge, order)


def test_given_a_forgotten_script_then_the_first_write_lands_before_its_answer(edge, cache):
    for _ in range(4):
        order = placed(edge, cache)
        cache.client.script_flush()
        assert edge.cancel(order).status == 202
        assert cache.document(order)[0] == 2


def test_given_a_write_that_never_left_then_what_it_would_have_replaced_is_dropped(shop, cache):
    edge = Edge(shop, redis=f"{cache.address} timeout=50ms")
    try:
        first, second = placed(edge, cache), placed(edge, cache)
        cache.pause()
        edge.cancel(first)  # is sent, and not answered in time
        edge.wait_ready("degraded")
        assert edge.cancel(second).status == 202
        cache.go_on()
        edge.wait_ready()
        assert shown(edge, first) == shown(edge, second) == {"cancelling"}
        serves_from_redis(edge, second)
    finally:
        edge.remove()
