# SPDX-License-Identifier: Apache-2.0
"""Shedding before a server behind: what teaches a zone, and what takes a place in it."""
import concurrent.futures
import contextlib
import http.client
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

import jwt
import pytest
import requests

from daemon import free_port, until
from upstream import Upstream

KEY = "0123456789abcdef0123456789abcdef"
HTTP = "comanda_problems on; comanda_shed_zone reports;"
SHED = "comanda_shed zone=reports budget=6s;"  # an answer takes half a second: 12 fit, 9 of them normal


@pytest.fixture
def upstream():
    server = Upstream()
    server.seconds = 0.5
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def shedding(start_nginx, upstream):
    def start(server, **options):
        return start_nginx(server.replace("{proxy}", f"proxy_pass {upstream.url};"), http=HTTP,
                           files={"key": KEY}, **options)
    return start


def token():
    return jwt.encode({"sub": "ana", "exp": int(time.time()) + 600}, KEY, algorithm="HS256")


def get(nginx, path="/"):
    return requests.get(nginx.url + path, headers={"Authorization": f"Bearer {token()}"}, timeout=60)


def shed_of_forty(nginx, upstream, path="/"):
    """Forty at once to a server that holds what it gets: how many are refused."""
    with concurrent.futures.ThreadPoolExecutor(40) as pool, upstream.held():
        before = len(upstream.seen)
        sent = [pool.submit(get, nginx, path) for _ in range(40)]
        until(lambda: sum(each.done() for each in sent) + len(upstream.seen) - before == 40,
              "all have come")
        assert {each.result().status_code for each in sent if each.done()} <= {503}
    codes = [each.result().status_code for each in sent]
    assert codes.count(200) + codes.count(503) == 40 and codes.count(200) >= 3
    return codes.count(503)


@contextlib.contextmanager
def hammering(nginx, path, headers, expected):
    """One connection that asks again and again."""
    ended, answers = threading.Event(), []

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=60)
        while not ended.is_set():
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            answers.append(answer.status)
        connection.close()
    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: len(answers) > 100, "it asks")
    yield
    ended.set()
    thread.join()
    assert expected in set(answers) <= {expected, 503}


# ---- What teaches it -----------------------------------------------------------------------------

def test_a_flood_of_refused_tokens_teaches_nothing(shedding, upstream):
    nginx = shedding(f"location / {{ {SHED} comanda_jwt key_file={{folder}}/key; {{proxy}} }}")
    assert get(nginx).status_code == 200
    with hammering(nginx, "/", {"Authorization": "Bearer x"}, 401):
        assert shed_of_forty(nginx, upstream) >= 25


def test_a_server_that_cannot_be_reached_teaches_nothing(shedding, upstream):
    nginx = shedding(f"location / {{ {SHED} {{proxy}} }}"
                     f"location /away {{ {SHED} proxy_pass http://127.0.0.1:1; }}")
    assert get(nginx).status_code == 200
    with hammering(nginx, "/away", {}, 502):
        assert shed_of_forty(nginx, upstream) >= 25


@pytest.mark.parametrize("content", ["try_files /none /behind;",
                                     "error_page 404 = @behind; root /none;"])
def test_answers_behind_an_internal_redirect_are_heard(shedding, upstream, content):
    nginx = shedding(f"location / {{ {SHED} {content} }} location /behind {{ {{proxy}} }}"
                     "location @behind { {proxy} }")
    assert get(nginx).status_code == 200
    assert shed_of_forty(nginx, upstream) >= 25
    assert get(nginx).status_code == 200


@pytest.mark.parametrize("body", [(), ("-d", "some"), ("-d", "x" * 100_000)])
def test_answers_over_http2_are_heard(shedding, upstream, body):
    port = free_port()
    nginx = shedding(f"listen 127.0.0.1:{port} http2; location / {{ {SHED} {{proxy}} }}")
    said = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_version}", *body,
                           f"http://127.0.0.1:{port}/"], check=True, capture_output=True, timeout=60)
    assert said.stdout == b"ok\n2"
    assert shed_of_forty(nginx, upstream) >= 25


def test_files_before_the_server_teach_nothing(shedding, upstream):
    nginx = shedding(f"root {{folder}}; location / {{ {SHED} try_files $uri @behind; }}"
                     "location @behind { {proxy} }")
    assert get(nginx).status_code == 200
    with hammering(nginx, "/key", {}, 200):
        assert shed_of_forty(nginx, upstream) >= 25


