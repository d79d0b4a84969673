# SPDX-License-Identifier: Apache-2.0
"""One nginx worker under valgrind: a fixed list of requests, aborts among them, and not one error."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from daemon import until, uuid7  # noqa: E402
from edge import Edge, LockedTable, Shop, order_body  # noqa: E402
from http2 import listen_http2, reset_in_the_middle  # noqa: E402

FOLDER = pathlib.Path(__file__).parent
ERRORS = re.compile(r"ERROR SUMMARY: (\d+) errors")


PLACE = "comanda_command ordering.place_order scope=orders:write status=201 location=/v1/orders/;"
LIST = "comanda_list orders owner=own scope=orders:read;"
LOCATIONS = f"""
    comanda_cors origins=https://shop.example;
    include {ROOT}/conf/nginx/comanda_shop.conf;
    location = /if {{ {PLACE} {LIST} if ($http_x_if) {{ add_header X-If yes; }} }}
    location = /except {{ {PLACE} {LIST} limit_except GET {{ allow 127.0.0.1; deny all; }} }}
    location = /try {{ try_files /none @place; }}
    location @place {{ {PLACE} {LIST} }}
    location = /asked {{ auth_request /check; {LIST} }}
    location = /check {{ internal; comanda_require_scope orders:read; comanda_metrics; }}
    location = /mirrored {{ mirror /check; {LIST} }}
    location = /login {{ error_page 401 @login; {LIST} }}
    location @login {{ comanda_jwt off; default_type text/html; return 401 "log in"; }}
    location = /again {{ error_page 404 /gone; return 404; }}
    location = /gone {{ return 410; }}
