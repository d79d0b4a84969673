# SPDX-License-Identifier: Apache-2.0
"""A streaming standby of a file's own server, and a small forwarder that leads clients to one of two."""
import contextlib
import pathlib
import signal
import socket
import subprocess
import threading

import psycopg2

from daemon import free_port, until
from nginx import server_user

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")


def ask(conninfo, sql):
    connection = psycopg2.connect(conninfo)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(sql)
    rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


class Server:
    """A PostgreSQL in a folder beside the file's server, as its user and on a port of its own."""

    def __init__(self, servers, name):
        self.user = server_user()
        self.port = free_port()
        self.folder = (servers.link / "postgres").resolve().parent / name
        self.conninfo = servers.postgres_superuser.replace(f"port={servers.postgres_port}",
                                                           f"port={self.port}")
        self.child = None

    def as_user(self):
        if not self.user:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def call(self, *command):
        return subprocess.run(command, check=True, capture_output=True, timeout=60, cwd="/",
                              **self.as_user())

    def start(self, *options):
        self.child = subprocess.Popen([BIN / "postgres", "-D", self.folder, "-c", f"port={self.port}",
                                       *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      **self.as_user())

    def answers(self, sql):
        with contextlib.suppress(psycopg2.OperationalError):
            return ask(self.conninfo, sql)

    def stop(self, how=signal.SIGQUIT):
        if self.child is not None:
            self.child.send_signal(signal.SIGCONT)
            self.child.send_signal(how)
            self.child.wait(timeout=60)
            self.child = None

    def remove(self):
        self.stop()
        subprocess.run(["rm", "-rf", str(self.folder)], check=False)


class Cluster(Server):
    """A new one with an identifier of its own; those of scripts/servers are copies of one."""

    def __init__(self, servers, name):
        super().__init__(servers, name)
        self.call(BIN / "initdb", "-D", self.folder, "-U", "comanda", "-E", "UTF8", "--locale=C",
                  "--auth=trust", "--no-sync")
        self.start("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                   "-c", "fsync=off")
        until(lambda: self.answers("select 1"), "the new cluster answers")


class Standby(Server):
    def __init__(self, servers):
        super().__init__(servers, "standby")
        self.call(BIN / "pg_basebackup", "-D", self.folder, "-R", "-X", "stream", "-c", "fast",
                  "--no-sync", "-d", servers.postgres_superuser.replace("dbname=postgres", ""))
        self.start()
        until(lambda: self.answers("select pg_is_in_recovery()") == [(True,)], "the standby answers")

    def stop_answering(self):
        """The kernel still takes connections, as it does for a while where a machine is stuck."""
        self.child.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.child.send_signal(signal.SIGCONT)

    def has_all_of(self, primary):
        last = ask(primary, "select pg_current_wal_lsn()")[0][0]
        until(lambda: ask(self.conninfo, f"select pg_last_wal_replay_lsn() >= '{last}'")[0][0],
              "the standby has it")

    def fall_behind(self):
        """It receives nothing from now on."""
        ask(self.conninfo, "alter system set primary_conninfo = ''")
        ask(self.conninfo, "select pg_reload_conf()")
        until(lambda: ask(self.conninfo, "select count(*) from pg_stat_wal_receiver") == [(0,)],
              "nothing is streamed")

    def promote(self):
        ask(self.conninfo, "select pg_promote()")


class Forwarder:
    """Leads what connects to one of several ports; another one: those that are open are cut."""

    def __init__(self, port):
        self.to = port
        self.pairs = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                with self.lock:
                    try:
                        server = socket.create_connection(("127.0.0.1", self.to))
                    except OSError:
                        client.close()
                        continue
                    self.pairs.append((client, server))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self.carry, args=pair, daemon=True).start()

    @staticmethod
    def carry(source, sink):
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def lead_to(self, port):
        with self.lock:
            self.to = port
            for pair in self.pairs:
                for end in pair:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
            self.pairs.clear()

    def close(self):
        self.listener.close()
        self.lead_to(0)
