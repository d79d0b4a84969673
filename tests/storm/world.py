# SPDX-License-Identifier: Apache-2.0
"""The shop that the storm meets: two of each daemon, an nginx with two workers, private servers, a
synchronous standby; and who starts again whatever dies."""
import contextlib
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

from demolib import processes
from demolib.home import SCRIPTS, Home
from demolib.shop import DAEMONS, NGINX_CONF, Shop, nginx_program
from postgres_pair import Pair

READY_SECONDS = 90
KEEP_SECONDS = 0.2
RESTART_SECONDS = 0.7
NGINX_WORKERS = 2
# Short, so that what is silent ends soon; the ladder outlasts three attempts of a step.
SETTINGS = {"COMANDA_SAGA_TIMEOUT": "2s", "COMANDA_RETRY_1": "1s", "COMANDA_RETRY_2": "1s",
            "COMANDA_RETRY_3": "5s", "COMANDA_RELAY_STALE": "4s", "COMANDA_TIMER_CLAIM": "5s"}
STEP_SECONDS = 2
ATTEMPTS = 3  # as the saga's definition has it


def ask(url, timeout=2):
    """The status of a GET and its body; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError as error:
        return 0, str(error)


class StormShop(Shop):
    """A shop whose programs know both PostgreSQL servers, and of which two versions may run beside
    each other: each has its programs, its instances, its edge."""

    def __init__(self, home, suffix="", first=1):
        super().__init__(home, rate=False, instances=2)
        self.dist = home.path / f"dist{suffix}"
        self.edge = f"nginx{suffix}"
        self.numbers = (first, first + 1)
        self.ports_of_postgres = None

    def install_from(self, tree, build):
        """By the tree's own script, which brings its own configuration."""
        subprocess.run([tree / "scripts" / "install", build, self.dist], check=True)

    def daemons(self):
        return [daemon if number == 1 else f"{daemon}-{number}"
                for number in self.numbers for daemon in DAEMONS]

    def conninfo(self, role):
        alone = super().conninfo(role)
        if not self.ports_of_postgres:
            return alone
        both = ",".join(map(str, self.ports_of_postgres))
        words = [word for word in alone.split() if not word.startswith(("host", "port="))]
        return " ".join([f"host{'addr' if role == 'edge' else ''}=127.0.0.1,127.0.0.1",
                         f"port={both}", *words])

    def port_name(self):
        return f"edge_{self.edge}"

    def choose_ports(self):
        for name in (self.port_name(), *(f"probe_{daemon}" for daemon in self.daemons())):
            self.home.choose_port(name)

    def url(self):
        return f"http://127.0.0.1:{self.home.ports()[self.port_name()]}"

    def folder(self):
        return self.home.folder(self.edge)

    def nginx_command(self):
        folder = self.folder()
        return [nginx_program(), "-p", folder, "-c", folder / "nginx.conf", "-e",
                self.home.path / "logs" / f"{self.edge}.log", "-g", "daemon off;"]

    def write_nginx(self):
        folder = self.folder()
        self.home.write(f"{self.edge}/comanda_servers.conf",
                        f'comanda_postgres main "{self.conninfo("edge")}";\n'
                        f'comanda_redis hot {self.server("COMANDA_TEST_REDIS")} user=comanda_edge '
                        f'password_file={self.home.secret_path("redis_edge")};\n')
        text = NGINX_CONF.format(modules=self.dist / "lib" / "comanda", folder=folder,
                                 conf=self.conf("nginx"),
                                 port=self.home.ports()[self.port_name()],
                                 key=self.home.secret_path("jwt.key"), limits="")
        self.home.write(f"{self.edge}/nginx.conf", text.replace(
            "worker_processes 1;", f"worker_processes {NGINX_WORKERS};"))


class Kept:
    """A process that is started again when it has died."""

    def __init__(self, name, start, alive):
        self.name, self.start, self.alive = name, start, alive
        self.died_at = None

    def look(self):
        if self.alive():
            self.died_at = None
        elif self.died_at is None:
            self.died_at = time.monotonic()
        elif time.monotonic() - self.died_at >= RESTART_SECONDS:
            self.died_at = None
            self.start()


class Keeper:
    """The supervisor: a thread that looks at each process a few times a second."""

    def __init__(self, say):
        self.say = say
        self.kept = {}
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, name="keeper", daemon=True)

    def keep(self, name, start, alive):
        with self.lock:
            self.kept[name] = Kept(name, start, alive)

    def forget(self, name):
        with self.lock:
            self.kept.pop(name, None)

    def run(self):
        while not self.stopping.wait(KEEP_SECONDS):
            for one in list(self.kept.values()):
                with self.lock:
                    if self.kept.get(one.name) is not one or self.stopping.is_set():
                        continue
                    try:
                        one.look()
                    except (OSError, TimeoutError, subprocess.SubprocessError) as reason:
                        self.say(f"{one.name} cannot be started: {reason}")

    def stop(self):
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join()


