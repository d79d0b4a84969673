# SPDX-License-Identifier: Apache-2.0
"""The load: wrk against the edge, pgbench against three plain tables."""
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import uuid

from house import ROOT

WRK_SCRIPT = pathlib.Path(__file__).parent / "load" / "wrk.lua"
CONNECTIONS = 64
CLIENTS = (8, 16, 32, 64)
DATABASE = "bench"

TABLES = """
create table keys (id uuid primary key, fingerprint uuid not null, stream_id uuid not null,
    version int4 not null, status int2 not null, recorded_at timestamptz not null default now());
create table events (stream_id uuid not null, version int4 not null, event_id uuid not null,
    tenant text not null, category text not null, type text not null,
    recorded_at timestamptz not null default now(), data json not null, meta json not null,
    primary key (stream_id, version));
create table outbox (position bigint generated always as identity primary key,
    event_id uuid not null, topic text not null, data json not null, meta json not null);
-- Ids that fall together, as a UUID version 7 does.
create function id_now() returns uuid language sql volatile as $$
    select (lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::int8), 12, '0')
        || '7' || substr(md5(random()::text), 1, 19))::uuid $$;
"""
KEY = "insert into keys (id, fingerprint, stream_id, version, status) values ({id}, {id}, {id}, 1, 201)"
EVENT = ("insert into events (stream_id, version, event_id, tenant, category, type, data, meta) "
         "values ({id}, 1, {id}, 'main', 'order', 'OrderPlaced', :data, :meta)")
OUTBOX = ("insert into outbox (event_id, topic, data, meta) "
          "values ({id}, 'order.OrderPlaced', :data, :meta)")


def statements():
    words = [text.format(id="id_now()") for text in (KEY, EVENT, OUTBOX)]
    return "begin;\n" + ";\n".join(words) + ";\ncommit;\n"


def one_statement():
    return (f"with k as ({KEY.format(id='id_now()')}), e as ({EVENT.format(id='id_now()')})\n"
            f"{OUTBOX.format(id='id_now()')};\n")


class Pgbench:
    """Key, event and outbox row with the bytes of a real order, on the same server."""

    def __init__(self, house):
        self.house = house
        self.folder = house.home.folder("pgbench")
        self.scripts = {"three": house.home.write("pgbench/three.sql", statements()),
                        "cte": house.home.write("pgbench/cte.sql", one_statement())}
        server = house.shop.server("COMANDA_TEST_POSTGRES")
        house.shop.sql(server, f"create database {DATABASE}")
        house.sql(TABLES, DATABASE)
        self.data, self.meta = house.sql(
            "select data, meta from comanda.events where type = 'OrderPlaced' limit 1").split("|", 1)

    def run(self, script, clients, seconds):
        words = dict(word.split("=", 1) for word in self.house.shop.conninfo("owner").split())
        done = subprocess.run(
            ["/usr/lib/postgresql/15/bin/pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j",
             "2", "-T", str(seconds), "-f", self.scripts[script], "-D", f"data={self.data}", "-D",
             f"meta={self.meta}", "-h", "127.0.0.1", "-p", words["port"], "-U", words["user"],
             DATABASE], env=dict(os.environ, PGPASSWORD=words["password"]), check=True,
            capture_output=True, text=True)
        if "number of failed transactions: 0" not in done.stdout:
            raise ValueError(f"pgbench had failures: {done.stdout}{done.stderr}")
        # On a busy machine 64 clients may need the whole time to connect; others then do better.
        rate = re.search(r"tps = ([\d.]+)", done.stdout)
        return float(rate[1]) if rate else 0.0

    def best(self, script, seconds):
        return max(self.run(script, clients, seconds) for clients in CLIENTS)


def wrk(url, token, seconds, mode="get", connections=CONNECTIONS, count=0, **settings):
    """Runs wrk with our script; returns what it tells, as a dict. count: ends after so many orders,
    long before the seconds are over."""
    environment = dict(os.environ, BENCH_TOKEN=token, BENCH_MODE=mode, BENCH_COUNT=str(count),
                       **{f"BENCH_{name.upper()}": str(value) for name, value in settings.items()})
    with tempfile.TemporaryDirectory() as folder:
        taken = pathlib.Path(folder) / "taken"
        child = subprocess.Popen(
            ["/usr/bin/wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout",
             "60s", "-s", WRK_SCRIPT, url], cwd=ROOT, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=dict(environment, BENCH_TAKEN=str(taken)))
        while count and child.poll() is None:
            if taken.exists():  # wrk would sleep its seconds out
                child.send_signal(signal.SIGINT)
            time.sleep(0.02)
        output, errors = child.communicate()
    if child.returncode:
        raise ValueError(f"wrk ended with {child.returncode}: {output}{errors}")
    told = json.loads(re.search(r"^BENCH (.*)$", output, re.MULTILINE)[1])
    if told["refused"] or told["broken"]:
        raise ValueError(f"answers that were refused or broken off: {output}")
    return told


def key_id(subject, key):
    """The id that the edge keeps a key under (common/application/command/idempotency_key.c)."""
    digest = hashlib.sha256(b"\0".join([b"main", subject.encode(), key.encode()])).digest()
    if uuid.UUID(key).version == 7:
        return uuid.UUID(bytes=uuid.UUID(key).bytes[:6] + digest[:10])
    return uuid.UUID(bytes=bytes([digest[0] | 0x80]) + digest[1:16])


def check_keys(house, path, answered):
    """Every key that was answered is in the log, with its event. At most the 64 requests that the
    end of a run broke off, and the one that wrk makes up to look at the script, may be missing."""
    keys = pathlib.Path(path).read_text().split()
    ids = "\n".join(str(key_id("ana", key)) for key in keys)
    found = int(house.sql(
        "create temp table sent (id uuid);\ncopy sent from stdin;\n" + ids + "\n\\.\n"
        "select count(*) from sent s join comanda.keys k using (id) join comanda.events e "
        "on e.stream_id = k.stream_id and e.version = k.version;"))
    if found < answered or len(keys) - found > CONNECTIONS + 1:
        raise ValueError(f"{len(keys)} keys sent, {answered} answered, {found} in the log")
    return found
