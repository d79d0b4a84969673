# SPDX-License-Identifier: Apache-2.0
"""Least privilege at Redis: what each user may not do is refused, and whoever is refused says so."""
import json
import subprocess

import pytest
import redis

from daemon import BUILD, Daemon, Database, until
from edge import Edge
from fulfilment import Vhost
from fulfilment import Shop as House
from read_side import Cache

DOCUMENT = "comanda:doc:main:orders:1"


class GuardedCache(Cache):
    """A Redis whose users are those of `comandactl access redis`; its default user is off."""

    def __init__(self, folder):
        self.folder = folder / "passwords"
        self.folder.mkdir()
        acl = subprocess.run([BUILD / "bin/comandactl", "access", "redis", "--passwords",
                              self.folder, "--make", "--admin"], check=True, capture_output=True,
                             text=True)
        (folder / "users.acl").write_text(acl.stdout)
        for path in (folder, *folder.parents[:2]):
            path.chmod(0o755)
        super().__init__(folder, ("--aclfile", str(folder / "users.acl")))
        self.client = self.login("admin")

    def password(self, program):
        return (self.folder / f"redis_{program}").read_text().strip()

    def login(self, program):
        return redis.Redis(port=self.port, username=f"comanda_{program}",
                           password=self.password(program), socket_timeout=10)

    def url(self, program):
        return f"redis://comanda_{program}:{self.password(program)}@127.0.0.1:{self.port}"

    def directive(self):
        """With a timeout of its own: after one late answer the edge would drop the connection."""
        path = self.folder / "redis_edge"
        return f"{self.address} user=comanda_edge password_file={path} timeout=10s"

    def rules(self, program, *rules):
        self.client.execute_command("ACL", "SETUSER", f"comanda_{program}", *rules)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    made = GuardedCache(tmp_path_factory.mktemp("redis"))
    yield made
    made.stop()


FORBIDDEN = [("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("KEYS", "*"),
             ("ACL", "LIST"), ("SCRIPT", "FLUSH"), ("EVAL", "return 1", "0"), ("MONITOR",),
             ("SHUTDOWN",), ("REPLICAOF", "NO", "ONE"), ("CLIENT", "LIST"),
             ("PUBLISH", "a", "b"), ("RENAME", DOCUMENT, DOCUMENT), ("DEL", DOCUMENT),
             ("EXPIRE", DOCUMENT, "1"), ("DUMP", DOCUMENT), ("SET", "another:key", "x"),
             ("GET", "another:key"), ("SET", "comanda:other", "x")]


@pytest.mark.parametrize("program", ["edge", "projector", "operator"])
def test_a_user_may_not_what_its_program_never_does(cache, program):
    cache.client.set("another:key", "secret")
    client = cache.login(program)
    for command in FORBIDDEN:
        with pytest.raises(redis.ResponseError) as refused:
            client.execute_command(*command)
        assert "permission" in str(refused.value).lower(), command
    assert cache.client.get("another:key") == b"secret"


def test_only_whom_it_concerns_may_look_for_documents_and_drop_them(cache):
    cache.client.set(DOCUMENT, "1 1 1 1 x")
    with pytest.raises(redis.ResponseError):
        cache.login("edge").scan()
    with pytest.raises(redis.ResponseError):
        cache.login("operator").get(DOCUMENT)
    assert cache.login("operator").unlink(DOCUMENT) == 1


def test_nobody_gets_in_without_a_password(cache):
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=cache.port).get(DOCUMENT)


def redis_answers(edge, outcome):
    return edge.metric(f'comanda_redis_answers_total{{outcome="{outcome}"}}')


def test_the_edge_logs_in_and_both_writes_and_reads(cache, shop):
    edge = Edge(shop, redis=cache.directive())
    try:
        before = redis_answers(edge, "ok")
        placed = edge.place()
        assert placed.status == 201
        until(lambda: redis_answers(edge, "ok") == before + 1, "Redis took the document")
        assert cache.client.get(f"comanda:doc:main:orders:{placed.json['id']}")
        assert edge.get(f"/v1/orders/{placed.json['id']}").status == 200
        assert redis_answers(edge, "ok") == before + 2
        assert redis_answers(edge, "failed") == 0
    finally:
        edge.remove()


def redis_check(edge):
    return edge.get("/readyz", token=None).json["checks"]["redis"]


@pytest.mark.parametrize("rules, words", [
    (["resetpass", ">another"], "WRONGPASS"), (["off"], "WRONGPASS"), (["-script|load"], "NOPERM")])
