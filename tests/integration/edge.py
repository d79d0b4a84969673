# SPDX-License-Identifier: Apache-2.0
"""An nginx with our module on real servers: a database, a port and a folder of its own."""
import http.client
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import tempfile
import threading
import time

import jwt

from daemon import BUILD, PATIENCE_S, ROOT, Database, free_port, until, uuid7

PRODUCTS = 20


def order_body(sku="SKU-1", quantity=1, name="Ana"):
    return {"currency": "BRL", "lines": [{"sku": sku, "quantity": quantity}],
            "payment_token": "tok_ok",
            "ship_to": {"name": name, "street": "Rua A 1", "city": "Recife",
                        "postal_code": "50000-000", "country": "BR"}}


def request_bytes(edge, key, body=None):
    text = json.dumps(body or order_body())
    return (f"POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {edge.shop.token()}\r\n"
            f"Idempotency-Key: {key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(text)}\r\n\r\n{text}").encode()


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.text = response.read()

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def slug(self):
        return self.json["type"].rsplit(":", 1)[1]


class Shop:
    """What an edge needs: a migrated database with products, and a key for tokens."""

    def __init__(self, database=None, products=True):
        self.database = database or Database()
        self.key = secrets.token_hex(32)
        if products:
            self.load_products()

    def load_products(self):
        self.products("load", *({"sku": f"SKU-{n}", "name": f"Thing {n}",
                                 "price": {"amount": 100 * n, "currency": "BRL"}}
                                for n in range(1, PRODUCTS + 1)))

    def products(self, verb, *lines):
        with tempfile.NamedTemporaryFile("w", suffix=".ndjson") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
            file.flush()
            subprocess.run([BUILD / "bin/comandactl", "product", verb, file.name,
                            "--postgres", self.database.conninfo],
                           check=True, capture_output=True, timeout=120)

    def token(self, subject="ana", scope="orders:write orders:read", ttl=3600):
        now = int(time.time())
        claims = {"sub": subject, "scope": scope, "iat": now, "exp": now + ttl}
        return jwt.encode(claims, self.key, algorithm="HS256")

    def orders(self):
        return [row[0] for row in self.database.rows(
            "select stream_id::text from comanda.events where type = 'OrderPlaced'")]

    def drop(self):
        self.database.drop()


