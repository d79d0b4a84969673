# SPDX-License-Identifier: Apache-2.0
"""Runs one of our daemons against real servers, with a database and a virtual host of the test's own."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pika
import psycopg2

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from demolib.home import free_ports  # noqa: E402

BUILD = pathlib.Path(os.environ.get("COMANDA_BUILD", ROOT / "build"))

CONTEXTS = {"payments": "payment", "inventory": "inventory", "shipping": "shipping",
            "ordering": "ordering"}
# Each has a user of its own at the broker.
PROGRAMS = ("relay", "saga", "payment", "inventory", "shipping", "projector", "operator", "keda")

# How long a test waits for what must come. A busy machine stalls for seconds, and a test that passes
# pays nothing for it; limits that are the thing under test stand in the tests.
PATIENCE_S = 60


def free_port():
    """Outside the ephemeral range: no connection of another test can take it before it is bound."""
    return int(free_ports("1").stdout)


def until(condition, what, timeout=PATIENCE_S, every=0.05):
    """Waits until the condition gives something true, and gives it."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"in {timeout} s not seen: {what}")
        time.sleep(every)


class Database:
    """A database of its own: a copy of one that was migrated once a server, or an empty one. `admin`:
    the server, where it is not the one that all share."""

    templates = {}
    dropper = concurrent.futures.ThreadPoolExecutor(1)

    def __init__(self, migrated=True, admin=None):
        self.admin = admin or os.environ["COMANDA_TEST_POSTGRES"]
        self.name = "comanda_test_" + uuid.uuid4().hex[:12]
        self.session = threading.local()
        self.conninfo = f"{self.admin} dbname={self.name}"
        template = f' template "{self.template().name}"' if migrated else ""
        self.create(f'create database "{self.name}"{template}')

    def template(self):
        if self.admin not in Database.templates:
            made = Database(migrated=False, admin=self.admin)
            made.migrate()
            Database.templates[self.admin] = made
        return Database.templates[self.admin]

    @classmethod
    def finish(cls):
        """At the end of the session: drops what is left, and waits for it."""
        for template in cls.templates.values():
            template.drop()
        cls.dropper.shutdown()

    def create(self, sql):
        """Tried again: comandactl's session in the template may need a moment to end."""
        for _ in range(5):
            try:
                self.run_admin(sql)
                return
            except psycopg2.errors.ObjectInUse:
                time.sleep(1)
        self.run_admin(sql)

    def run_admin(self, sql):
        connection = psycopg2.connect(self.admin)
        connection.autocommit = True
        connection.cursor().execute(sql)
        connection.close()

    def migrate(self):
        subprocess.run([BUILD / "bin/comandactl", "migrate", "--postgres", self.conninfo],
                       check=True, capture_output=True, timeout=120)

    def rows(self, sql, *values):
        """Over a session that is kept, since tests ask again and again; each thread has its own."""
        kept = getattr(self.session, "connection", None)
        if kept is not None:
            try:
                return self.ask(kept, sql, values)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                if not kept.closed:
                    raise
        self.session.connection = psycopg2.connect(self.conninfo)
        self.session.connection.autocommit = True
        return self.ask(self.session.connection, sql, values)

    @staticmethod
    def ask(connection, sql, values):
        with connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def drop(self):
        """In the background: PostgreSQL makes a checkpoint of it."""
        self.session = threading.local()
        Database.dropper.submit(self.drop_now)

    def drop_now(self):
        """Tried again: an autovacuum worker in it belongs to a role that we may not end."""
        for _ in range(40):
            try:
                self.run_admin(f'drop database if exists "{self.name}" with (force)')
                return
            except (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ObjectInUse):
                time.sleep(0.25)
            except psycopg2.OperationalError:
                return  # a server of the test's own, gone with all that was in it


class Blocker:
    """Makes a database refuse its sessions, as a server that is away does."""

    def __init__(self, database):
        self.database = database

    def close_the_door(self):
        self.database.run_admin(f'alter database "{self.database.name}" allow_connections false')
        self.database.run_admin("select pg_terminate_backend(pid) from pg_stat_activity"
                                f" where datname = '{self.database.name}'"
                                " and backend_type = 'client backend'")

    def open_the_door(self):
        self.database.run_admin(f'alter database "{self.database.name}" allow_connections true')


