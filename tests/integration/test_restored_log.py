# SPDX-License-Identifier: Apache-2.0
"""A log that was restored: from a dump into another cluster, and from an older copy of the data."""
import json
import subprocess

import pytest

from daemon import BUILD, Daemon, Database, ROOT, until
from edge import Edge, Shop
from relay_fixtures import ID_FUNCTION, done, fill, vhost  # noqa: F401
from standby import BIN, Cluster
from test_edge_faults import Servers
from test_relay_promoted import BURN

SAYS = "run comandactl log adopt"


@pytest.fixture
def servers():
    made = Servers("postgres")
    yield made
    made.remove()


@pytest.fixture
def start(vhost, tmp_path):
    started = []

    def start_one(name, database, **settings):
        started.append(Daemon(name, tmp_path, COMANDA_POSTGRES=database.conninfo,
                              COMANDA_AMQP=vhost.url_of(name),
                              COMANDA_SAGAS=ROOT / "conf" / "sagas", **settings))
        return started[-1]

    yield start_one
    for daemon in started:
        daemon.end()


def comandactl(database, *arguments):
    return subprocess.run([BUILD / "bin/comandactl", *arguments, "--postgres", database.conninfo],
                          capture_output=True, text=True, timeout=60, check=False)


def adopt(database, *arguments):
    done_so = comandactl(database, "log", "adopt", "--json", *arguments)
    assert done_so.returncode == 0, done_so.stderr
    return json.loads(done_so.stdout)


def doctor_on_the_log(database):
    return next(row for row in json.loads(comandactl(database, "doctor", "--json").stdout)
                if row["check"] == "log")


def restore(database, into):
    # The roles that its grants name are the cluster's.
    dump = subprocess.run([BIN / "pg_dump", "--no-owner", "-d", database.conninfo],
                          check=True, capture_output=True, timeout=60).stdout
    subprocess.run([BIN / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", into.conninfo], input=dump,
                   check=True, capture_output=True, timeout=60)


def why(daemon):
    return daemon.checks()["postgres"]["detail"]


def test_a_dump_in_another_cluster_is_not_used_until_it_is_adopted(servers, vhost, start):
    """Red before: the edge and every daemon were ready and took commands; no reader saw a row."""
    other = Cluster(servers, "other")
    shop = Shop(Database(admin=servers.postgres))
    shop.database.rows(ID_FUNCTION)
    shop.database.rows(BURN)
    Database(admin=other.conninfo)  # makes the roles
    restored = Database(migrated=False, admin=other.conninfo)
    fill(shop.database, 1, 20)
    relay = start("relay", shop.database)
    done(shop.database)
    relay.stop()
    fill(shop.database, 21, 40)  # not published before the dump
    there, shop.database = shop.database, restored
    edge = Edge(shop, redis="", start=False)
    try:
        # Programs that run while it is being restored: their sessions must not outlive that.
        edge.start(ready=False)
        programs = [start(name, restored) for name in ("relay", "saga", "inventory")]
        for program in programs:
            until(lambda p=program: "run comandactl migrate" in why(p), "it says what it lacks")
        restore(there, restored)
        for program in programs:
            until(lambda p=program: SAYS in why(p), f"{program.name} knows a restored log")
            assert program.get("/readyz")[0] == 503
        until(lambda: SAYS in edge.get("/readyz", token=None).text.decode(), "the edge does too")
        assert edge.place().status == 503 and edge.get("/readyz", token=None).status == 503
        assert SAYS in edge.log()
        assert doctor_on_the_log(restored)["status"] == "fault"
        refused = comandactl(restored, "projection", "status")
        assert refused.returncode == 3 and SAYS in refused.stderr

        # Programs of before know nothing of it.
        fill(restored, 1001, 1005)
        plan = adopt(restored, "--dry-run")
        assert (plan["adopted"], plan["foreign"], plan["overlooked"]) == (False, True, 5)
        assert plan["last_position"] - plan["first_position"] == 4
        assert adopt(restored) == {**plan, "adopted": True, "dry_run": False}

        for program in programs:
            program.wait_ready()
        fill(restored, 41, 60)
        numbers, _ = vhost.numbers("comanda.projector", range(21, 61))
        assert not set(numbers) & set(range(1001, 1006)), "event replay is for those"
        done(restored)
        edge.wait_ready()
        assert edge.place().status == 201
        assert doctor_on_the_log(restored)["status"] == "ok"
        assert adopt(restored)["adopted"] is False
    finally:
        edge.remove()
        there.drop()
        other.remove()


def test_a_copy_from_before_goes_on_past_what_it_has_lost(servers, vhost, start):
    """As after a restore to a point in time: the identifier is kept, and so are transaction ids and
    positions of rows that the broker has seen and the log has lost."""
    database = Database(admin=servers.postgres)
    database.rows(ID_FUNCTION)
    fill(database, 1, 20)
    relay = start("relay", database)
    done(database)
    database.session.connection.close()
    data = (servers.link / "postgres").resolve()
    servers.call("stop", "--only", "postgres")
    subprocess.run(["cp", "-a", data, f"{data}.before"], check=True)
    servers.call("start", "--only", "postgres")
    fill(database, 21, 60)
    _, lost = vhost.numbers("comanda.projector", range(1, 61))
    database.session.connection.close()
    servers.call("stop", "--only", "postgres")
    subprocess.run(["rm", "-rf", str(data)], check=True)
    subprocess.run(["mv", f"{data}.before", data], check=True)
    servers.call("start", "--only", "postgres")

    assert adopt(database)["adopted"] is False, "it cannot be known"
    seen = max(position(body) for _, _, body in lost)
    said = adopt(database, "--after-restore")
    assert (said["adopted"], said["foreign"], said["republished"]) == (True, False, 20)
    fill(database, 101, 120)
    numbers, messages = vhost.numbers("comanda.projector", [*range(1, 21), *range(101, 121)])
    assert not set(numbers) & set(range(21, 61))
    for _, _, body in messages:
        if body["data"]["n"] > 100:
            epoch, _tx, at = position(body)
            assert epoch > seen[0] and at > seen[2] + 2 ** 40 - 100
    done(database)
    relay.wait_ready()
    past = f"{said['new_epoch'] + 10 ** 6}.7.{2 ** 50}"
    plan = adopt(database, "--after-restore", "--past", past, "--dry-run")
    assert plan["new_epoch"] > said["new_epoch"] + 10 ** 6 and plan["next_position"] > 2 ** 50
    assert comandactl(database, "log", "adopt", "--past", past).returncode == 2
    assert comandactl(database, "log", "adopt", "--after-restore", "--past", "7").returncode == 2


def position(body):
    return tuple(map(int, body["position"].split(".")))
