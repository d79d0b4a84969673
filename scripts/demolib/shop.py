# SPDX-License-Identifier: Apache-2.0
"""The shipped shop on one machine: which processes it has, with which settings."""
import base64
import json
import os
import pathlib
import subprocess
import urllib.parse
import urllib.request

from . import home as homes
from .home import SCRIPTS, assignments, read_assignments

DATABASE = "comanda"
SERVERS = ("postgres", "rabbitmq", "redis")
# name: its role in the database
DAEMONS = ("relay", "saga", "payment", "inventory", "shipping", "projector")
ROLES = ("edge", *DAEMONS, "readonly", "operator")
# Who has a user of its own there; `comandactl access show` tells what each may do.
BROKER_USERS = (*DAEMONS, "operator", "keda")
REDIS_USERS = ("edge", "projector", "operator", "admin")
PRODUCTS = 100
STOCK = 1_000_000
TOKEN_TTL = "24h"
TOKENS = {
    "COMANDA_TOKEN": ("ana", "orders:write orders:read"),
    "COMANDA_TOKEN_2": ("bruno", "orders:write orders:read"),
    "COMANDA_ADMIN_TOKEN": ("admin", "orders:read orders:read:any"),
}


def instance_names(instances):
    return [daemon if number == 1 else f"{daemon}-{number}"
            for number in range(1, instances + 1) for daemon in DAEMONS]


