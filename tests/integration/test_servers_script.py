# SPDX-License-Identifier: Apache-2.0
"""scripts/servers: what is started is found again, survives kill -9, and leaves nothing behind."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import psycopg2
import pytest

from nginx import ROOT
from demolib.home import read_assignments
from demolib.processes import is_running

SERVERS = ROOT / "scripts" / "servers"


class Folder:
    """A folder of servers; RabbitMQ is left out where a test does not need its ten seconds."""

    def __init__(self, path):
        self.path = path

    def call(self, action, *options, check=True):
        return subprocess.run([SERVERS, action, self.path, *options], check=check,
                              capture_output=True, text=True, timeout=240)

    def start(self, only="postgres,redis"):
        return self.call("start", "--only", only)

    def pid(self, name):
        return int((self.path / "pids" / f"{name}.pid").read_text())

    def ports(self):
        return read_assignments(self.path / "ports")

    def env(self):
        return read_assignments(self.path / "env")

    def select(self, sql):
        connection = psycopg2.connect(self.env()["COMANDA_TEST_POSTGRES_SUPERUSER"])
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(sql)
        rows = cursor.fetchall() if cursor.description else None
        connection.close()
        return rows


@pytest.fixture
def folder():
    parent = pathlib.Path(tempfile.mkdtemp(prefix="comanda-servers-", dir="/var/tmp"))
    made = Folder(parent / "servers")
    yield made
    made.call("remove")
    shutil.rmtree(parent)


def test_a_start_gives_servers_that_answer_and_a_second_changes_nothing(folder):
    folder.start()
    assert folder.select("show fsync") == [("on",)]
    pids = folder.pid("postgres"), folder.pid("redis")
    folder.start()
    assert (folder.pid("postgres"), folder.pid("redis")) == pids


def test_after_stop_and_start_the_data_and_the_ports_are_the_same(folder):
    folder.start()
    ports = folder.ports()
    folder.select("create table kept as select 42 as answer")
    folder.call("stop")
    folder.call("stop")
    assert not (folder.path / "pids" / "postgres.pid").exists()
    folder.start()
    assert folder.ports() == ports
    assert folder.select("select answer from kept") == [(42,)]


def test_a_kept_port_that_is_taken_is_chosen_again(folder):
    folder.start("redis")
    taken = int(folder.ports()["redis"])
    folder.call("stop")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", taken))
        other.listen()
        folder.start("redis")
        assert int(folder.ports()["redis"]) != taken
        assert folder.env()["COMANDA_TEST_REDIS"].endswith(folder.ports()["redis"])


def test_servers_killed_without_warning_come_back_with_what_was_committed(folder):
    folder.start()
    folder.select("create table kept as select 42 as answer")
    # A backend outlives its postmaster for a moment and holds the shared memory.
    connection = psycopg2.connect(folder.env()["COMANDA_TEST_POSTGRES_SUPERUSER"])
    for name in ("postgres", "redis"):
        os.kill(folder.pid(name), signal.SIGKILL)
    folder.start()
    connection.close()
    assert folder.select("select answer from kept") == [(42,)]


def test_remove_leaves_no_process_and_no_file(folder):
    folder.start()
    pids = [folder.pid(name) for name in ("postgres", "redis")]
    real = folder.path.resolve()
    folder.call("remove")
    assert not [pid for pid in pids if is_running(pid)]
    assert not real.exists() and not folder.path.is_symlink()


def test_passwords_are_for_the_owner_alone(folder):
    folder.start("redis")
    assert (folder.path.resolve().stat().st_mode & 0o777) == 0o700
    assert (folder.path / "env").stat().st_mode & 0o077 == 0


def test_as_root_the_data_lies_where_the_unprivileged_user_can_enter(folder):
    folder.start("redis")
    if os.geteuid() != 0:
        assert not folder.path.is_symlink()
        return
    assert folder.path.is_symlink()
    assert folder.path.resolve().parent == pathlib.Path("/var/tmp")
    assert folder.path.resolve().owner() == "postgres"


def test_where_a_sockets_path_would_be_too_long_the_data_lies_elsewhere(folder):
    folder.path = folder.path.parent / ("long" * 25)
    folder.start("redis")
    assert folder.path.is_symlink()
    assert len(str(folder.path.resolve())) < 40


def test_a_folder_with_something_else_in_it_is_refused(folder):
    folder.path.mkdir()
    (folder.path / "mine").write_text("keep me")
    if os.geteuid() == 0:
        done = folder.call("start", "--only", "redis", check=False)
        assert done.returncode == 1 and str(folder.path) in done.stderr
    assert (folder.path / "mine").read_text() == "keep me"


@pytest.mark.parametrize("line", [["start"], ["begin", "/x"], ["start", "/x", "--only", "mysql"]])
def test_a_wrong_line_is_refused(line):
    done = subprocess.run([SERVERS, *line], capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert "usage" in done.stderr or "mysql" in done.stderr


@pytest.mark.parametrize("length, fits", [(107, True), (108, False)])
def test_a_sockets_path_may_have_exactly_107_bytes(tmp_path, length, fits):
    """The script's rule, against what the system takes. Nothing is started."""
    socket_name = ".s.PGSQL.32767"
    folder = "/tmp/" + "d" * (length - len("/tmp/" + "/run/" + socket_name))
    rule = f". {ROOT}/scripts/servers.d/common.sh; is_root() {{ return 1; }}; fits_servers {folder}"
    assert (subprocess.run(["bash", "-c", rule], check=False).returncode == 0) == fits
    path = str(tmp_path) + "/" + "s" * (length - len(str(tmp_path)) - 1)
    with socket.socket(socket.AF_UNIX) as one:
        if fits:
            one.bind(path)
        else:
            with pytest.raises(OSError, match="too long"):
                one.bind(path)


def test_a_port_that_was_given_is_not_given_again_before_its_server_can_have_started(tmp_path):
    given = []
    for _ in range(5):
        given += subprocess.run([ROOT / "scripts/free_ports", "300"], check=True, text=True, timeout=60,
                                capture_output=True, env=dict(os.environ, TMPDIR=str(tmp_path))
                                ).stdout.split()
    assert len(set(given)) == 5 * 300
