# SPDX-License-Identifier: Apache-2.0
"""The demo as a newcomer meets it: it walks through, heals itself, finds its data again, and ends."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from demolib.home import read_assignments  # noqa: E402
from demolib.processes import is_running  # noqa: E402

DEMO = ROOT / "scripts" / "demo"
VARIABLES = ("COMANDA_URL", "COMANDA_TOKEN", "COMANDA_TOKEN_2", "COMANDA_ADMIN_TOKEN",
             "DATABASE_URL", "AMQP_URL", "REDIS_URL", "COMANDA_METRICS")
NAMES = ["inventory", "nginx", "payment", "postgres", "projector", "rabbitmq", "redis", "relay",
         "saga", "shipping"]
START_SECONDS = 240
RESTART_SECONDS = 5


class Demo:
    def __init__(self, folder):
        self.folder = folder
        self.said = ""

    def call(self, action, *options, check=True):
        environment = dict(os.environ, COMANDA_TEST_MARK="demo")
        done = subprocess.run([DEMO, action, self.folder, *options], env=environment, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=START_SECONDS)
        self.said = done.stdout + done.stderr
        assert not check or done.returncode == 0, self.said
        return done.returncode

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
        request = urllib.request.Request(self.env()["COMANDA_URL"] + path)
        if token:
            request.add_header("Authorization", f"Bearer {self.env()[token]}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def demo():
    parent = pathlib.Path(tempfile.mkdtemp(prefix="comanda-demo-", dir="/var/tmp"))
    made = Demo(parent / "demo")
    made.call("start")
    yield made
    subprocess.run([DEMO, "remove", made.folder], check=True, timeout=START_SECONDS)
    shutil.rmtree(parent)


def until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def test_the_walk_through_shows_each_branch(demo):
    for words in ("→ 201  Location: /v1/orders/", "ETag:", "→ confirmed", "stock_short",
                  "PaymentVoided", "payment_declined", "→ cancelled", "Idempotency-Replayed: true",
                  "idempotency-key-reused", "/lines/0/quantity", "rate-limited", "Try next:"):
        assert words in demo.said, words


def test_the_env_file_holds_what_the_contract_names(demo):
    env = demo.env()
    for name in VARIABLES:
        assert env[name], name
    for address in env["COMANDA_METRICS"].split():
        with urllib.request.urlopen(address, timeout=10) as page:
            assert b"# HELP comanda_" in page.read(), address


def test_the_env_file_is_shell(demo):
    done = subprocess.run(["sh", "-c", f". {demo.folder}/env && echo $COMANDA_METRICS | wc -w"],
                          capture_output=True, text=True, check=True)
    assert int(done.stdout) == 7


def test_each_process_has_its_pid_and_the_supervisor_has_none(demo):
    assert sorted(demo.pids()) == NAMES
    assert all(is_running(pid) for pid in demo.pids().values())


def test_products_and_stock_are_there(demo):
    products = demo.get("/v1/products?limit=100")["items"]
    assert len(products) == 100
    assert products[0]["price"]["currency"] == "BRL"
    assert demo.get("/v1/products/SKU-SHORT")["sku"] == "SKU-SHORT"


@pytest.mark.parametrize("name", ["nginx", "payment", "relay", "redis", "postgres"])
def test_a_killed_process_is_back_within_five_seconds(demo, name):
    before = demo.pid(name)
    os.kill(before, signal.SIGKILL)
    until(lambda: demo.pid(name) not in (None, before) and is_running(demo.pid(name)),
          RESTART_SECONDS, f"{name} again")


def test_after_the_kills_the_shop_answers_and_heals(demo):
    def answers():
        try:
            return demo.get("/readyz")["status"] == "ready"
        except OSError:
            return False
    until(answers, 60, "the edge is ready")


def test_a_second_start_of_a_running_demo_says_so(demo):
    pids = demo.pids()
    demo.call("start", "--no-walk")
    assert "already runs" in demo.said
    assert demo.pids() == pids


def test_stopped_and_started_again_it_finds_its_data_and_ctrl_c_ends_all(demo):
    orders = demo.get("/v1/orders?limit=100", "COMANDA_TOKEN")["items"]
    assert len(orders) >= 5
    demo.call("stop")
    assert not list((demo.folder / "pids").glob("*.pid"))
    demo.call("stop")

    with open(demo.folder.parent / "run.log", "w+", encoding="utf-8") as said:
        run = subprocess.Popen([DEMO, "run", demo.folder, "--no-walk"], stdin=subprocess.DEVNULL,
                               stdout=said, stderr=said, start_new_session=True)
        try:
            until(lambda: run.poll() is not None or "Ctrl-C" in pathlib.Path(said.name).read_text(),
                  START_SECONDS, "the demo runs in the foreground")
            again = demo.get("/v1/orders?limit=100", "COMANDA_TOKEN")["items"]
            assert [order["id"] for order in again] == [order["id"] for order in orders]
            pids = demo.pids()
        finally:
            os.killpg(run.pid, signal.SIGINT)
        assert run.wait(timeout=120) == 0
    assert sorted(pids) == NAMES
    assert not [name for name, pid in pids.items() if is_running(pid)]
