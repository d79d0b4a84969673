# SPDX-License-Identifier: Apache-2.0
"""One demo a session, driven as a stranger would: by its env file, HTTP and comandactl (docs/http.md
says what else a test may know)."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import urllib.request

import psycopg2
import pytest

from shop import PATIENCE_S, Customer, an_order, read_env

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Demo:
    """A running demo in a folder of its own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.env = {}
        self.slow = {}

    def run(self, *arguments, **options):
        return subprocess.run([str(ROOT / "scripts" / "demo"), *arguments], check=True, timeout=240,
                              stdin=subprocess.DEVNULL, **options)

    def start(self, *options):
        log = self.folder.parent / "demo.log"
        try:
            with open(log, "ab") as output:
                self.run("start", str(self.folder), "--rate", "off", "--no-walk", *options,
                         stdout=output, stderr=output)
        except subprocess.SubprocessError:
            print(log.read_text(errors="replace")[-4000:])  # it is deleted with the demo
            raise
        self.env = read_env(self.folder / "env")

    def remove(self):
        """Its data too, which lies elsewhere when we are root."""
        subprocess.run([str(ROOT / "scripts" / "demo"), "remove", str(self.folder)], timeout=120,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)

    def pid(self, name):
        return int((self.folder / "pids" / f"{name}.pid").read_text())

    def names(self):
        return sorted(path.stem for path in (self.folder / "pids").glob("*.pid"))


def run_demo(*options):
    parent = pathlib.Path(tempfile.mkdtemp(prefix="comanda-e2e-", dir="/var/tmp"))
    parent.chmod(0o755)
    demo = Demo(parent / "demo")
    try:
        demo.start(*options)
        yield demo
    finally:
        demo.remove()
        shutil.rmtree(parent, ignore_errors=True)


@pytest.fixture(scope="session")
def demo():
    for running in run_demo():
        customer = Customer(running.env["COMANDA_URL"], running.env["COMANDA_TOKEN"])
        # They end after a minute: begun first, looked at last.
        running.slow = {token: customer.placed(an_order(token=token))["id"]
                        for token in ("tok_silent", "tok_late")}
        yield running


@pytest.fixture(scope="session")
def shop_url(demo):
    return demo.env["COMANDA_URL"]


@pytest.fixture
def ana(demo):
    return Customer(demo.env["COMANDA_URL"], demo.env["COMANDA_TOKEN"])


@pytest.fixture
def bruno(demo):
    return Customer(demo.env["COMANDA_URL"], demo.env["COMANDA_TOKEN_2"])


@pytest.fixture
def admin(demo):
    return Customer(demo.env["COMANDA_URL"], demo.env["COMANDA_ADMIN_TOKEN"])


@pytest.fixture
def nobody(demo):
    return Customer(demo.env["COMANDA_URL"])


@pytest.fixture
def ctl(demo):
    """comandactl with the demo's settings; fails the test when it fails."""
    def run(*arguments):
        env = dict(os.environ, **demo.env)
        done = subprocess.run([demo.env.get("COMANDACTL", str(ROOT / "build/bin/comandactl")),
                               *arguments], env=env, timeout=120, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, f"comandactl {arguments}: {done.stderr}"
        return done.stdout
    return run


@pytest.fixture
def mint(ctl):
    def make(subject, scope, ttl="1h", expired=False):
        options = ["--expired"] if expired else []
        return ctl("token", "mint", "--subject", subject, "--scope", scope, "--ttl", ttl,
                   *options).strip()
    return make


@pytest.fixture
def fresh_token(mint):
    """A token of a customer that nobody has been before."""
    def make(name):
        return mint(f"{name}-{os.urandom(4).hex()}", "orders:write orders:read")
    return make


@pytest.fixture
def log(demo):
    """Asks the log by the read-only role."""
    connection = psycopg2.connect(demo.env["DATABASE_URL"])
    connection.autocommit = True

    def ask(query, *values):
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()
    yield ask
    connection.close()


@pytest.fixture
def metrics(demo):
    """All pages of all processes, one after another."""
    def read():
        pages = []
        for address in demo.env["COMANDA_METRICS"].split():
            with urllib.request.urlopen(address, timeout=PATIENCE_S) as page:
                pages.append(page.read().decode())
        return "\n".join(pages)
    return read