class Edge:
    """One nginx. `locations` replaces the shop's; `http` is added to http {}. The budgets are far beyond
    what a busy machine needs: a test of a budget gives its own."""

    def __init__(self, shop, redis=None, modules=None, locations=None, http="", workers=1,
                 connections=2, timeout="30s", queue=4096, start=True, names=False):
        """names: the servers are given by name instead of by address."""
        self.shop = shop
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="comanda-edge-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.port = free_port()
        self.sessions = workers * connections
        self.redis = f"{os.environ['COMANDA_TEST_REDIS']} timeout=10s" if redis is None else redis
        self.modules = BUILD / (modules or "module")
        (self.folder / "key").write_text(shop.key)
        postgres = re.sub(r"\bhost=", "hostaddr=", shop.database.conninfo)
        if names:
            postgres = re.sub(r"hostaddr=\S+", "host=localhost", postgres)
            self.redis = self.redis.replace("127.0.0.1", "localhost")
        cache = f"comanda_redis hot {self.redis};" if self.redis else ""
        locations = locations or f"include {ROOT}/conf/nginx/comanda_shop.conf;"
        user = "user nobody nogroup;" if os.getuid() == 0 else ""
        temporary = " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in
                             ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.conf = self.folder / "nginx.conf"
        self.conf.write_text(f"""
load_module {self.modules}/ngx_http_comanda_guard_module.so;
load_module {self.modules}/ngx_http_comanda_module.so;
{user}
worker_processes {workers};
pid {self.folder}/pid;
error_log {self.folder}/error.log info;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    {temporary}
    comanda_postgres main "{postgres}" connections={connections} timeout={timeout} queue={queue};
    {cache}
    include {ROOT}/conf/nginx/comanda_http.conf;
    {http}
    server {{
        listen 127.0.0.1:{self.port};
        comanda_jwt key_file={self.folder}/key;
        {locations}
    }}
}}
""")
        if start:
            try:
                self.start()
            except BaseException:
                self.remove()  # nobody else knows of it yet
                raise

    def nginx(self, *arguments):
        return subprocess.run(["nginx", "-p", self.folder, "-c", self.conf,
                               "-e", self.folder / "error.log", *arguments],
                              env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin"),
                              capture_output=True, text=True, timeout=120)

    def start(self, ready=True):
        started = self.nginx()
        assert started.returncode == 0, started.stderr
        if ready:
            self.wait_ready()

    def wait_ready(self, status="ready", timeout=PATIENCE_S):
        try:
            until(lambda: self.readiness() == status, f"readyz says {status}", timeout)
        except AssertionError as error:
            last = self.get("/readyz", token=None).text.decode()
            log = "\n".join(self.log().splitlines()[-10:])
            raise AssertionError(f"{error}\n{last}\n{log}") from None
        if status == "ready" and self.get("/metrics", token=None).status == 200:
            until(lambda: self.metric("comanda_postgres_connections") >= self.sessions,
                  "all sessions serve", timeout)

    def readiness(self):
        try:
            return self.get("/readyz", token=None).json["status"]
        except (OSError, http.client.HTTPException):
            return None

    @property
    def master(self):
        return int((self.folder / "pid").read_text())

    def workers(self):
        children = pathlib.Path(f"/proc/{self.master}/task/{self.master}/children")
        return [int(pid) for pid in children.read_text().split()]

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def call(self, method, path, body=None, token="", headers=None, connection=None):
        one = connection or self.connect()
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = "Bearer " + (token or self.shop.token())
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        one.request(method, path, body, sent)
        answer = Answer(one.getresponse())
        if connection is None:
            one.close()
        return answer

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def place(self, key=None, body=None, headers=None, **more):
        headers = dict(headers or {}, **{"Idempotency-Key": key or str(uuid7())})
        return self.call("POST", "/v1/orders", body or order_body(), headers=headers, **more)

    def cancel(self, order, key=None, headers=None, **more):
        headers = dict(headers or {}, **{"Idempotency-Key": key or str(uuid7())})
        return self.call("POST", f"/v1/orders/{order}/cancellation", {"reason": "changed my mind"},
                         headers=headers, **more)

    def metric(self, name):
        """The sum of a metric's samples whose line begins so; one that is gone is not 0."""
        page = self.get("/metrics", token=None).text.decode()
        found = [float(line.rsplit(" ", 1)[1]) for line in page.splitlines()
                 if line.startswith(name)]
        assert found, f"the edge has no metric {name}"
        return sum(found)

    def batch_mean(self, work):
        """The mean of comanda_batch_commands over what `work` sends."""
        before = [self.metric("comanda_batch_commands_" + part) for part in ("sum", "count")]
        work()
        after = [self.metric("comanda_batch_commands_" + part) for part in ("sum", "count")]
        return (after[0] - before[0]) / (after[1] - before[1])

    def log(self):
        return (self.folder / "error.log").read_text(errors="replace")

    def stop(self):
        if (self.folder / "pid").exists():
            master = self.master
            os.kill(master, signal.SIGQUIT)
            until(lambda: not (self.folder / "pid").exists(), "nginx ends")

    def complaints(self):
        """Lines of the log that no run should have."""
        return [line for line in self.log().splitlines()
                if re.search(r"\[(alert|emerg|crit)\]|exited on signal", line)]

    def remove(self):
        try:
            self.stop()
        finally:
            subprocess.run(["rm", "-rf", str(self.folder)], check=False)


def checked(edge):
    """For a fixture: gives the edge, and no run may leave a complaint in its log."""
    try:
        yield edge
        complaints = edge.complaints()
    finally:
        edge.remove()
    assert complaints == []


def settle(ask):
    """The answer that a key has in the end. ask: sends the command, each time with the same key. A twin
    that waits for 2 s is told `in-flight`, and 504 that nobody knows: both say to ask again."""
    def asked():
        answer = ask()
        unsettled = answer.status == 504 or answer.status == 409 and answer.slug == "in-flight"
        return None if unsettled else answer
    return until(asked, "a key that is settled")


def together(work, count):
    """Runs work(n) in `count` threads that begin together, and gives what they gave."""
    gate = threading.Barrier(count)
    results = [None] * count

    def run(n):
        gate.wait()
        results[n] = work(n)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class LockedTable:
    """Holds a table of the log, so that a batch in flight cannot end."""

    def __init__(self, shop, table="comanda.keys", mode="exclusive"):
        import psycopg2
        self.connection = psycopg2.connect(shop.database.conninfo)
        self.connection.cursor().execute(f"lock table {table} in {mode} mode")

    def waiting(self):
        cursor = self.connection.cursor()
        cursor.execute("select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                       " and datname = current_database()")
        return cursor.fetchone()[0]

    def release(self):
        """A second time does nothing."""
        if not self.connection.closed:
            self.connection.rollback()
            self.connection.close()
