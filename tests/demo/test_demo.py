# SPDX-License-Identifier: Apache-2.0
"""The demo as a newcomer meets it: it walks through, heals itself, finds its data again, and ends."""
import base64
import contextlib
import errno
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import psycopg2
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from demolib.home import read_assignments  # noqa: E402
from demolib.processes import is_running  # noqa: E402
from demolib.supervisor import POLL_SECONDS, RESTART_SECONDS_MIN  # noqa: E402
from demolib.walk import RATE_TRIES_MAX, Customer  # noqa: E402

DEMO = ROOT / "scripts" / "demo"
VARIABLES = ("COMANDA_URL", "COMANDA_TOKEN", "COMANDA_TOKEN_2", "COMANDA_ADMIN_TOKEN",
             "DATABASE_URL", "AMQP_URL", "REDIS_URL", "COMANDA_METRICS")
NAMES = ["inventory", "nginx", "payment", "postgres", "projector", "rabbitmq", "redis", "relay",
         "saga", "shipping"]
DAEMONS = ("relay", "saga", "payment", "inventory", "shipping", "projector")
START_SECONDS = 240
# What must come to pass comes within this, however busy the machine is.
PATIENCE_SECONDS = 60
RESTART_SECONDS = 5
DAY_SECONDS = 24 * 60 * 60


class Demo:
    def __init__(self, folder):
        self.folder = folder
        self.said = ""

    def call(self, *words):
        environment = dict(os.environ, COMANDA_TEST_MARK="demo", COMANDA_DEMO=str(self.folder))
        done = subprocess.run(words, cwd=ROOT, env=environment, check=False, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=START_SECONDS)
        self.said = done.stdout + done.stderr
        assert done.returncode == 0, self.said

    def make(self, *words):
        build = os.path.relpath(os.environ.get("COMANDA_BUILD", ROOT / "build"), ROOT)
        self.call("make", f"BUILD={build}", *words)

    def env(self):
        return read_assignments(self.folder / "env")

    def pid(self, name):
        try:
            return int((self.folder / "pids" / f"{name}.pid").read_text())
        except (OSError, ValueError):
            return None

    def pids(self):
        return {path.stem: int(path.read_text()) for path in (self.folder / "pids").glob("*.pid")}

    def get(self, path, token=None):
        """Asks again while it is 503 or 504, as the contract tells clients."""
        request = urllib.request.Request(self.env()["COMANDA_URL"] + path)
        if token:
            request.add_header("Authorization", f"Bearer {self.env()[token]}")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as refusal:
                if refusal.code not in (503, 504) or time.monotonic() >= deadline:
                    raise
            time.sleep(0.2)


@pytest.fixture(scope="module")
def demo():
    parent = pathlib.Path(tempfile.mkdtemp(prefix="comanda-demo-", dir="/var/tmp"))
    made = Demo(parent / "demo")
    try:
        made.make("demo", "DETACH=1")
        yield made
    finally:
        made.call(DEMO, "remove")
        shutil.rmtree(parent)


def until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def test_the_walk_through_shows_each_branch(demo):
    for words in ("→ 201  Location: /v1/orders/", "ETag:", "→ confirmed", "stock_short",
                  "PaymentVoided", "payment_declined", "→ cancelled", "Idempotency-Replayed: true",
                  "idempotency-key-reused", "/lines/0/quantity", "rate-limited", "Try next:",
                  "make stop ends it."):
        assert words in demo.said, words


def test_make_help_lists_what_a_newcomer_may_ask_for(demo):
    demo.make("help")
    listed = {line.split()[0] for line in demo.said.splitlines() if line.startswith("  ")}
    assert {"all", "install", "check", "bench", "fuzz", "demo", "stop", "format", "clean",
            "help"} <= listed
    assert "lint unit contract integration e2e valgrind sanitize demo-test" in demo.said


def test_the_env_file_holds_what_the_contract_names(demo):
    env = demo.env()
    for name in VARIABLES:
        assert env[name], name
    for address in env["COMANDA_METRICS"].split():
        with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as page:
            assert b"# HELP comanda_" in page.read(), address


def test_the_env_file_is_shell(demo):
    done = subprocess.run(["sh", "-c", f". {demo.folder}/env && echo $COMANDA_METRICS | wc -w"],
                          capture_output=True, text=True, check=True)
    assert int(done.stdout) == 7


def test_each_process_has_its_pid_and_the_supervisor_has_none(demo):
    assert sorted(demo.pids()) == NAMES
    assert all(is_running(pid) for pid in demo.pids().values())


def test_products_are_there(demo):
    products = demo.get("/v1/products?limit=100")["items"]
    assert len(products) == 100
    assert products[0]["price"]["currency"] == "BRL"
    assert demo.get("/v1/products/SKU-SHORT")["sku"] == "SKU-SHORT"


def test_there_are_a_million_of_each_product_and_none_of_the_short_one(demo):
    with psycopg2.connect(demo.env()["DATABASE_URL"]) as connection, \
            connection.cursor() as cursor:
        cursor.execute("select data->>'sku', sum((data->>'quantity')::bigint) from comanda.events "
                       "where type = 'StockReceived' group by 1")
        received = dict(cursor.fetchall())
    connection.close()
    assert received == {f"SKU-{number}": 1_000_000 for number in range(1, 101)}


def test_the_tokens_are_of_two_customers_and_an_administrator_for_a_day(demo):
    claims = [claims_of(demo.env()[name])
              for name in ("COMANDA_TOKEN", "COMANDA_TOKEN_2", "COMANDA_ADMIN_TOKEN")]
    assert [claim["scope"] for claim in claims] == ["orders:write orders:read"] * 2 + \
        ["orders:read orders:read:any"]
    assert len({claim["sub"] for claim in claims}) == 3
    for claim in claims:
        assert claim["exp"] - claim["iat"] == DAY_SECONDS and abs(claim["iat"] - time.time()) < 600