def test_an_edge_that_is_refused_says_so_serves_on_and_mends(cache, shop, rules, words):
    cache.rules("edge", *rules)
    edge = Edge(shop, redis=cache.directive(), start=False)
    try:
        edge.start(ready=False)
        until(lambda: redis_check(edge)["detail"].startswith("refuses"), "readiness tells it")
        edge.wait_ready("degraded")
        log = edge.log()
        assert words in log and "comanda_edge" in log and "password_file" in log
        assert cache.password("edge") not in log
        order = edge.place()
        assert order.status == 201
        assert edge.get(f"/v1/orders/{order.json['id']}").status == 200
        restore(cache)
        edge.wait_ready()
        assert redis_check(edge)["detail"] == "connected"
        assert edge.log().count("refuses the user") == 1, "once, not at every try"
    finally:
        restore(cache)
        edge.remove()


def test_a_command_that_is_refused_on_a_live_connection_is_told_too(cache, shop):
    edge = Edge(shop, redis=cache.directive())
    try:
        order = edge.place().json["id"]
        cache.rules("edge", "-get")
        for _ in range(5):
            assert edge.get(f"/v1/orders/{order}").status == 200
        assert redis_check(edge)["detail"].startswith("refuses")
        assert edge.log().count("refuses the user") == 1
    finally:
        restore(cache)
        edge.remove()


def restore(cache):
    cache.rules("edge", "on", "resetpass", ">" + cache.password("edge"), "+evalsha",
                "+script|load", "+get")


def test_an_edge_without_a_user_is_told_that_it_needs_one(cache, shop):
    edge = Edge(shop, redis=cache.address, start=False)
    try:
        edge.start(ready=False)
        until(lambda: "NOAUTH" in edge.log(), "the log tells it")
        edge.wait_ready("degraded")
    finally:
        edge.remove()


@pytest.mark.parametrize("words, said", [
    ("user=comanda_edge", "stand together"),
    ("password_file={folder}/key", "stand together"),
    ("user=comanda_edge password_file={folder}/none", "No such file"),
    ("user=comanda_edge password_file={folder}/empty", "1 to 512 bytes, and holds 0"),
    ("user=comanda_edge password_file={folder}/mark", "byte order mark of UTF-16"),
    ("user= password_file={folder}/key", "user="),
    ("login=comanda_edge", "no parameter"),
])
def test_nginx_names_a_bad_login_before_it_starts(shop, words, said):
    edge = Edge(shop, start=False)
    try:
        (edge.folder / "empty").write_text("\n")
        (edge.folder / "mark").write_bytes(b"\xff\xfex\0")
        edge.conf.write_text(edge.conf.read_text().replace(
            f"comanda_redis hot {edge.redis};",
            f"comanda_redis hot {edge.redis} {words.format(folder=edge.folder)};"))
        done = edge.nginx("-t")
        assert done.returncode != 0 and said in done.stderr, done.stderr
        assert "nginx.conf:" in done.stderr
    finally:
        edge.remove()


def test_a_projector_that_is_refused_says_so_projects_on_and_mends(cache, tmp_path):
    database = Database()
    database.migrate()
    house = House(database, Vhost(), tmp_path, COMANDA_REDIS=cache.url("projector"))
    try:
        house.start("relay")
        cache.rules("projector", "off")
        projector = Daemon("projector", tmp_path, COMANDA_POSTGRES=database.conninfo,
                           COMANDA_AMQP=house.broker.url_of("projector"),
                           COMANDA_REDIS=cache.url("projector"), COMANDA_REDIS_TIMEOUT="30s")
        house.daemons["projector"] = projector
        detail = until(lambda: "WRONGPASS" in (text := projector.checks().get("redis", {})
                                               .get("detail", "")) and text, "the refusal")
        assert "comanda_projector" in detail and not projector.is_ready()
        order = house.place()
        until(lambda: database.rows("select 1 from comanda_read.documents where key = %s",
                                    str(order)), "the read schema goes on")
        cache.rules("projector", "on")
        projector.wait_ready()
        second = house.place()
        until(lambda: cache.client.get(f"comanda:doc:main:orders:{second}"), "it is cached")
        assert cache.password("projector") not in projector.log_path.read_text()
    finally:
        cache.rules("projector", "on")
        house.stop()
        house.broker.drop()
        database.drop()


def test_the_doctor_tells_a_refusal_from_an_absence(cache):
    def redis_row(url, check="redis"):
        done = subprocess.run([BUILD / "bin/comandactl", "doctor", "--json", "--redis", url],
                              capture_output=True, text=True, timeout=60)
        return {row["check"]: row for row in json.loads(done.stdout)}[check]
    assert redis_row(cache.url("operator"))["status"] == "ok"
    assert redis_row(cache.url("operator"), "redis memory")["status"] == "ok"
    wrong = redis_row(cache.url("operator").replace("comanda_operator:", "comanda_operator:geheim"))
    assert wrong["status"] == "fault" and "access redis" in wrong["advice"]
    assert "geheim" not in str(wrong)
    assert redis_row("redis://a:geheim@127.0.0.1:1")["status"] == "warning"
