# SPDX-License-Identifier: Apache-2.0
"""The read side on real servers: a Redis of the test's own beside the shop's database and broker."""
import json
import shutil
import signal
import subprocess

import redis

from daemon import PATIENCE_S, Database, free_port, until
from fulfilment import Shop, Vhost


class Cache:
    """A Redis server of the test's own: stopping and emptying it hurts nobody else."""

    def __init__(self, folder, options=()):
        self.options = list(options)
        self.log = folder / "redis.log"
        self.port = None
        self.process = None
        while self.process is None:
            self.start(folder)
        self.client = redis.Redis(port=self.port, socket_timeout=10)

    def start(self, folder):
        self.port = free_port()
        self.process = subprocess.Popen(
            [shutil.which("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1",
             "--save", "", "--appendonly", "no", "--dir", str(folder),
             "--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru", *self.options],
            stdout=open(self.log, "ab"), stderr=subprocess.STDOUT)
        try:
            until(self.answers, "Redis answers")
        except AssertionError:
            self.stop()
            self.process = None

    def answers(self):
        assert self.process.poll() is None, "Redis ended"
        try:
            return redis.Redis(port=self.port, socket_timeout=10).ping()
        except redis.AuthenticationError:
            return True  # its default user is off
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def document(self, key, collection="orders", tenant="main"):
        """(version, header, body) as the edge would read it, or None."""
        value = self.client.get(f"comanda:doc:{tenant}:{collection}:{key}")
        if value is None:
            return None
        header, body = value.split(b"\n", 1)
        return int(header.split(b" ")[1]), header.decode(), body.decode()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(10)


class ReadSide(Shop):
    """A shop whose documents are looked at."""

    def __init__(self, folder, **settings):
        self.cache = Cache(folder)
        # A put that Redis answers late is left out: its document is then never in the cache.
        patient = {"COMANDA_REDIS_TIMEOUT": "30s", **settings}
        super().__init__(Database(), Vhost(), folder, COMANDA_REDIS=self.cache.address, **patient)

    def ctl(self, *arguments, **more):
        return super().ctl(*arguments, COMANDA_REDIS=self.cache.address, **more)

    def ctl_json(self, *arguments):
        code, text = self.ctl(*arguments, "--json")
        return code, json.loads(text)

    def document(self, key, collection="orders"):
        """(version, body) in the read schema, or None."""
        rows = self.database.rows("select version, body::text from comanda_read.documents"
                                  " where collection = %s and key = %s", collection, str(key))
        return rows[0] if rows else None

    def documents(self):
        """Every column of every document, the bodies as bytes."""
        return self.database.rows(
            "select tenant, collection, key, stream::text, version, epoch, tx, position, owner,"
            " filter, sort, listed, body::text from comanda_read.documents order by 1, 2, 3")

    def reaches(self, key, version, collection="orders", timeout=PATIENCE_S):
        """Waits until the document has this version in both stores; gives its body."""
        def there():
            stored = self.document(key, collection)
            cached = self.cache.document(key, collection)
            return stored and cached and stored[0] == cached[0] == version and stored
        return until(there, f"version {version} of {key}", timeout)[1]

    def close(self):
        self.stop()
        self.cache.stop()
        self.broker.drop()
        self.database.drop()