def claims_of(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def newcomer(demo, name):
    """A customer that nobody has been before, with a full allowance."""
    env = demo.env()
    token = subprocess.run([env["COMANDACTL"], "token", "mint", "--subject",
                            f"{name}-{os.urandom(4).hex()}", "--scope", "orders:write orders:read"],
                           env=dict(os.environ, **env), check=True, text=True,
                           stdout=subprocess.PIPE).stdout.strip()
    return Customer(env["COMANDA_URL"], token)


def test_commands_are_limited_to_two_hundred_at_once_and_reads_are_not(demo):
    customer = newcomer(demo, "eager")
    answers = list(customer.burst(200))
    assert {answer.status for answer in answers} == {422}, "bad commands, and all of them passed"
    assert answers[0].headers["RateLimit-Policy"] == '"per_principal";q=200;w=2'
    assert answers[0].headers["RateLimit"] == '"per_principal";r=199;t=1'
    refused = next(answer for answer in customer.burst(RATE_TRIES_MAX) if answer.status != 422)
    assert refused.status == 429 and int(refused.headers["Retry-After"]) >= 1
    customer.connection.close()
    reads = [customer.request("GET", "/v1/orders?limit=1") for _ in range(300)]
    assert {read.status for read in reads} == {200}
    assert "RateLimit" not in reads[0].headers
    stranger = Customer(demo.env()["COMANDA_URL"], "nonsense")
    assert {stranger.request("GET", "/v1/orders").status for _ in range(300)} == {401}


@pytest.mark.parametrize("names", [["nginx"], DAEMONS, ["redis"], ["postgres"]], ids="+".join)
def test_killed_processes_are_started_again(demo, names):
    before = {name: demo.pid(name) for name in names}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    for name, pid in before.items():
        until(lambda: demo.pid(name) not in (None, pid) and is_running(demo.pid(name)),
              PATIENCE_SECONDS, f"{name} again")


def test_the_supervisor_starts_again_within_five_seconds():
    """By what it waits for: how long it then takes is a matter of the machine."""
    assert RESTART_SECONDS_MIN + POLL_SECONDS < RESTART_SECONDS


def test_after_the_kills_the_shop_answers_and_heals(demo):
    def answers():
        try:
            return demo.get("/readyz")["status"] == "ready"
        except OSError:
            return False
    until(answers, PATIENCE_SECONDS, "the edge is ready")


def test_a_second_start_of_a_running_demo_says_so(demo):
    pids = demo.pids()
    demo.call(DEMO, "start", "--no-walk")
    assert "already runs" in demo.said
    assert demo.pids() == pids


@contextlib.contextmanager
def held(ports):
    """Somebody else listens there."""
    with contextlib.ExitStack() as stack:
        for port in ports:
            other = stack.enter_context(socket.socket())
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                other.bind(("127.0.0.1", port))
                other.listen()
            except OSError as reason:  # then somebody else does already
                assert reason.errno == errno.EADDRINUSE, reason
        yield


@contextlib.contextmanager
def in_foreground(demo, *options):
    """A demo that stays until Ctrl-C; gives the file of what it says."""
    said = demo.folder.parent / "run.log"
    with open(said, "w", encoding="utf-8") as output:
        run = subprocess.Popen([DEMO, "run", demo.folder, *options], stdin=subprocess.DEVNULL,
                               stdout=output, stderr=output, start_new_session=True,
                               env=dict(os.environ, RATE="off"))
    try:
        until(lambda: run.poll() is not None or "Ctrl-C" in said.read_text(), START_SECONDS,
              "the demo runs in the foreground")
        yield said
    finally:
        os.killpg(run.pid, signal.SIGINT)
        code = run.wait(timeout=120)
    assert code == 0, said.read_text()


# Of each server one, the edge, and a daemon's probe.
TAKEN = ("postgres", "rabbitmq", "rabbitmq_http", "epmd", "edge", "probe_saga")


def test_stopped_and_started_again_it_finds_its_data_and_ctrl_c_ends_all(demo):
    orders = [order["id"] for order in demo.get("/v1/orders?limit=100", "COMANDA_TOKEN")["items"]]
    assert len(orders) >= 5
    demo.make("stop")
    assert not list((demo.folder / "pids").glob("*.pid"))
    demo.call(DEMO, "stop")

    ports, env = read_assignments(demo.folder / "ports"), demo.env()
    with held(int(ports[name]) for name in TAKEN), in_foreground(demo) as said:
        again = demo.get("/v1/orders?limit=100", "COMANDA_TOKEN")["items"]
        assert [order["id"] for order in again if order["id"] in orders] == orders
        pids = demo.pids()

        moved = read_assignments(demo.folder / "ports")
        # Others may have moved too: their ports were free for everybody for a while.
        assert set(TAKEN) <= {name for name in ports if ports[name] != moved[name]}
        for name in ("COMANDA_URL", "DATABASE_URL", "AMQP_URL", "COMANDA_METRICS"):
            assert demo.env()[name] != env[name], name
        for address in demo.env()["COMANDA_METRICS"].split():
            urllib.request.urlopen(address, timeout=PATIENCE_SECONDS).close()

        walked = said.read_text()
        assert "/lines/0/quantity" in walked and "over its rate" not in walked, "RATE=off"
        unlimited = list(newcomer(demo, "hasty").burst(400))
        assert {answer.status for answer in unlimited} == {422}
        assert "RateLimit" not in unlimited[0].headers
    assert sorted(pids) == NAMES
    assert not [name for name, pid in pids.items() if is_running(pid)]
