# SPDX-License-Identifier: Apache-2.0
"""Servers for the integration tests: scripts/check gives theirs; a run by hand starts its own."""
import os
import pathlib
import shlex
import subprocess
import tempfile

import pytest

from daemon import Database
from edge import Edge, Shop
from nginx import Nginx

ROOT = pathlib.Path(__file__).resolve().parents[2]
started = []


def pytest_configure(config):
    """Before any worker of xdist, which inherits the environment."""
    config.addinivalue_line("markers", "sanitized: runs with sanitized daemons as well")
    if "COMANDA_TEST_POSTGRES" in os.environ or hasattr(config, "workerinput"):
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="comanda-tests-", dir="/var/tmp")) / "servers"
    started.append(folder)
    subprocess.run([ROOT / "scripts" / "servers", "start", folder], check=True)
    for line in (folder / "env").read_text().splitlines():
        name, _, value = line.partition("=")
        os.environ[name] = shlex.split(value)[0]


def pytest_sessionfinish():
    Database.finish()


def pytest_unconfigure():
    for folder in started:
        subprocess.run([ROOT / "scripts" / "servers", "remove", folder], check=False)
        folder.parent.rmdir()


@pytest.fixture(scope="module")
def shop():
    """For a module's edges: a database of their own, with products."""
    made = Shop()
    yield made
    made.drop()


@pytest.fixture
def own():
    """An edge and a database of the test's own, for what changes the schema or the setting."""
    made = []

    def make(**options):
        shop = Shop()
        made.append(Edge(shop, **options))
        return made[-1]

    yield make
    for edge in made:
        complaints = edge.complaints()
        edge.remove()
        edge.shop.drop()
        assert complaints == []


@pytest.fixture
def make_nginx():
    """Writes the configuration of an nginx with our modules, without starting it."""
    made = []

    def make(server="", **options):
        made.append(Nginx(server, **options))
        return made[-1]

    yield make
    for nginx in made:
        nginx.remove()


@pytest.fixture
def start_nginx(make_nginx):
    """Starts nginx with our modules and the given configuration; ended with the test."""
    def start(server="", **options):
        nginx = make_nginx(server, **options)
        nginx.start()
        return nginx
    return start
