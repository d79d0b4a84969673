# SPDX-License-Identifier: Apache-2.0
"""Keeps every server, nginx and every daemon of a shop running; one that dies is back within 5 s."""
import os
import signal
import subprocess
import sys
import time

from . import processes
from .home import SCRIPTS
from .shop import SERVERS

POLL_SECONDS = 0.2
# A process that dies at once is not started in a tight loop, but still within the 5 s.
RESTART_SECONDS_MIN = 1.0


class Watched:
    """A process that is started again whenever it is found dead."""

    def __init__(self, name):
        self.name = name
        self.child = None
        self.started_at = 0.0

    def due(self):
        return time.monotonic() - self.started_at >= RESTART_SECONDS_MIN

    def say(self, text):
        print(f"{time.strftime('%H:%M:%S')} {self.name}: {text}", flush=True)


class Server(Watched):
    """PostgreSQL, RabbitMQ or Redis: started by scripts/servers, so it is nobody's child here."""

    def __init__(self, shop, name):
        super().__init__(name)
        self.shop = shop

    def alive(self):
        if self.child and self.child.poll() is None:
            return True  # it is being started
        return processes.read_pid(self.shop.home, self.name) is not None

    def start(self):
        self.child = subprocess.Popen([SCRIPTS / "servers", "restart", self.shop.home.link,
                                       "--only", self.name],
                                      stdin=subprocess.DEVNULL)


class Program(Watched):
    """nginx's master or a daemon: our own child."""

    def __init__(self, shop, name):
        super().__init__(name)
        self.shop = shop

    def alive(self):
        if self.child:
            return self.child.poll() is None
        return False

    def start(self):
        home = self.shop.home
        if self.name == "nginx":
            processes.sweep(home.path / "nginx", "nginx")
            self.child = processes.launch(home, "nginx", self.shop.nginx_command(),
                                          home.path / "nginx")
        else:
            self.child = processes.launch(home, self.name, self.shop.daemon_command(self.name),
                                          home.path / "work",
                                          self.shop.daemon_environment(self.name))


def supervise(shop):
    """Runs until SIGTERM, which ends this process alone: who stops the demo ends the others."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    watched = [*(Server(shop, name) for name in SERVERS),
               *(Program(shop, name) for name in (*shop.daemons(), "nginx"))]
    while True:
        for one in watched:
            if one.alive() or not one.due():
                continue
            if one.started_at:
                one.say("died; starting it again")
            one.started_at = time.monotonic()
            try:
                one.start()
            except (OSError, TimeoutError) as reason:
                one.say(f"cannot be started: {reason}")
        time.sleep(POLL_SECONDS)


def start_supervisor(home, arguments):
    """Starts it in a session of its own, so that Ctrl-C at a terminal does not reach it."""
    log = home.path / "logs" / "supervisor.log"
    with open(log, "ab") as output:
        child = subprocess.Popen([SCRIPTS / "demo", "supervise", *arguments], stdout=output,
                                 stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                                 start_new_session=True)
    home.write("run/supervisor.pid", f"{child.pid}\n")
    home.write("run/supervisor.started", f"{processes.start_time(child.pid)}\n")


def supervisor_pid(home):
    try:
        pid = int((home.path / "run" / "supervisor.pid").read_text())
        started = (home.path / "run" / "supervisor.started").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if processes.is_running(pid) and processes.start_time(pid) == started else None


def stop_supervisor(home):
    pid = supervisor_pid(home)
    if pid:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        if not processes.wait_until_gone(pid, 10):
            os.kill(pid, signal.SIGKILL)
            processes.wait_until_gone(pid, 10)
    for name in ("supervisor.pid", "supervisor.started"):
        (home.path / "run" / name).unlink(missing_ok=True)
