# SPDX-License-Identifier: Apache-2.0
"""What should alarm does so when it matters: missing sagas under load, and who holds the log back."""
import contextlib
import json
import os
import subprocess
import types

import psycopg2
import pytest

from daemon import BUILD, Daemon, Database, until, uuid7
from edge import Edge
from fulfilment import SAGAS, Shop, Vhost, placed, saga_of
from test_edge_faults import Servers
from test_saga import HASTY, close_shop, open_shop

ROLES = ("relay", "edge", "saga", "payment", "inventory", "shipping", "projector", "operator",
         "readonly")


@pytest.fixture
def bare(tmp_path):
    made = open_shop(tmp_path)
    yield made
    close_shop(made)


@pytest.fixture(scope="module")
def servers():
    """Of this file's own: what is forgotten open here would hold up the log of every other test."""
    made = Servers("postgres")
    yield made
    made.remove()


@pytest.fixture(scope="module")
def database(servers):
    """Migrated by an owner who is no superuser."""
    made = Database(migrated=False, admin=servers.postgres)
    made.migrate()
    yield made
    made.drop()


@contextlib.contextmanager
def forgotten(servers):
    """A transaction that writes in another database, of somebody else."""
    with contextlib.closing(psycopg2.connect(servers.postgres_superuser)) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("select from pg_roles where rolname = 'billing'")
            if not cursor.fetchall():
                cursor.execute("create role billing login password 'secret'")
                cursor.execute("create database invoices owner billing")
    with contextlib.closing(psycopg2.connect(
            host=servers.postgres_host, port=servers.postgres_port, dbname="invoices",
            user="billing", password="secret", application_name="nightly run")) as session:
        session.cursor().execute("select pg_current_xact_id()")
        yield session.get_backend_pid()


def as_role(servers, database, role):
    """A superuser who plays it: sessions come in as the role, as they would with its password."""
    return (f"{servers.postgres_superuser} dbname={database.name}"
            f" options='-c role=comanda_{role}'")


def ask(conninfo, sql):
    with contextlib.closing(psycopg2.connect(conninfo)) as session, session.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def doctor(conninfo, check):
    done = subprocess.run([BUILD / "bin/comandactl", "doctor", "--json", "--postgres", conninfo],
                          capture_output=True, text=True, timeout=60, check=False)
    return next(row for row in json.loads(done.stdout) if row["check"] == check)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_told_how_long_a_forgotten_transaction_has_held_the_readers(
        servers, database, role):
    """Red before: 0 s, since the owner of the function saw his own sessions alone."""
    conninfo = as_role(servers, database, role)
    with forgotten(servers):
        until(lambda: ask(conninfo, "select comanda.horizon_age_s()")[0][0] > 0.1, "its age")
    until(lambda: ask(conninfo, "select comanda.horizon_age_s()")[0][0] == 0, "it has ended")


def test_doctor_and_the_relay_name_it(servers, database, tmp_path):
    operator = as_role(servers, database, "operator")
    broker = Vhost()
    relay = Daemon("relay", tmp_path, COMANDA_POSTGRES=as_role(servers, database, "relay"),
                   COMANDA_AMQP=broker.url, COMANDA_SAGAS=SAGAS)
    try:
        relay.wait_ready()
        with forgotten(servers) as pid:
            told = doctor(operator, "horizon")["detail"]
            assert f"pid {pid}, application nightly run, database invoices, user billing," in told
            assert "idle in transaction" in told
            until(lambda: relay.metric("comanda_log_horizon_age_seconds", absent=0) > 0, "its age")
    finally:
        relay.end()
        broker.drop()