class Broker:
    """A virtual host of its own, with the topology of ARCHITECTURE.md and short retry delays. A
    role's queues are declared when they are first needed. `amqp`, `http`: the broker, where it is not
    the one that all share."""

    def __init__(self, retry_ms=(200, 300, 400), amqp=None, http=None):
        self.make_vhost(amqp, http)
        self.connection = self.connect()
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.retry_ms = retry_ms
        self.roles = set()
        for name in ("comanda.events", "comanda.commands", "comanda.replies", "comanda.retry",
                     "comanda.dead"):
            self.channel.exchange_declare(name, "topic", durable=True)

    def make_vhost(self, amqp=None, http=None):
        self.http = http or os.environ["COMANDA_TEST_AMQP_HTTP"]
        url = urllib.parse.urlsplit(amqp or os.environ["COMANDA_TEST_AMQP"])
        self.vhost = "comanda-" + uuid.uuid4().hex[:12]
        self.call("PUT", f"/api/vhosts/{self.vhost}")
        self.call("PUT", f"/api/permissions/{self.vhost}/{url.username}",
                  {"configure": ".*", "write": ".*", "read": ".*"})
        self.url = f"amqp://{url.netloc}/{self.vhost}"

    def connect(self):
        return pika.BlockingConnection(pika.URLParameters(self.url + "?heartbeat=0"))

    def call(self, method, path, body=None):
        url = urllib.parse.urlsplit(self.http)
        request = urllib.request.Request(
            f"http://{url.hostname}:{url.port}{path}", method=method,
            data=json.dumps(body or {}).encode(), headers={"Content-Type": "application/json"})
        manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        manager.add_password(None, request.full_url, url.username, url.password)
        opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
        with opener.open(request, timeout=PATIENCE_S) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def url_of(self, program):
        """The address with the user of that program, who may do in this virtual host what
        `comandactl access` says. Users are the broker's own, so every test gives one the same
        password."""
        url = urllib.parse.urlsplit(self.url)
        passwords = {name: hashlib.sha256(f"{name} {url.password}".encode()).hexdigest()
                     for name in PROGRAMS}
        if not getattr(self, "users_made", False):
            self.users_made = True
            self.call("POST", "/api/definitions", self.definitions(passwords))
        return (f"amqp://comanda_{program}:{passwords[program]}@{url.hostname}:{url.port}"
                f"/{self.vhost}")

    def bound(self, queue, most):
        """Gives the queue a small maximum, before that of the users' definitions."""
        self.call("PUT", f"/api/policies/{self.vhost}/{queue}", {
            "pattern": "^" + queue.replace(".", "\\.") + "$", "apply-to": "queues", "priority": 1,
            "definition": {"max-length": most, "overflow": "reject-publish"}})

    def management(self):
        """The management API's address, as the user who sees the virtual host and no more."""
        user = urllib.parse.urlsplit(self.url_of("keda")).netloc.rpartition("@")[0]
        return f"http://{user}@" + urllib.parse.urlsplit(self.http).netloc.rpartition("@")[2]

    def definitions(self, passwords):
        with tempfile.TemporaryDirectory(prefix="comanda-passwords-") as folder:
            for name, password in passwords.items():
                (pathlib.Path(folder) / f"rabbitmq_{name}").write_text(password)
            done = subprocess.run([BUILD / "bin/comandactl", "access", "rabbitmq", "--passwords",
                                   folder, "--vhost", self.vhost], check=True, timeout=60,
                                  capture_output=True, text=True)
        return json.loads(done.stdout)

    def need(self, context):
        """Declares the queues of a context's role."""
        queue = "comanda." + CONTEXTS[context]
        if queue in self.roles:
            return
        self.roles.add(queue)
        quorum = {"x-queue-type": "quorum"}
        self.channel.queue_declare(queue, durable=True, arguments=quorum)
        self.channel.queue_bind(queue, "comanda.commands", context + ".#")
        for rung, delay in enumerate(self.retry_ms, 1):
            self.channel.queue_declare(
                f"{queue}.retry.{rung}", durable=True,
                arguments=dict(quorum, **{"x-message-ttl": delay, "x-dead-letter-exchange": "",
                                          "x-dead-letter-routing-key": queue}))
            self.channel.queue_bind(f"{queue}.retry.{rung}", "comanda.retry", f"{queue}.{rung}")
        self.channel.queue_declare(queue + ".dead", durable=True, arguments=quorum)
        self.channel.queue_bind(queue + ".dead", "comanda.dead", queue)

    def publish(self, routing_key, body, message_id=None, exchange="comanda.commands"):
        context = routing_key.split(".")[0]
        if context in CONTEXTS:
            self.need(context)
        self.channel.basic_publish(
            exchange, routing_key, body if isinstance(body, bytes) else json.dumps(body).encode(),
            pika.BasicProperties(content_type="application/cloudevents+json", delivery_mode=2,
                                 message_id=message_id), mandatory=True)

    def ready(self, queue):
        """Messages that wait in the queue; those in someone's hands are not among them."""
        return self.channel.queue_declare(queue, passive=True).method.message_count

    def get(self, queue):
        """Takes a message out: (headers, body), or None."""
        method, properties, body = self.channel.basic_get(queue, auto_ack=True)
        return None if method is None else (properties.headers or {}, body)

    def drop(self):
        if self.connection.is_open:
            self.connection.close()
        self.call("DELETE", f"/api/vhosts/{self.vhost}")