"""


class Checked(Edge):
    """An edge whose master and worker run under valgrind, one log a process."""

    def start(self, ready=True):
        environment = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin")
        self.child = subprocess.Popen(
            ["valgrind", "--trace-children=yes", f"--log-file={self.folder}/valgrind.%p",
             "--keep-debuginfo=yes", "--leak-check=full", "--show-leak-kinds=definite",
             "--errors-for-leak-kinds=definite", f"--suppressions={FOLDER}/nginx.supp",
             "nginx", "-p", self.folder, "-c", self.conf, "-e", self.folder / "error.log",
             "-g", "daemon off;"],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        self.wait_ready(timeout=90)

    def stop(self):
        if self.child.poll() is None:
            os.kill(self.child.pid, signal.SIGQUIT)
            try:
                self.child.wait(timeout=90)
            except subprocess.TimeoutExpired:
                os.killpg(self.child.pid, signal.SIGKILL)
                raise

    def reports(self):
        return {path.name: path.read_text(errors="replace")
                for path in sorted(self.folder.glob("valgrind.*"))}


@pytest.fixture
def edge():
    shop = Shop()
    checked = Checked(shop, timeout="60s", start=False, locations=LOCATIONS)
    listen_http2(checked)
    checked.start()
    yield checked
    checked.remove()
    shop.drop()


def send(edge, data, read=False, after=None):
    """Sends raw bytes and hangs up, having read an answer or not, or some seconds after."""
    with socket.create_connection(("127.0.0.1", edge.port), timeout=30) as one:
        one.sendall(data)
        if read:
            one.recv(4096)
        if after is not None:
            time.sleep(after)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset


def order_bytes(edge, length=None, body=None):
    text = body if body is not None else json.dumps(order_body())
    return (f"POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {edge.shop.token()}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {uuid7()}\r\n"
            f"Content-Length: {length or len(text)}\r\n\r\n{text}").encode()


def commands(edge):
    placed = edge.place()
    assert placed.status == 201
    order = placed.json["id"]
    key = str(uuid7())
    yield from (edge.place(key=key), edge.place(key=key))
    yield edge.place(key=key, body=order_body(sku="SKU-2"))
    yield edge.place(key="a.plain:key")
    yield edge.place(key="no good key")
    yield edge.place(key="x" * 256)
    yield edge.place(key=str(uuid7(unix_ms=int(time.time() - 8 * 86400) * 1000)))
    yield edge.place(headers={"If-Match": '"7"'})
    yield edge.cancel(order, headers={"If-Match": '"9"'})
    yield edge.cancel(order, headers={"If-Match": '"1"'})
    yield edge.cancel(order)
    yield edge.cancel("01900000-0000-7000-8000-000000000000")
    yield edge.cancel("not-an-id")
    yield edge.cancel(order, token=edge.shop.token("bruno"))


def bad_bodies(edge):
    for body in ("", "{", "[]", "null", '{"a":1,"a":2}', '{"currency":"BRL"} x', "[" * 40,
                 '"\\ud800"', "{\"currency\":\"reais\",\"lines\":[]}",
                 '{"currency":"BRL","lines":[{"sku":"SKU-1","quantity":0}]}', "x" * 70000):
        yield edge.place(body=body or " ")
    yield edge.place(body=order_body(sku="SKU-NONE"))
    yield edge.place(headers={"Content-Type": "text/plain"})


def ready(edge):
    """Asked again: its probe has a second, and under valgrind that may be too little."""
    def probe():
        answer = edge.get("/readyz")
        return answer.status == 200 and answer
    return until(probe, "it is ready")


def reads(edge):
    order = edge.place().json["id"]
    for path in (f"/v1/orders/{order}", "/v1/orders", "/v1/orders?limit=1&status=placed",
                 "/v1/orders?limit=0", "/v1/orders?after=rubbish", "/v1/orders/none",
                 "/v1/products?limit=3", "/v1/products/SKU-1", "/v1/products/SKU-NONE",
                 "/healthz", "/readyz", "/metrics", "/nowhere"):
        yield ready(edge) if path == "/readyz" else edge.get(path)
    tag = edge.get(f"/v1/orders/{order}").headers["etag"]
    yield edge.get(f"/v1/orders/{order}", headers={"If-None-Match": tag})
    yield edge.call("HEAD", f"/v1/orders/{order}")
    yield edge.call("DELETE", f"/v1/orders/{order}")
    yield edge.get(f"/v1/orders/{order}", token=edge.shop.token("bruno"))


def locations(edge):
    """Taken ifs, limit_except, named locations, subrequests, pages that are held, preflights."""
    placed = order_body()
    for path, headers in (("/if", {}), ("/if", {"X-If": "1"}), ("/except", {}), ("/try", {})):
        yield edge.call("POST", path, placed, headers={**headers, "Idempotency-Key": str(uuid7())})
        yield edge.get(path, headers=headers)
    other = edge.shop.token(scope="nothing")
    for path in ("/asked", "/mirrored", "/login"):
        yield edge.get(path)
        yield edge.get(path, token=other)
        yield edge.get(path, token=None, headers={"Origin": "https://shop.example"})
    for method in ("GET", "HEAD"):
        yield edge.call(method, "/again")
    yield edge.call("OPTIONS", "/if", token=None, headers={
        "Origin": "https://shop.example", "Access-Control-Request-Method": "POST"})


def bad_tokens(edge):
    good = edge.shop.token()
    for token in ("x", "a.b.c", good[:-3] + "abc", edge.shop.token(ttl=-3600),
                  edge.shop.token(scope="nothing"), "x" * 5000):
        yield edge.get("/v1/orders", token=token)
    yield edge.get("/v1/orders", token=None)


def aborts(edge):
    """Clients that leave: within the head, within the body, before the answer, after a part."""
    whole = order_bytes(edge)
    send(edge, whole[:30])
    send(edge, order_bytes(edge, length=5000))
    send(edge, whole)
    for after in (0, 0.001, 0.005, 0.02, 0.05):  # some before they are sent, some in flight
        send(edge, order_bytes(edge), after=after)
    send(edge, order_bytes(edge, body='{"currency":"BRL"}'))
    send(edge, whole + whole + whole)
    send(edge, whole, read=True)
    send(edge, b"GET /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
         + edge.shop.token().encode() + b"\r\n\r\n")
    send(edge, b"rubbish\r\n\r\n")


def abort_in_flight(edge):
    lock = LockedTable(edge.shop)
    try:
        with socket.create_connection(("127.0.0.1", edge.port), timeout=30) as one:
            one.sendall(order_bytes(edge))
            until(lambda: lock.waiting() == 1, "the append waits for the table")
    finally:
        lock.release()


STATUSES = {
    commands: [201, 201, 422, 201, 400, 400, 400, 412, 412, 202, 202, 404, 404, 404],
    bad_bodies: [400, 400, 422, 422, 400, 400, 400, 400, 422, 422, 413, 422, 415],
    reads: [200, 200, 200, 400, 400, 404, 200, 200, 404, 200, 200, 200, 404, 304, 200, 405, 404],
    locations: [201, 200] * 4 + [200, 403, 401] * 3 + [410, 410, 204],
    bad_tokens: [401, 401, 401, 401, 403, 401, 401],
}


def test_given_fifty_requests_and_aborts_then_valgrind_finds_no_error(edge):
    for part, expected in STATUSES.items():
        assert [answer.status for answer in part(edge)] == expected, part.__name__
        aborts(edge)
    abort_in_flight(edge)
    assert len(reset_in_the_middle(edge)) > 1000
    outcomes = 'comanda_commands_total{command="ordering.place_order",outcome='
    until(lambda: edge.metric("comanda_queue_length") == 0, "nothing waits")

    def have_left():
        left = edge.metric(outcomes + '"aborted"')
        written = len(edge.shop.orders()) - edge.metric(outcomes + '"accepted"')
        return left >= 4 * 3 and written >= 1
    until(have_left, "clients have left before and after the append was sent")
    old = set(edge.workers())
    os.kill(edge.child.pid, signal.SIGHUP)
    until(lambda: (now := set(edge.workers())) and not old & now, "the old worker is gone")
    until(lambda: edge.place().status == 201, "it serves after a reload")
    assert [answer.status for answer in locations(edge)] == STATUSES[locations]
    edge.stop()
    assert edge.child.returncode == 0, edge.log()
    assert edge.complaints() == []
    reports = edge.reports()
    # The master, the worker before the reload and the one after.
    assert len(reports) >= 3
    for name, report in reports.items():
        found = ERRORS.search(report)
        assert found, f"{name} has no summary:\n{report[-2000:]}"
        assert found[1] == "0", f"{name}:\n{report[-6000:]}"