def test_what_may_not_be_seen_is_no_zero(servers, database):
    """As after a restore by an owner who was never allowed to look."""
    conninfo = f"{servers.postgres_superuser} dbname={database.name}"
    database.rows("select")
    with contextlib.closing(psycopg2.connect(conninfo)) as admin:
        admin.autocommit = True
        cursor = admin.cursor()
        cursor.execute("select proowner::regrole::text from pg_proc where proname = 'horizon'")
        owner, = cursor.fetchone()
        cursor.execute("alter function comanda.horizon() owner to comanda_readonly")
        try:
            with forgotten(servers):
                assert ask(as_role(servers, database, "operator"),
                           "select age_s from comanda.horizon()") == [(None,)]
                told = doctor(as_role(servers, database, "operator"), "horizon")
                assert told["status"] == "fault"
                assert told["advice"] == "as a superuser: grant pg_read_all_stats to comanda_readonly"
        finally:
            cursor.execute(f"alter function comanda.horizon() owner to {owner}")


def test_an_owner_who_cannot_be_let_see_is_told_so_by_migrate(servers):
    """He does not inherit what he is granted."""
    with contextlib.closing(psycopg2.connect(servers.postgres_superuser)) as admin:
        admin.autocommit = True
        admin.cursor().execute("create role blind login noinherit createdb createrole"
                               " password 'secret'")
        admin.cursor().execute("create database blinds owner blind")
    conninfo = (f"host={servers.postgres_host} port={servers.postgres_port} dbname=blinds user=blind"
                " password=secret")
    done = subprocess.run([BUILD / "bin/comandactl", "migrate", "--postgres", conninfo],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "the owner of the schema, blind, may not see the sessions of others" in done.stderr
    assert "grant pg_read_all_stats to blind" in done.stderr


def test_the_edge_does_not_blame_the_relay_for_a_transaction(servers, database):
    edge = Edge(types.SimpleNamespace(key="a development key of forty-two bytes, more",
                                      database=database), redis="", start=False)
    try:
        edge.start()
        database.rows("insert into comanda.leases (name, holder, fence, renewed_at, epoch, tx)"
                      " select 'relay', 'x', 1, now(), epoch, pg_current_xact_id() from comanda.log"
                      " on conflict (name) do update set epoch = excluded.epoch, tx = excluded.tx")
        with forgotten(servers):
            database.rows(
                "insert into comanda.events (recorded_at, epoch, tenant, category, stream_id,"
                " version, event_id, kind, type, schema_version, data, meta) select now() - interval"
                " '1 minute', epoch, 'main', 'order', %s, 1, %s, 'event', 'X', 1, '{}', '{}'"
                " from comanda.log", str(uuid7()), str(uuid7()))
            held = edge.get("/readyz", token=None).json
            assert held["status"] == "degraded"
            assert held["checks"]["relay"]["status"] == "up"
            assert held["checks"]["horizon"]["status"] == "down"
            assert "comandactl doctor names it" in held["checks"]["horizon"]["detail"]
        late = until(lambda: edge.get("/readyz", token=None).json, "an answer")
        assert late["status"] == "degraded"
        assert late["checks"]["relay"]["status"] == "down"
        assert late["checks"]["horizon"]["status"] == "up"
    finally:
        edge.remove()
        database.rows("delete from comanda.leases")


def test_a_prepared_transaction_is_named_by_its_id(servers, database):
    with contextlib.closing(psycopg2.connect(servers.postgres_superuser)) as admin:
        admin.autocommit = True
        admin.cursor().execute("alter system set max_prepared_transactions = 2")
    servers.call("stop")
    servers.call("start", "--only", "postgres")
    with forgotten(servers):
        pass  # its database is there
    invoices = servers.postgres_superuser.replace("dbname=postgres", "dbname=invoices")
    with contextlib.closing(psycopg2.connect(invoices)) as session:
        session.autocommit = True
        cursor = session.cursor()
        cursor.execute("begin; create table bill (id int); prepare transaction 'bill 7'")
        try:
            told = doctor(as_role(servers, database, "operator"), "horizon")["detail"]
            assert "prepared transaction bill 7 of comanda in invoices" in told
            assert ask(as_role(servers, database, "edge"), "select comanda.horizon_age_s() > 0") == \
                [(True,)]
        finally:
            cursor.execute("rollback prepared 'bill 7'")


# --- sagas

def place_long_ago(shop, hours):
    order = uuid7()
    shop.database.rows(
        "insert into comanda.events (recorded_at, epoch, tenant, category, stream_id, version,"
        " event_id, kind, type, schema_version, data, meta) select now() - make_interval(hours => %s),"
        " epoch, 'main', 'order', %s, 1, %s, 'event', 'OrderPlaced', 1, %s, '{}' from comanda.log",
        hours, str(order), str(uuid7()), json.dumps(placed()))
    return order


def test_a_first_look_goes_a_day_back(tmp_path):
    shop = Shop(Database(), None, tmp_path)
    try:
        for hours in (60, 50, 40, 23, 5, 2):
            place_long_ago(shop, hours)
        look = ("select missing, oldest < now() - interval '22 hours' from comanda.sagas_look('s',"
                " 'saga:s', '{order}', '{OrderPlaced}', '20 s', '0 s', 1000, 1000)")
        until(lambda: shop.database.rows(look) == [(3, True)], "those of a day")
        after = "select count(*) from comanda.events e, comanda.log_at(now() - %s::interval) l where" \
                " (e.epoch, e.tx, e.position) > (l.epoch, l.tx, l.position)"
        for ago, rows in (("10 minutes", 0), ("3 hours", 1), ("24 hours", 3), ("70 hours", 6)):
            assert shop.database.rows(after, ago) == [(rows,)], ago
    finally:
        shop.database.drop()


def test_a_look_that_fails_is_counted_and_leaves_no_value(bare):
    """Red before: the gauge kept its last value, as if it had just been looked at."""
    bare.start("relay", "saga")
    saga = bare.daemons["saga"]
    until(lambda: saga.metric("comanda_sagas_missing", absent=-1) == 0, "a first look")
    assert saga.metric("comanda_sagas_look_failures_total") == 0
    bare.database.rows("alter table comanda.saga_missing rename to saga_missing_away")
    bare.end("saga")
    bare.start("saga", wait=False)
    saga = bare.daemons["saga"]
    until(lambda: saga.metric("comanda_sagas_look_failures_total") > 0, "it is counted")
    for name in ("missing", "parked", "watch_behind_seconds"):
        assert saga.metric(f"comanda_sagas_{name} ", absent=-1) == -1
    bare.database.rows("alter table comanda.saga_missing_away rename to saga_missing")
    until(lambda: saga.metric("comanda_sagas_missing ", absent=-1) == 0, "it looks again")


def test_a_look_that_another_process_never_ends_is_none(bare):
    """Its commit waits for a standby, say: what was found before is too old to tell."""
    bare.start("relay", "saga")
    until(lambda: bare.daemons["saga"].metric("comanda_sagas_missing ", absent=-1) == 0, "a look")
    bare.end("saga")
    bare.database.rows("update comanda.saga_watch set looked_at = now() - interval '10 minutes',"
                       " due_at = '-infinity'")
    with contextlib.closing(psycopg2.connect(bare.database.conninfo)) as session:
        session.cursor().execute("select from comanda.saga_watch for update")
        bare.start("saga", wait=False)
        saga = bare.daemons["saga"]
        until(lambda: saga.metric("comanda_sagas_look_failures_total") > 0, "it is told")
        assert saga.metric("comanda_sagas_missing ", absent=-1) == -1
    until(lambda: saga.metric("comanda_sagas_missing ", absent=-1) == 0, "it looks itself")


def test_timers_fire_while_a_look_is_held_up(tmp_path):
    """Red before: the loop that fires them was the one that looked."""
    shop = open_shop(tmp_path, **HASTY)
    try:
        shop.start("relay", "saga", wait=True)
        with contextlib.closing(psycopg2.connect(shop.database.conninfo)) as session:
            session.cursor().execute("lock table comanda.saga_watch in exclusive mode")
            shop.database.rows("set lock_timeout = '1s'")
            order = shop.place()
            until(lambda: ("authorize", "forward", 2) in shop.commands(order), "its timer fires")
        assert shop.types(saga_of(order))
    finally:
        close_shop(shop)