class Daemon:
    """One process; its log is read from a file."""

    def __init__(self, name, folder, programs=BUILD / "bin", **settings):
        self.name = name
        self.log_path = pathlib.Path(folder) / f"{name}-{uuid.uuid4().hex[:8]}.log"
        self.probe_path = self.log_path.with_suffix(".probe")
        environment = dict(os.environ, COMANDA_PROBE="127.0.0.1:0",
                           COMANDA_PROBE_FILE=str(self.probe_path))
        environment.update({key: str(value) for key, value in settings.items()})
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([programs / f"comanda-{name}"], stderr=log,
                                            env=environment)
        until(lambda: self.probe_path.exists() or self.process.poll() is not None,
              f"{name} listens")
        assert self.process.poll() is None, self.log_path.read_text()
        self.address = self.probe_path.read_text().strip()

    def get(self, path):
        """(status, text)"""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def is_ready(self):
        return self.get("/readyz")[0] == 200

    def wait_ready(self, timeout=PATIENCE_S):
        until(self.is_ready, f"{self.name} is ready", timeout)
        return self

    def checks(self):
        return json.loads(self.get("/readyz")[1])["checks"]

    def metric(self, line_start, absent=None):
        """Of the first line that begins so; one that is gone is not 0. absent: the value of one that
        there need not be before its first event."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(line_start):
                return float(line.rsplit(" ", 1)[1])
        if absent is not None:
            return absent
        raise AssertionError(f"{self.name} has no metric {line_start}")

    def log(self):
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def stop(self, how=signal.SIGTERM, timeout=PATIENCE_S):
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(timeout)
        said = self.log_path.read_text(errors="replace")
        assert not re.search("(Address|Leak)Sanitizer|runtime error:", said), said
        return code

    def end(self):
        """At a test's end, whatever state it is in; also stopped or ended already."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.stop(signal.SIGKILL)


def uuid7(unix_ms=None):
    """A UUID version 7, as the edge makes them."""
    millis = int(time.time() * 1000) if unix_ms is None else unix_ms
    random = uuid.uuid4().int
    value = (millis & (2 ** 48 - 1)) << 80 | 7 << 76 | (random >> 64 & 0xfff) << 64
    return uuid.UUID(int=value | 2 << 62 | random & (2 ** 62 - 1))


def command_event(command, payload, stream_id, message_id=None, saga_id=None, step="authorize",
                  direction="forward", tenant="main", correlation_id="c-1"):
    """A command as the relay publishes it: (message id, CloudEvent)."""
    message_id = str(message_id or uuid7())
    saga_id = str(saga_id or uuid7())
    return message_id, {
        "specversion": "1.0", "id": message_id, "source": f"/comanda/{tenant}/saga",
        "type": step, "subject": saga_id, "time": "2026-11-24T06:52:25.123Z",
        "datacontenttype": "application/json", "sequence": "2", "correlationid": correlation_id,
        "tenant": tenant, "category": "saga", "kind": "command", "schemaversion": 1,
        "route": command,
        "data": {"saga_id": saga_id, "saga": "order_fulfilment", "saga_version": 1, "step": step,
                 "direction": direction, "attempt": 1, "stream_id": str(stream_id),
                 "command": command, "payload": payload}}
