# SPDX-License-Identifier: Apache-2.0
"""What the tests of the relay share: a log to fill, a broker to look into, one of their own to hurt."""
import json
import os
import pathlib
import shlex
import subprocess
import tempfile
import time
import urllib.parse

import psycopg2
import pytest

from daemon import PATIENCE_S, ROOT, Broker, Daemon, Database, until

FILL = """
    insert into comanda.events (epoch, version, stream_id, event_id, schema_version, tenant,
        category, kind, type, data, meta)
    select 1, 1, comanda_test_id(i), comanda_test_id(i), 1, 'main', %(category)s, %(kind)s, %(type)s,
        json_build_object('n', i), %(meta)s
    from generate_series(%(first)s, %(last)s) i"""

# Ids that tell their number, in the partitions of today.
ID_FUNCTION = """
    create function comanda_test_id(i int) returns uuid language sql as $$
        select (lpad(to_hex((extract(epoch from now()) * 1000)::bigint), 12, '0') || '7'
            || lpad(to_hex(i), 19, '0'))::uuid $$"""


class Vhost(Broker):
    """A bare virtual host: the relay declares what is in it."""

    def __init__(self, http=None, amqp=None):
        self.make_vhost(amqp, http)

    def has(self, queue):
        queues = self.call("GET", f"/api/queues/{self.vhost}?columns=name")
        return queue in {found["name"] for found in queues}

    def numbers(self, queue, wanted, timeout=PATIENCE_S):
        """Takes messages until every wanted number was seen; gives (numbers in order, messages)."""
        wanted, seen, messages = set(wanted), [], []
        until(lambda: self.has(queue), f"queue {queue} is there", timeout)
        connection = self.connect()
        channel = connection.channel()
        channel.basic_qos(prefetch_count=500)
        deadline = time.monotonic() + timeout
        for method, properties, body in channel.consume(queue, inactivity_timeout=0.2):
            if method is not None:
                event = json.loads(body)
                seen.append(event["data"]["n"])
                messages.append((method, properties, event))
                channel.basic_ack(method.delivery_tag)
            elif wanted <= set(seen):
                break
            elif time.monotonic() > deadline:
                missing = sorted(wanted - set(seen))
                raise AssertionError(f"{len(missing)} never came to {queue}, first {missing[0]}")
        channel.cancel()
        connection.close()
        return seen, messages

    def delete(self, kind, name):
        connection = self.connect()
        channel = connection.channel()
        getattr(channel, f"{kind}_delete")(name)
        connection.close()

    def bindings(self):
        return {(binding["destination"], binding["source"], binding["routing_key"])
                for binding in self.call("GET", f"/api/bindings/{self.vhost}")}

    def depth(self, queue):
        connection = self.connect()
        count = connection.channel().queue_declare(queue, passive=True).method.message_count
        connection.close()
        return count

    def unbind(self, queue, exchange, key):
        connection = self.connect()
        connection.channel().queue_unbind(queue, exchange, key)
        connection.close()

    def close_connections(self):
        for connection in self.call("GET", f"/api/vhosts/{self.vhost}/connections"):
            self.call("DELETE", "/api/connections/" + urllib.parse.quote(connection["name"]))

    def drop(self):
        self.call("DELETE", f"/api/vhosts/{self.vhost}")