def test_the_page_of_a_refusal_is_not_shed_again(shedding, upstream):
    nginx = shedding(f"{SHED} error_page 503 /page; location / {{ {{proxy}} }}"
                     "location = /page { root {folder}; try_files /key =404; }")
    assert get(nginx).status_code == 200
    with concurrent.futures.ThreadPoolExecutor(40) as pool, upstream.held():
        before = len(upstream.seen)
        sent = [pool.submit(get, nginx) for _ in range(40)]
        until(lambda: sum(each.done() for each in sent) + len(upstream.seen) - before == 40,
              "all have come")
        refused = [each.result() for each in sent if each.done()]
    assert {(answer.status_code, answer.text) for answer in refused} == {(503, KEY)}


def test_subrequests_are_neither_shed_nor_heard(shedding, upstream):
    nginx = shedding(f"location / {{ auth_request /ask; {SHED} {{proxy}} }}"
                     f"location /ask {{ {SHED} return 204; }}")
    assert get(nginx).status_code == 200
    assert shed_of_forty(nginx, upstream) >= 25


def test_what_a_zone_has_learnt_outlives_a_reload(shedding, upstream):
    nginx = shedding(f"location / {{ {SHED} {{proxy}} }}", workers=2)
    assert get(nginx).status_code == 200
    old = set(nginx.workers())
    nginx.reload()
    until(lambda: (now := set(nginx.workers())) and not old & now, "the old workers are gone")
    assert shed_of_forty(nginx, upstream) >= 25


# ---- What takes a place --------------------------------------------------------------------------

def test_clients_that_send_slowly_take_no_place(shedding):
    nginx = shedding(f"location / {{ {SHED} {{proxy}} }}")
    assert get(nginx).status_code == 200
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", nginx.port)))
            slow.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        assert get(nginx).status_code == 200
        slow.sendall(b" of it" + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert slow.makefile("rb").read().count(b"HTTP/1.1 200 OK") == 2


def test_clients_whose_refusal_is_delayed_take_no_place(shedding):
    nginx = shedding(f"location /late {{ {SHED} auth_delay 60s; comanda_jwt key_file={{folder}}/key;"
                     "{proxy} }")
    assert get(nginx, "/late").status_code == 200
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            refused = stack.enter_context(socket.create_connection(("127.0.0.1", nginx.port)))
            refused.sendall(b"GET /late HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n")
        assert get(nginx, "/late").status_code == 200
        refused.setblocking(False)
        with pytest.raises(BlockingIOError):
            refused.recv(1)


def test_clients_that_read_slowly_take_no_place(shedding, start_nginx):
    big = start_nginx("location / { root {folder}; }", files={"big": "x" * 8_000_000})
    nginx = shedding(f"location / {{ {SHED} proxy_max_temp_file_size 64m; proxy_pass {big.url}; }}")
    assert get(nginx, "/big").status_code == 200
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", nginx.port)))
            slow.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda slow=slow: re.match(b"HTTP/1.1 (200|503)", slow.recv(64, socket.MSG_PEEK)),
                  "its answer begins")
        until(lambda: get(nginx, "/big").status_code == 200, "the server has ended the others")


def test_a_killed_worker_leaves_its_places(shedding, upstream):
    nginx = shedding(f"location / {{ {SHED} {{proxy}} }}")
    assert get(nginx).status_code == 200
    with upstream.held(), contextlib.ExitStack() as stack:
        before = len(upstream.seen)
        sent = []
        for _ in range(16):
            sent.append(stack.enter_context(socket.create_connection(("127.0.0.1", nginx.port))))
            sent[-1].sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: len(select.select(sent, [], [], 0)[0]) + len(upstream.seen) == before + 16,
              "all have come")
        assert get(nginx).status_code == 503
        old = nginx.workers()
        os.kill(old[0], signal.SIGKILL)
        until(lambda: nginx.workers() not in ([], old), "there is another worker")
    assert get(nginx).status_code == 200


def test_clients_that_go_away_leave_their_places(shedding, upstream):
    nginx = shedding(f"location / {{ {SHED} {{proxy}} }}")
    assert get(nginx).status_code == 200
    with upstream.held():
        before = len(upstream.seen)
        for count in range(1, 6):
            with socket.create_connection(("127.0.0.1", nginx.port)) as gone:
                gone.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                until(lambda count=count: len(upstream.seen) == before + count, "it waits there")
    until(lambda: get(nginx).status_code == 200, "their places are free")
    assert shed_of_forty(nginx, upstream) < 40