class World:
    """Everything of one run; nothing of it is shared with anybody."""

    def __init__(self, link, say):
        os.environ.update(SETTINGS)
        self.home = Home.make(link)
        self.shop = StormShop(self.home)
        self.shops = [self.shop]
        self.say = say
        self.keeper = Keeper(say)
        self.children = {}
        self.pair = None
        self.starters = {}
        self.tokens = {}

    # At the beginning.

    def start(self, tree, build):
        shop = self.shop
        shop.install_from(tree, build)
        shop.start_servers()
        self.pair = Pair(shop, self.say)
        for each in self.shops:
            each.ports_of_postgres = (self.pair.leader.port, self.pair.other.port)
        self.pair.keep_synchronous("")
        shop.migrate()
        shop.load()
        self.tokens = {name: shop.mint(name, "orders:write orders:read")
                       for name in ("ana", "bruno")}
        self.pair.make_standby()
        self.keep_servers()
        self.keep_shop(shop)
        self.keeper.thread.start()
        self.wait_ready(shop)

    def keep_servers(self):
        for name in ("rabbitmq", "redis"):
            self.keeper.keep(name, lambda name=name: self.restart_server(name),
                             lambda name=name: self.server_alive(name))
        self.keeper.keep("postgres", self.pair.revive, self.postgres_alive)

    def postgres_alive(self):
        """Who is being promoted or copied is not ours to start."""
        if not self.pair.lock.acquire(blocking=False):
            return True
        try:
            return bool(self.pair.leader.pid()) and \
                (not self.pair.has_standby or bool(self.pair.other.pid()))
        finally:
            self.pair.lock.release()

    def restart_server(self, name):
        """Does not wait until it serves; a broker takes ten seconds."""
        self.starters[name] = subprocess.Popen(
            [SCRIPTS / "servers", "restart", self.home.link, "--only", name],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)

    def server_alive(self, name):
        starter = self.starters.get(name)
        if starter and starter.poll() is None:
            return True
        return processes.read_pid(self.home, name) is not None

    def keep_shop(self, shop):
        """Starts a version's edge and daemons, and keeps them."""
        shop.choose_ports()
        shop.write_nginx()
        for name in (shop.edge, *shop.daemons()):
            self.launch(shop, name)
            self.keeper.keep(name, lambda name=name: self.launch(shop, name),
                             lambda name=name: self.children[name].poll() is None)

    def launch(self, shop, name):
        if name == shop.edge:
            processes.sweep(shop.folder(), "nginx")
            self.children[name] = processes.launch(self.home, name, shop.nginx_command(),
                                                   shop.folder())
        else:
            self.children[name] = processes.launch(self.home, name, shop.daemon_command(name),
                                                   self.home.path / "work",
                                                   shop.daemon_environment(name))

    def retire_shop(self, shop):
        """Ends a version's programs as an upgrade would: in order, what is in hand is finished."""
        names = (shop.edge, *shop.daemons())
        for name in names:
            self.keeper.forget(name)
        for name in names:
            if name in self.children:
                self.end(name, signal.SIGQUIT if name == shop.edge else signal.SIGTERM)

    def end(self, name, number):
        child = self.children.pop(name)
        child.send_signal(signal.SIGCONT)
        child.send_signal(number)
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            self.say(f"{name} did not end within 30 s")
            child.kill()
            child.wait()
        processes.forget_pid(self.home, name)

    # What is looked at.

    def newest(self):
        return self.shops[-1]

    def urls(self):
        return [shop.url() for shop in self.shops if shop.edge in self.children]

    def probes(self):
        return {**{shop.edge: f"{shop.url()}/readyz" for shop in self.shops
                   if shop.edge in self.children},
                **{daemon: f"http://{shop.probe(daemon)}/readyz" for shop in self.shops
                   for daemon in shop.daemons() if daemon in self.children}}

    def unready(self):
        """By name, what each says that is not ready."""
        answers = {name: ask(url) for name, url in self.probes().items()}
        return {name: body for name, (status, body) in answers.items() if status != 200}

    def wait_ready(self, shop, seconds=READY_SECONDS):
        wanted = {shop.edge, *shop.daemons()}
        deadline = time.monotonic() + seconds
        while unready := {name: said for name, said in self.unready().items() if name in wanted}:
            if time.monotonic() > deadline:
                raise TimeoutError("not ready: " + "; ".join(
                    f"{name}: {said[:300]}" for name, said in unready.items()))
            time.sleep(0.2)

    def workers(self, edge):
        """The pids of an nginx's workers."""
        child = self.children.get(edge)
        pids = processes.programs_within(self.home.path / edge, "nginx")
        return sorted(pid for pid in pids if child and pid != child.pid)

    def pids(self):
        """Of all that the killer may meet."""
        found = [child.pid for child in self.children.values() if child.poll() is None]
        for name in ("rabbitmq", "redis"):
            found.append(processes.read_pid(self.home, name))
        for edge in {shop.edge for shop in self.shops}:
            found += self.workers(edge)
        for node in (self.pair.leader, self.pair.other):
            found += node.everybody()
        return [pid for pid in found if pid]

    # At the end.

    def wake_all(self):
        """Whatever the killer has stopped and not continued."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def remove(self):
        """Everything at once, and its data."""
        self.keeper.stop()
        for starter in self.starters.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                starter.wait(30)
        for child in self.children.values():
            child.kill()
            child.wait()
        for shop in self.shops:
            processes.sweep(self.home.path / shop.edge, "nginx")
        if self.pair:
            self.pair.stop()
        subprocess.run([SCRIPTS / "servers", "remove", self.home.link], check=False)