class OwnBroker:
    """A RabbitMQ of the test's own, to be stopped, killed and starved of memory."""

    def __init__(self):
        self.parent = pathlib.Path(tempfile.mkdtemp(prefix="comanda-relay-", dir="/var/tmp"))
        self.parent.chmod(0o755)
        self.folder = self.parent / "servers"
        try:
            self.start()
        except BaseException:
            self.remove()  # nobody else knows of it yet
            raise

    def script(self, action, *options):
        subprocess.run([ROOT / "scripts" / "servers", action, self.folder, *options], check=True,
                       capture_output=True, timeout=180)

    def start(self):
        self.script("start", "--only", "rabbitmq")
        lines = (self.folder / "env").read_text().splitlines()
        environment = dict(line.split("=", 1) for line in lines)
        self.amqp = shlex.split(environment["COMANDA_TEST_AMQP"])[0]
        self.http = shlex.split(environment["COMANDA_TEST_AMQP_HTTP"])[0]

    def signal(self, number):
        os.kill(int((self.folder / "pids" / "rabbitmq.pid").read_text()), number)

    def control(self, *words):
        ports = dict(line.split("=") for line in (self.folder / "ports").read_text().split())
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                       "HOME": str(self.folder / "rabbitmq" / "home"),
                       "ERL_EPMD_PORT": ports["epmd"],
                       "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
                       "RABBITMQ_CTL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"}
        subprocess.run(["/usr/lib/rabbitmq/bin/rabbitmqctl", "-n", "comanda@localhost", *words],
                       env=environment, check=True, capture_output=True, timeout=60)

    def remove(self):
        self.script("remove")
        self.parent.rmdir()


@pytest.fixture
def database():
    made = Database()
    made.rows(ID_FUNCTION)
    yield made
    made.drop()


@pytest.fixture
def vhost():
    made = Vhost()
    yield made
    made.drop()


@pytest.fixture(scope="module")
def own_broker():
    made = OwnBroker()
    yield made
    made.remove()


@pytest.fixture
def own_vhost(own_broker):
    made = Vhost(own_broker.http, own_broker.amqp)
    yield made
    made.drop()


@pytest.fixture
def start(database, tmp_path):
    started = []

    def start_one(broker, name="relay", **settings):
        daemon = Daemon(name, tmp_path, COMANDA_POSTGRES=database.conninfo,
                        COMANDA_AMQP=broker.url_of(name),
                        COMANDA_SAGAS=ROOT / "conf" / "sagas", **settings)
        started.append(daemon)
        return daemon

    yield start_one
    for daemon in started:
        daemon.end()


def fill(database, first, last, category="order", kind="event", kind_type="OrderPlaced", meta="{}"):
    connection = psycopg2.connect(database.conninfo)
    with connection, connection.cursor() as cursor:
        cursor.execute(FILL, {"first": first, "last": last, "category": category, "kind": kind,
                              "type": kind_type, "meta": meta})
        # Its positions are given out before it commits, and it takes no lock as comanda.append does:
        # a relay that falls asleep in between would not look again.
        cursor.execute("notify comanda_relay")
    connection.close()


APPEND = """select comanda.append('{1}', 1, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
    '{}', '{0}', '{0}', array[u.id], '{0}', '{f}', '{0}', '{t}', array[u.id], '{1}', array[u.id],
    '{1}', '{main}', '{order}', '{event}', '{OrderPlaced}', '{"{}"}', '{"{}"}', '{}', '{}', '{}', '{}',
    '{}', '{}', '{}', '{}') from gen_random_uuid() u (id)"""


def append(database):
    """One event, as the programs append it."""
    database.rows(APPEND)


def pending(database):
    return database.rows("select count(*) from comanda.outbox")[0][0]


def lease(database):
    """(holder, fence)"""
    rows = database.rows("select holder, fence from comanda.leases where name = 'relay'")
    return rows[0] if rows else (None, 0)


def renewed(database):
    """When the lease was renewed last, and the clock that told it."""
    return database.rows("select renewed_at, clock_timestamp() from comanda.leases"
                         " where name = 'relay'")[0]


def sent_once(database, relay, fence=1):
    """Whether the relay had no reason to send a row again: neither a lease that was lost, as it is
    when PostgreSQL does not answer in time, nor a broker."""
    return lease(database)[1] == fence and relay.metric("comanda_relay_rewinds_total", absent=0) == 0


def leads(daemon):
    return daemon.metric("comanda_relay_leader", absent=0) == 1


def done(database):
    until(lambda: pending(database) == 0, "the checkpoint at the end of the log", 60)
