# SPDX-License-Identifier: Apache-2.0
"""The edge at PostgreSQL servers that are not as one would wish: other defaults, a standby first, a
promotion, a synchronous standby that never confirms."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess

import psycopg2
import pytest

from daemon import BUILD, Database, free_port, until
from edge import Edge, Shop, order_body, together
from nginx import processes, server_user
from test_edge_faults import Servers
from test_edge_long_streams import COUNTERS, counter, kept, look

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
NAME = "Açaí São João"

DEFAULTS = {"client_encoding": "LATIN1", "DateStyle": "German", "IntervalStyle": "iso_8601",
            "TimeZone": "America/Sao_Paulo", "bytea_output": "escape",
            "standard_conforming_strings": "off", "default_transaction_isolation": "serializable",
            "default_transaction_read_only": "on", "synchronous_commit": "off"}
OURS = {"client_encoding": "UTF8", "DateStyle": "ISO, MDY", "IntervalStyle": "postgres",
        "TimeZone": "UTC", "bytea_output": "hex", "standard_conforming_strings": "on",
        "default_transaction_isolation": "read committed", "default_transaction_read_only": "off",
        "synchronous_commit": "on"}

# /readyz calls it, so it sees a session of the edge.
SPY = """
create table public.seen (name text, setting text);
alter function comanda.relay_stands() rename to relay_stands_really;
create function comanda.relay_stands() returns table (behind_s int4, held bool) language plpgsql as $$ begin
    insert into public.seen select s.name, s.setting from pg_settings s;
    return query select * from comanda.relay_stands_really();
