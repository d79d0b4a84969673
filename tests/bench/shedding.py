# SPDX-License-Identifier: Apache-2.0
"""Shedding end to end: a server with a few places behind nginx and 1.4 times as many requests as it
can serve, sent whether or not the earlier ones are answered."""
import asyncio
import random
import time

from rows import FLOORS

PLACES, SERVICE_S = 8, 0.04
OFFERED = 1.4
WARM_UP_S = 10
LIMIT_S = 30  # for one answer
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
CONF = """\
load_module {modules}/ngx_http_comanda_guard_module.so;
worker_processes 2;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    comanda_shed_zone server;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            comanda_shed zone=server budget=5s;
            comanda_jwt key_file={key};
            proxy_pass http://127.0.0.1:{behind};
        }}
        location /files {{
            comanda_shed zone=server budget=5s;
            comanda_jwt key_file={key};
            try_files /none @behind;
        }}
        location @behind {{ proxy_pass http://127.0.0.1:{behind}; }}
    }}
}}
"""


class Server:
    """So many places, each of which takes a request for a random time, the mean given."""

    def __init__(self):
        self.places = asyncio.Semaphore(PLACES)
        self.random = random.Random(1)

    async def serve(self, reader, writer):
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                async with self.places:
                    await asyncio.sleep(self.random.expovariate(1 / SERVICE_S))
                writer.write(BODY)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def status_of(port, path, token):
    """The status of one request on a connection of its own; 0: none came."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                     f"Authorization: Bearer {token}\r\n\r\n".encode())
        line = await asyncio.wait_for(reader.readline(), LIMIT_S)
        writer.close()
        return int(line.split()[1]) if line else 0
    except (OSError, asyncio.TimeoutError):
        return 0


async def can_do(port, token, seconds):
    """What it answers in a second when each place is always taken, and one request waits for it."""
    count, end = 0, time.monotonic() + seconds

    async def ask():
        nonlocal count
        while time.monotonic() < end:
            answered = await status_of(port, "/", token) == 200
            count += answered
    await asyncio.gather(*(ask() for _ in range(2 * PLACES)))
    return count / seconds


async def offer(port, path, token, rate, seconds):
    """The statuses of what was sent in this time, at random moments, at this rate."""
    times, sent, next_at = random.Random(2), [], time.monotonic()
    end = next_at + seconds
    while next_at < end:
        await asyncio.sleep(max(0, next_at - time.monotonic()))
        sent.append(asyncio.create_task(status_of(port, path, token)))
        next_at += times.expovariate(rate)
    return [await task for task in sent]


async def flood(port, ended):
    while not ended.is_set():
        assert await status_of(port, "/", "x") in (401, 503)


async def lets_through(port, path, token, rate, seconds, flooded):
    ended = asyncio.Event()
    tasks = [asyncio.create_task(flood(port, ended)) for _ in range(2 * flooded)]
    await offer(port, path, token, rate, WARM_UP_S)
    statuses = await offer(port, path, token, rate, seconds)
    ended.set()
    await asyncio.gather(*tasks)
    if set(statuses) - {200, 503}:
        raise ValueError(f"answered {sorted(set(statuses))}, not 200 and 503 alone")
    return statuses.count(200) / seconds


async def measure(report, token, seconds, start_nginx):
    server = await asyncio.start_server(Server().serve, "127.0.0.1", 0)
    behind = server.sockets[0].getsockname()[1]
    port = start_nginx(behind)
    while await status_of(port, "/", token) != 200:
        await asyncio.sleep(0.05)
    alone = await can_do(behind, token, seconds)
    for name, path, flooded in (("shed", "/", False), ("shed_refused_tokens", "/", True),
                                ("shed_try_files", "/files", False)):
        through = await lets_through(port, path, token, OFFERED * alone, seconds, flooded)
        report.compare(name, "answers/s", [through], "the server alone, never idle", [alone],
                       FLOORS["shed"])
    server.close()


def shed(bench):
    """A ratio near 1: what is let through is what the server can do. Above it the queue would
    grow."""
    house = bench.house

    def start_nginx(behind):
        return house.start_nginx("shedding", CONF, behind=behind,
                                 modules=house.shop.dist / "lib" / "comanda",
                                 key=house.home.secret_path("jwt.key"))
    try:
        asyncio.run(measure(bench.report, house.token, 6 * bench.seconds, start_nginx))
    finally:
        house.end("shedding-nginx")
