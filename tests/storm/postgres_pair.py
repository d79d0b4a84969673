# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL and its synchronous standby on private ports: a commit is acknowledged when both have
it, so that a promotion loses nothing of what was acknowledged."""
import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time

import psycopg2

from demolib import processes

BIN = "/usr/lib/postgresql/15/bin"
POLL_SECONDS = 0.05
PROMOTE_SECONDS = 30
# A backup that was cut short by the killer is taken again at once.
STANDBY_TRIES_MAX = 60

CONF = """\
{base}
port = {port}
synchronous_standby_names = '{names}'
primary_conninfo = 'host=127.0.0.1 port={other} user=comanda password={password} connect_timeout=2'
wal_keep_size = 1GB
wal_retrieve_retry_interval = 200ms
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
"""


class Node:
    """One server of the two; which of them leads changes."""

    def __init__(self, home, name, port):
        self.home, self.name, self.port = home, name, port
        self.folder = home.path / name
        self.child = None

    def pid(self):
        if self.child:
            self.child.poll()  # nobody else reaps it
        return processes.read_pid(self.home, self.name)

    def launch(self):
        """After what a killed one has left behind has gone: its backends hold the memory."""
        processes.sweep(self.folder, "postgres")
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        for path in (self.home.path / "run").glob(f".s.PGSQL.{self.port}*"):
            path.unlink(missing_ok=True)
        self.child = processes.launch(self.home, self.name,
                                      [f"{BIN}/postgres", "-D", self.folder], self.folder)

    def everybody(self):
        """The pids of the server and all its children."""
        return processes.programs_within(self.folder, "postgres")

    def backends(self):
        """The pids of those that serve a session of ours."""
        found = []
        for pid in self.everybody():
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as title:
                    if " comanda_" in title.read():
                        found.append(pid)
        return sorted(found)

    def signal_everybody(self, number):
        for pid in self.everybody():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self):
        self.signal_everybody(signal.SIGKILL)
        processes.sweep(self.folder, "postgres")
        if self.child:
            self.child.wait()
        processes.forget_pid(self.home, self.name)


class Pair:
    """The two, who leads, and whether a promotion would lose nothing now."""

    def __init__(self, shop, say):
        self.shop, self.home, self.say = shop, shop.home, say
        port = int(shop.server("COMANDA_TEST_POSTGRES_PORT"))
        self.leader = Node(self.home, "postgres", port)
        self.other = Node(self.home, "postgres-2", self.home.choose_port("postgres_2"))
        self.base = (self.leader.folder / "comanda.conf").read_text()
        self.password = (self.home.path / "secrets" / "postgres_superuser").read_text()
        self.lock = threading.RLock()
        self.has_standby = False
        self.stopping = False
        self.promotions = 0
        self.write_conf(self.leader, "")

    def write_conf(self, node, names):
        other = self.other if node is self.leader else self.leader
        self.home.write(f"{node.name}/comanda.conf", CONF.format(
            base=self.base, port=node.port, names=names, other=other.port,
            password=self.password))

    def connect(self, node=None, database="postgres"):
        node = node or self.leader
        connection = psycopg2.connect(
            host="127.0.0.1", port=node.port, dbname=database, user="comanda",
            password=self.password, connect_timeout=3, application_name="storm",
            options="-c statement_timeout=60s")
        connection.autocommit = True
        return connection

    def ask(self, query, values=(), node=None, database="postgres"):
        with contextlib.closing(self.connect(node, database)) as connection:
            with connection.cursor() as cursor:
                cursor.execute(query, values)
                return cursor.fetchall()

    # The standby.

    def keep_synchronous(self, names):
        self.write_conf(self.leader, names)
        pid = self.leader.pid()
        if pid:
            os.kill(pid, signal.SIGHUP)

    def make_standby(self):
        """Copies the leader to the other's empty folder and starts it; then commits wait for it."""
        node = self.other
        for _ in range(STANDBY_TRIES_MAX):
            if self.stopping:
                return
            try:
                self.copy_leader(node)
                with self.lock:
                    self.write_conf(node, "")
                    self.home.write(f"{node.name}/standby.signal", "")
                    node.launch()
                    self.has_standby = True
                self.await_streaming()
                self.keep_synchronous("*")
                self.say(f"{node.name} follows {self.leader.name}, synchronously")
                return
            except (subprocess.SubprocessError, psycopg2.Error, TimeoutError, OSError) as reason:
                self.has_standby = False
                self.say(f"no standby yet: {type(reason).__name__}")
                time.sleep(1)
        self.say("goes on without a standby")

    def copy_leader(self, node):
        node.end()
        shutil.rmtree(node.folder, ignore_errors=True)
        folder = self.home.folder(node.name)
        with open(self.home.path / "logs" / "pg_basebackup.log", "ab") as log:
            subprocess.run(
                [f"{BIN}/pg_basebackup", "-D", folder, "-X", "stream", "-c", "fast", "-d",
                 f"host=127.0.0.1 port={self.leader.port} user=comanda password={self.password} "
                 "connect_timeout=3"], check=True, timeout=60, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=folder, **self.home.as_user())

    def await_streaming(self, seconds=30):
        deadline = time.monotonic() + seconds
        while not self.streams():
            if time.monotonic() > deadline or self.stopping:
                raise TimeoutError(f"{self.other.name} does not stream")
            time.sleep(POLL_SECONDS)

    def streams(self, synchronous=False):
        """Whether the standby has all that the leader has written until now. While it has not since
        the leader's last crash, commits may be seen that it lacks."""
        try:
            with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
                cursor.execute("select pg_current_wal_insert_lsn()")
                now = cursor.fetchone()[0]
                for _ in range(20):
                    cursor.execute("select count(*) from pg_stat_replication where state = "
                                   "'streaming' and flush_lsn >= %s::pg_lsn and (%s or "
                                   "sync_state = 'sync')", (now, not synchronous))
                    if cursor.fetchone()[0] > 0:
                        return True
                    time.sleep(POLL_SECONDS)
        except psycopg2.Error:
            pass
        return False

    # A promotion.

    def fail_over(self, frozen_seconds):
        """The leader dies, or hangs for that long and then dies; the other leads. False when the
        standby lacks something: who promotes then knows that he loses."""
        with self.lock:
            if not self.has_standby or not self.streams(synchronous=True):
                return False
            old, new = self.leader, self.other
            old.signal_everybody(signal.SIGSTOP if frozen_seconds else signal.SIGKILL)
            self.has_standby = False
            self.leader, self.other = new, old  # nobody starts the old one again as it is
            self.promotions += 1
        if not frozen_seconds:
            old.end()
        self.promote(new)
        self.say(f"{new.name} is promoted")
        if frozen_seconds:
            time.sleep(frozen_seconds)
            old.end()
        return True

    def promote(self, node):
        deadline = time.monotonic() + PROMOTE_SECONDS
        while True:
            try:
                if not self.ask("select pg_is_in_recovery()", node=node)[0][0]:
                    return
                self.ask("select pg_promote(true, 10)", node=node)
            except psycopg2.Error as reason:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{node.name} cannot be promoted: {reason}") from reason
                time.sleep(POLL_SECONDS)

    # For whoever keeps the processes running.

    def revive(self):
        """Starts what has died, each in the role that it had."""
        with self.lock:
            for node in (self.leader, *([self.other] if self.has_standby else [])):
                if not node.pid():
                    node.launch()

    def stop(self):
        self.stopping = True
        with self.lock:
            for node in (self.other, self.leader):
                node.end()
