# SPDX-License-Identifier: Apache-2.0
"""The demo's folder: who owns it, its ports, secrets and files."""
import os
import pathlib
import pwd
import secrets
import shlex
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"


def server_user():
    """The user that everything runs as when we are root, else None: ourselves."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwnam(os.environ.get("COMANDA_USER", "postgres"))


def read_assignments(path):
    """NAME='value' lines, as a dict."""
    values = {}
    for line in pathlib.Path(path).read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            values[name] = "".join(shlex.split(value))
    return values


def assignments(values):
    return "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items())


class Home:
    """A folder that scripts/servers has made; `path` is where it really is."""

    def __init__(self, link):
        self.link = pathlib.Path(link).absolute()
        self.path = self.link.resolve()
        self.user = server_user()

    @classmethod
    def make(cls, link):
        subprocess.run([SCRIPTS / "servers", "home", link], check=True, stdout=subprocess.DEVNULL)
        home = cls(link)
        for part in ("nginx", "work"):
            home.folder(part)
        return home

    def exists(self):
        return (self.path / "pids").is_dir()

    def own(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def as_user(self):
        """The options of subprocess that make a child run as the unprivileged user."""
        if not self.user:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def folder(self, name):
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        self.own(path)
        return path

    def write(self, name, text):
        """Replaces a file that only its owner (and root) can read."""
        path = self.path / name
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        self.own(fresh)
        fresh.replace(path)
        return path

    def secret(self, name):
        """A secret made at its first use: 64 hexadecimal digits."""
        path = self.path / "secrets" / name
        if not path.exists():
            self.write(f"secrets/{name}", secrets.token_hex(32))
        return path.read_text()

    def secret_path(self, name):
        self.secret(name)
        return self.path / "secrets" / name

    def ports(self):
        try:
            return {name: int(port) for name, port
                    in read_assignments(self.path / "ports").items()}
        except FileNotFoundError:
            return {}

    def choose_port(self, name):
        """Keeps the port of an earlier start when it is still free, else chooses another."""
        ports = self.ports()
        if name in ports and free_ports("--test", str(ports[name])).returncode == 0:
            return ports[name]
        ports[name] = int(free_ports("1").stdout)
        self.write("ports", "".join(f"{key}={value}\n" for key, value in ports.items()))
        return ports[name]


def free_ports(*arguments):
    return subprocess.run([SCRIPTS / "free_ports", *arguments], capture_output=True, text=True,
                          check=False)
