# SPDX-License-Identifier: Apache-2.0
"""The shop that is measured: private servers, the edge, and daemons started one by one."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from demolib import processes  # noqa: E402
from demolib.home import Home, read_assignments  # noqa: E402
from demolib.shop import DAEMONS, PRODUCTS, Shop, nginx_program  # noqa: E402

READY_SECONDS = 90
POLL_SECONDS = 0.05
SETTINGS = {"COMANDA_LOG_LEVEL": "warning"}

PLAIN_NGINX = """\
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            default_type application/json;
            return 200 '{body}';
        }}
    }}
}}
"""


def ask(url, token=None):
    """Status and body of a GET; 0 while nobody listens."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as got:
            return got.status, got.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError as error:
        return 0, str(error)


def wait_until(what, seconds, check):
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(POLL_SECONDS)


class House:
    """Everything of one run; nothing of it is shared with the demo."""

    def __init__(self, link, build):
        os.environ.update({name: os.environ.get(name, value) for name, value in SETTINGS.items()})
        self.home = Home.make(link)
        self.shop = Shop(self.home, rate=False)
        self.build = pathlib.Path(build).resolve()
        self.children = {}

    def start(self):
        """Servers, schema, products; then every daemon once, so that the documents are there."""
        self.shop.install(self.build)
        self.shop.start_servers()
        self.shop.migrate()
        self.shop.load()
        self.shop.choose_ports()
        self.shop.write_nginx()
        self.shop.check_nginx()
        self.shop.write_env()
        self.env = read_assignments(self.home.path / "env")
        self.token = self.env["COMANDA_TOKEN"]
        self.launch("nginx", self.shop.nginx_command())
        self.start_daemons()
        last = f"{self.shop.url()}/v1/products/SKU-{PRODUCTS}"
        wait_until("the products' documents", READY_SECONDS, lambda: ask(last)[0] == 200)
        wait_until("nginx is ready", READY_SECONDS,
                   lambda: ask(f"{self.shop.url()}/readyz")[0] == 200)

    def remove(self):
        self.stop_daemons()
        for name in list(self.children):
            self.end(name)
        processes.sweep(self.home.path / "nginx", "nginx")
        subprocess.run([ROOT / "scripts" / "servers", "remove", self.home.link], check=True)

    # Processes.

    def launch(self, name, command, folder="nginx", environment=None):
        self.children[name] = processes.launch(self.home, name, command, self.home.folder(folder),
                                               environment)

    def end(self, name):
        child = self.children.pop(name, None)
        if child:
            child.send_signal(signal.SIGQUIT if "nginx" in name else signal.SIGTERM)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            processes.forget_pid(self.home, name)

    def start_daemons(self, names=DAEMONS):
        for name in names:
            self.launch(name, self.shop.daemon_command(name), "work",
                        self.shop.daemon_environment(name))
        for name in names:
            url = f"http://{self.shop.probe(name)}/readyz"
            wait_until(f"{name} is ready", READY_SECONDS, lambda url=url: ask(url)[0] == 200)

    def stop_daemons(self, names=DAEMONS):
        for name in names:
            self.end(name)

    def start_plain_nginx(self, body):
        """An nginx without our module that answers every request with this body."""
        text = body.replace("\\", "\\\\").replace("'", "\\'").replace("$", "")
        url = f"http://127.0.0.1:{self.start_nginx('plain', PLAIN_NGINX, body=text)}"
        wait_until("the plain nginx", READY_SECONDS, lambda: ask(url)[0] == 200)
        return url

    def start_nginx(self, name, conf, **words):
        """One more nginx, called NAME-nginx; its port. conf's {folder} and {port} are its own."""
        folder = self.home.folder(name)
        port = self.home.choose_port(name)
        self.home.write(f"{name}/nginx.conf", conf.format(folder=folder, port=port, **words))
        self.launch(f"{name}-nginx", [nginx_program(), "-p", folder, "-c", folder / "nginx.conf",
                                      "-e", self.home.path / "logs" / f"{name}.log", "-g",
                                      "daemon off;"], name)
        return port

    # What is asked of them.

    def metric(self, daemon, name, **labels):
        """A counter's or gauge's value, summed over its series with these labels."""
        total = 0.0
        for line in ask(f"http://{self.shop.probe(daemon)}/metrics")[1].splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and \
                    all(f'{key}="{want}"' in series for key, want in labels.items()):
                total += float(value)
        return total

    def sql(self, script, database=None):
        conninfo = self.shop.conninfo("owner")
        if database:
            conninfo = conninfo.replace("dbname=comanda", f"dbname={database}")
        return self.shop.sql(conninfo, script)

    def broker(self):
        return {name.rpartition("_")[2].lower(): self.shop.server(name) for name in
                ("COMANDA_TEST_AMQP_HOST", "COMANDA_TEST_AMQP_PORT", "COMANDA_TEST_AMQP_USER",
                 "COMANDA_TEST_AMQP_PASSWORD")}

    def publish(self, exchange, routing_key, bodies, window=1000):
        """The bare publisher; returns messages a second."""
        broker = self.broker()
        done = subprocess.run(
            [self.build / "bench" / "publisher", broker["host"], broker["port"], broker["user"],
             broker["password"], exchange, routing_key, str(window)],
            input=("\n".join(bodies) + "\n").encode(), stdout=subprocess.PIPE, check=True)
        told = json.loads(done.stdout)
        return told["messages"] / told["seconds"]