class Shop:
    """One installation in a home: installed programs, servers' addresses, settings."""

    def __init__(self, home, rate=True, instances=1):
        self.home = home
        self.rate = rate
        self.instances = instances
        self.dist = home.path / "dist"

    def daemons(self):
        """The processes' names: relay, and relay-2 where there are two of each."""
        return instance_names(self.instances)

    # Servers and what lies in them.

    def start_servers(self, names=SERVERS):
        """With a user for each program; the programs must be installed."""
        if "redis" in names:
            self.write_redis_users()
        subprocess.run([SCRIPTS / "servers", "start", self.home.link, "--env", "servers.env",
                        "--only", ",".join(names)], check=True)
        if "rabbitmq" in names:
            self.make_broker_users()

    def access(self, *arguments):
        """What `comandactl access` prints, with the passwords of this home."""
        return subprocess.run([self.dist / "bin" / "comandactl", "access", *arguments,
                               "--passwords", self.home.path / "secrets"], check=True,
                              stdout=subprocess.PIPE, text=True).stdout

    def write_redis_users(self):
        """Before Redis starts: it reads them at each start."""
        for user in REDIS_USERS:
            self.home.secret(f"redis_{user}")
        self.home.write("redis/users.acl", self.access("redis", "--admin"))

    def make_broker_users(self):
        """Once RabbitMQ runs: it keeps them. A changed password or permission is taken over."""
        for user in BROKER_USERS:
            self.home.secret(f"rabbitmq_{user}")
        address = urllib.parse.urlsplit(self.server("COMANDA_TEST_AMQP_HTTP"))
        login = base64.b64encode(f"{address.username}:{address.password}".encode()).decode()
        request = urllib.request.Request(
            f"{management_url(self)}/api/definitions", method="POST",
            data=self.access("rabbitmq").encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Basic {login}"})
        urllib.request.urlopen(request, timeout=30).close()

    def amqp(self, user):
        port = urllib.parse.urlsplit(self.server("COMANDA_TEST_AMQP")).port
        return (f"amqp://comanda_{user}:{self.home.secret(f'rabbitmq_{user}')}@127.0.0.1:{port}"
                "/%2f")

    def management(self):
        """As the autoscaler's user, who sees the virtual host and may do nothing in it."""
        address = urllib.parse.urlsplit(management_url(self))
        return f"http://comanda_keda:{self.home.secret('rabbitmq_keda')}@{address.netloc}"

    def redis(self, user):
        return (f"redis://comanda_{user}:{self.home.secret(f'redis_{user}')}@"
                f"{self.server('COMANDA_TEST_REDIS')}/0")

    def server(self, name):
        return read_assignments(self.home.path / "servers.env")[name]

    def install(self, build):
        subprocess.run([SCRIPTS / "install", build, self.dist], check=True)

    def conninfo(self, role):
        """Keywords and values; a role without its prefix, or the owner of the database."""
        if role == "owner":
            return self.server("COMANDA_TEST_POSTGRES").replace("dbname=postgres",
                                                                f"dbname={DATABASE}")
        return (f"hostaddr=127.0.0.1 port={self.server('COMANDA_TEST_POSTGRES_PORT')} "
                f"dbname={DATABASE} user=comanda_{role} password={self.home.secret(role)}")

    def database_url(self, role):
        return (f"postgresql://comanda_{role}:{self.home.secret(role)}@127.0.0.1:"
                f"{self.server('COMANDA_TEST_POSTGRES_PORT')}/{DATABASE}")

    def sql(self, conninfo, script):
        return subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d",
                               conninfo], input=script, check=True, capture_output=True,
                              text=True).stdout.strip()

    def ctl(self, *arguments, role="operator"):
        environment = dict(os.environ, COMANDA_POSTGRES=self.conninfo(role),
                           COMANDA_AMQP=self.amqp("operator"),
                           COMANDA_REDIS=self.redis("operator"),
                           COMANDA_JWT_KEY_FILE=str(self.home.secret_path("jwt.key")))
        return subprocess.run([self.dist / "bin" / "comandactl", *arguments], env=environment,
                              check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def migrate(self):
        server = self.server("COMANDA_TEST_POSTGRES")
        if not self.sql(server, f"select 1 from pg_database where datname = '{DATABASE}'"):
            self.sql(server, f"create database {DATABASE}")
        self.ctl("migrate", role="owner")
        self.sql(self.conninfo("owner"), "".join(
            f"alter role comanda_{role} password '{self.home.secret(role)}';\n" for role in ROLES))

    def load(self):
        """Products and stock. The same file again counts once."""
        products = [f"SKU-{number}" for number in range(1, PRODUCTS + 1)]
        lines = [{"sku": sku, "name": f"Product {sku.removeprefix('SKU-')}",
                  "price": {"amount": 1000 + 10 * number, "currency": "BRL"}}
                 for number, sku in enumerate([*products, "SKU-SHORT"])]
        stock = [{"sku": sku, "quantity": STOCK} for sku in products]
        for noun, rows in (("product", lines), ("stock", stock)):
            path = self.home.write(f"work/{noun}s.ndjson",
                                   "".join(json.dumps(row) + "\n" for row in rows))
            self.ctl(noun, "load", str(path))

    def mint(self, subject, scope):
        return self.ctl("token", "mint", "--subject", subject, "--scope", scope,
                        "--ttl", TOKEN_TTL)

    # Processes.

    def choose_ports(self):
        for name in ("edge", *(f"probe_{daemon}" for daemon in self.daemons())):
            self.home.choose_port(name)

    def url(self):
        return f"http://127.0.0.1:{self.home.ports()['edge']}"

    def probe(self, daemon):
        return f"127.0.0.1:{self.home.ports()[f'probe_{daemon}']}"

    def daemon_environment(self, daemon):
        """Settings by environment; what the caller has set there wins, but for the addresses."""
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("COMANDA_TEST_")}
        program = daemon.partition("-")[0]
        if program == "projector":
            environment["COMANDA_REDIS"] = self.redis(program)
        environment.update(
            COMANDA_POSTGRES=self.conninfo(program),
            COMANDA_AMQP=self.amqp(program),
            COMANDA_PROBE=self.probe(daemon),
        )
        environment.setdefault("COMANDA_SAGAS", str(self.conf("sagas")))
        if program == "relay":
            environment.setdefault("COMANDA_AMQP_MANAGEMENT", self.management())
        return environment

    def daemon_command(self, daemon):
        return [self.dist / "bin" / f"comanda-{daemon.partition('-')[0]}"]

    def conf(self, name):
        return self.dist / "share" / "comanda" / "conf" / name

    def nginx_command(self):
        folder = self.home.path / "nginx"
        return [nginx_program(), "-p", folder, "-c", folder / "nginx.conf", "-e",
                self.home.path / "logs" / "nginx.log", "-g", "daemon off;"]

    def write_nginx(self):
        """nginx.conf and the file of addresses; everything else comes from conf/nginx."""
        folder = self.home.path / "nginx"
        self.home.write("nginx/comanda_servers.conf", "\n".join([
            f'comanda_postgres main "{self.conninfo("edge")}";',
            f'comanda_redis hot {self.server("COMANDA_TEST_REDIS")} user=comanda_edge '
            f'password_file={self.home.secret_path("redis_edge")};',
        ]) + "\n")
        self.home.write("nginx/nginx.conf", NGINX_CONF.format(
            modules=self.dist / "lib" / "comanda",
            folder=folder,
            conf=self.conf("nginx"),
            port=self.home.ports()["edge"],
            key=self.home.secret_path("jwt.key"),
            limits=f"include {self.conf('nginx')}/comanda_limits.conf;" if self.rate else "",
        ))

    def check_nginx(self):
        """nginx -t: a fault in the configuration is told at once, with its line."""
        done = subprocess.run([*self.nginx_command(), "-t"], cwd=self.home.path / "nginx",
                              capture_output=True, text=True, check=False, **self.home.as_user())
        if done.returncode != 0:
            raise ValueError(done.stderr.strip())

    # What a client needs.

    def metrics_addresses(self):
        return [f"{self.url()}/metrics",
                *(f"http://{self.probe(daemon)}/metrics" for daemon in self.daemons())]

    def write_env(self):
        values = {"COMANDA_URL": self.url()}
        for name, (subject, scope) in TOKENS.items():
            values[name] = self.mint(subject, scope)
        values.update(
            DATABASE_URL=self.database_url("readonly"),
            # Of the administrators, for whoever looks around; no program of ours uses them.
            AMQP_URL=self.server("COMANDA_TEST_AMQP"),
            REDIS_URL=self.redis("admin"),
            COMANDA_METRICS=" ".join(self.metrics_addresses()),
            # For comandactl.
            COMANDACTL=self.dist / "bin" / "comandactl",
            COMANDA_POSTGRES=self.conninfo("operator"),
            COMANDA_AMQP=self.amqp("operator"),
            COMANDA_REDIS=self.redis("operator"),
            COMANDA_JWT_KEY_FILE=self.home.secret_path("jwt.key"),
            COMANDA_SAGAS=self.conf("sagas"),
        )
        self.home.write("env", assignments(values))


NGINX_CONF = """\
load_module {modules}/ngx_http_comanda_guard_module.so;
load_module {modules}/ngx_http_comanda_module.so;
worker_processes 1;
pid {folder}/nginx.pid;
events {{
    worker_connections 1024;
}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/comanda_servers.conf;
    include {conf}/comanda_http.conf;
    server {{
        listen 127.0.0.1:{port};
        comanda_jwt key_file={key};
        include {conf}/comanda_shop.conf;
        {limits}
    }}
}}
"""


def nginx_program():
    """An ordinary user's PATH lacks /usr/sbin."""
    for folder in (*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/usr/local/sbin"):
        program = pathlib.Path(folder) / "nginx"
        if folder and os.access(program, os.X_OK):
            return program
    raise FileNotFoundError("nginx is not installed; run ./configure.sh")


def management_url(shop):
    """The broker's management API, without the password."""
    parts = urllib.parse.urlsplit(shop.server("COMANDA_TEST_AMQP_HTTP"))
    return f"http://{parts.hostname}:{parts.port}"


def shop_in(link, **options):
    return Shop(homes.Home(link), **options)