end $$"""


def set_defaults(database):
    """The session that `rows` keeps is older, and has none of them."""
    for name, value in DEFAULTS.items():
        database.rows(f'alter database "{database.name}" set {name} to \'{value}\'')


@pytest.mark.parametrize("options, synchronous_commit", [
    ("", "on"), (" options='-c synchronous_commit=local -c DateStyle=SQL -c lock_timeout=7s'", "local")])
def test_a_session_says_what_bytes_mean(options, synchronous_commit):
    """Red before: no command was ever served (read only); under LATIN1 alone the name was mojibake."""
    shop = Shop()
    shop.database.rows(SPY)
    set_defaults(shop.database)
    shop.database.conninfo += options
    edge = Edge(shop)
    try:
        assert edge.place(body=order_body(name=NAME)).status == 201
        seen = dict(shop.database.rows("select name, setting from public.seen"))
        assert {name: seen[name] for name in OURS} == OURS | {"synchronous_commit": synchronous_commit}
        assert seen["lock_timeout"] == ("7000" if options else "0")
        assert shop.database.rows("select data->'ship_to'->>'name' from comanda.events"
                                  " where type = 'OrderPlaced'") == [(NAME,)]
    finally:
        edge.remove()
        shop.drop()


def comandactl(*arguments):
    return subprocess.run([BUILD / "bin/comandactl", *arguments], capture_output=True, text=True,
                          timeout=60, check=False)


def test_migrate_refuses_a_database_that_is_not_utf8():
    database = Database(migrated=False)
    database.drop_now()
    database.run_admin(f'create database "{database.name}" encoding \'LATIN1\' locale \'C\''
                       " template template0")
    try:
        done = comandactl("migrate", "--postgres", database.conninfo)
        assert done.returncode != 0
        assert f"the database {database.name} has the encoding LATIN1, the log needs UTF8" in done.stderr
        assert database.rows("select to_regnamespace('comanda')") == [(None,)]
    finally:
        database.drop()


# --- servers of this file's own ---


@pytest.mark.parametrize("addresses", ["hostaddr=127.0.0.1,127.0.0.2 port=1,2,3",
                                       "host=one hostaddr=127.0.0.1,127.0.0.2"])
def test_lists_of_addresses_that_do_not_fit_are_refused(make_nginx, addresses):
    code, said = make_nginx(http=f'comanda_postgres main "{addresses}";').test()
    assert code != 0
    assert "give as many host as hostaddr, and one port or as many as those" in said


@pytest.fixture(scope="module")
def servers():
    made = Servers("postgres")
    yield made
    made.remove()


def ask(conninfo, sql):
    connection = psycopg2.connect(conninfo)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(sql)
    rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


class Standby:
    """A streaming one of the file's server."""

    def __init__(self, servers):
        self.user = server_user()
        self.port = free_port()
        self.folder = (servers.link / "postgres").resolve().parent / "standby"
        self.conninfo = servers.postgres_superuser.replace(f"port={servers.postgres_port}",
                                                           f"port={self.port}")
        self.call(BIN / "pg_basebackup", "-D", self.folder, "-R", "-X", "stream", "-c", "fast",
                  "--no-sync", "-d", servers.postgres_superuser.replace("dbname=postgres", ""))
        self.child = subprocess.Popen([BIN / "postgres", "-D", self.folder, "-c", f"port={self.port}"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      **self.as_user())
        until(self.recovers, "the standby answers")

    def as_user(self):
        if not self.user:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def call(self, *command):
        subprocess.run(command, check=True, capture_output=True, timeout=60, cwd="/", **self.as_user())

    def recovers(self):
        with contextlib.suppress(psycopg2.OperationalError):
            return ask(self.conninfo, "select pg_is_in_recovery()")[0][0]

    def stop_answering(self):
        """The kernel still takes connections, as it does for a while where a machine is stuck."""
        self.child.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.child.send_signal(signal.SIGCONT)

    def promote(self):
        ask(self.conninfo, "select pg_promote()")

    def remove(self):
        self.go_on()
        self.child.send_signal(signal.SIGQUIT)
        self.child.wait(timeout=60)
        subprocess.run(["rm", "-rf", str(self.folder)], check=False)


def out_now(servers):
    """The edge's: a drop of an earlier test's database or an autovacuum may wait there too."""
    return ask(servers.postgres_superuser, "select count(*) from pg_stat_activity"
               " where wait_event = 'SyncRep' and application_name = 'comanda-edge'")[0][0]


def set_standby_names(servers, names):
    ask(servers.postgres_superuser, f"alter system set synchronous_standby_names = '{names}'")
    ask(servers.postgres_superuser, "select pg_reload_conf()")
    until(lambda: ask(servers.postgres_superuser, "show synchronous_standby_names") == [(names,)],
          "the setting is read")


def doctor_on_standbys(servers, shop):
    conninfo = f"{servers.postgres_superuser} dbname={shop.database.name}"
    found = json.loads(comandactl("doctor", "--json", "--postgres", conninfo).stdout)
    return next(row for row in found if row["check"] == "standby")


def test_a_standby_that_never_confirms_holds_a_stated_number_of_sessions(servers):
    """Red before: each batch that had no answer in time left a backend behind, and /readyz was 200."""
    shop = Shop(Database(admin=servers.postgres))
    edge = Edge(shop, redis="", timeout="500ms", start=False)
    try:
        edge.start()
        set_standby_names(servers, "nobody")
        answers = [edge.place() for _ in range(6)]
        assert [answer.status for answer in answers] == [504] * 2 + [503] * 4
        assert set(together(lambda n: edge.place().status, 8)) == {503}
        assert out_now(servers) == 2
        assert edge.metric("comanda_postgres_abandoned") == 2
        ready = edge.get("/readyz", token=None)
        assert (ready.status, ready.json["status"]) == (503, "not ready")
        assert "synchronous standby" in ready.json["checks"]["commands"]["detail"]
        assert edge.get("/v1/products", token=None).status == 200
        until(lambda: doctor_on_standbys(servers, shop)["detail"].startswith("2 sessions wait"),
              "doctor sees them")
        assert doctor_on_standbys(servers, shop)["status"] == "fault"
        set_standby_names(servers, "")
        until(lambda: edge.metric("comanda_postgres_abandoned") == 0, "they have their answers")
        edge.wait_ready()
        assert edge.place().status == 201
        assert len(shop.orders()) == 3, "what had no answer in time was done"
    finally:
        set_standby_names(servers, "")
        edge.remove()
        shop.drop()


def test_snapshots_do_not_wait_for_a_standby(servers):
    """Red before: each that had no answer in time left a backend behind, without a bound."""
    shop = Shop(Database(admin=servers.postgres), products=False)
    edge = Edge(shop, redis="", timeout="500ms", modules="seam/module", locations=COUNTERS)
    try:
        streams = [counter(shop.database, 300) for _ in range(4)]
        set_standby_names(servers, "nobody")
        for stream in streams:
            assert look(edge, stream).json["value"] == 299
            until(lambda: kept(edge, stream), "its snapshot is kept")
        assert out_now(servers) == 0
        assert edge.metric('comanda_snapshots_total{outcome="failed"}') == 0
    finally:
        set_standby_names(servers, "")
        edge.remove()
        shop.drop()


def test_a_standby_is_passed_over_and_found_when_it_is_promoted(servers):
    shop = Shop(Database(admin=servers.postgres))
    standby = Standby(servers)
    shop.database.conninfo = shop.database.conninfo.replace("host=127.0.0.1", "host=127.0.0.1,127.0.0.1")
    shop.database.conninfo = shop.database.conninfo.replace(
        f"port={servers.postgres_port}", f"port={standby.port},{servers.postgres_port}")
    edge = Edge(shop, redis="", timeout="2s", start=False)
    try:
        standby.stop_answering()
        edge.start(ready=False)
        until(lambda: edge.readiness() == "ready", "the next address is tried")
        standby.go_on()
        edge.wait_ready()
        assert edge.place().status == 201
        last = ask(servers.postgres_superuser, "select pg_current_wal_lsn()")[0][0]
        until(lambda: ask(standby.conninfo, f"select pg_last_wal_replay_lsn() >= '{last}'")[0][0],
              "the standby has it")
        primary = servers.pid("postgres")
        os.kill(primary, signal.SIGQUIT)
        until(lambda: not processes.is_running(primary), "it has ended")
        until(lambda: edge.place().status == 503, "none serves")
        standby.promote()
        until(lambda: edge.place().status == 201, "the edge has found it")
        assert len(shop.orders()) == 2
        edge.wait_ready()
    finally:
        edge.remove()
        standby.remove()
        servers.call("start", "--only", "postgres")
        shop.drop()
