# SPDX-License-Identifier: Apache-2.0
"""A private nginx with our module: its own folder, port, pid and log."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from demolib import processes  # noqa: E402
from demolib.home import free_ports, server_user  # noqa: E402
from demolib.shop import nginx_program  # noqa: E402

BUILD = pathlib.Path(os.environ.get("COMANDA_BUILD", ROOT / "build"))
# In the order in which they are loaded.
MODULES = ("ngx_http_comanda_guard_module.so", "ngx_http_comanda_module.so")
CONF = """\
{modules}
worker_processes {workers};
pid {folder}/nginx.pid;
{main}
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
    {http}
    server {{
        listen 127.0.0.1:{port};
        {server}
    }}
}}
"""


class Nginx:
    """server, http, main: configuration inside these blocks; {folder} and {port} are replaced.
    seam: the modules whose registry is the tests' own. files: name → text, beside nginx.conf.
    modules: what is loaded, in this order."""

    def __init__(self, server="", http="", main="", workers=1, seam=False, files=None, wrapper=(),
                 modules=MODULES):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="comanda-nginx-", dir="/var/tmp"))
        self.user = server_user()
        self.port = int(free_ports("1").stdout)
        self.url = f"http://127.0.0.1:{self.port}"
        self.wrapper = list(wrapper)
        self.child = None
        for name in MODULES:
            shutil.copy(BUILD / ("seam/module" if seam else "module") / name, self.folder)
        self.modules = modules
        for name, text in (files or {}).items():
            (self.folder / name).write_text(text)
        self.write(server, http, main, workers)
        self.log = self.folder / "error.log"
        self.log.touch()
        if self.user:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def write(self, server="", http="", main="", workers=1):
        """Writes nginx.conf; a running nginx takes it by reload()."""
        place = {"folder": self.folder, "port": self.port}
        for text in ("{folder}", "{port}"):
            server, http, main = (part.replace(text, str(place[text.strip("{}")]))
                                  for part in (server, http, main))
        modules = "\n".join(f"load_module {self.folder}/{name};" for name in self.modules)
        (self.folder / "nginx.conf").write_text(CONF.format(
            **place, modules=modules, server=server, http=http, main=main, workers=workers))

    def command(self, *more):
        return [*self.wrapper, nginx_program(), "-p", self.folder, "-c",
                self.folder / "nginx.conf", "-e", self.log, *more]

    def as_user(self):
        if not self.user:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def test(self):
        """nginx -t: (exit code, what it says)."""
        done = subprocess.run(self.command("-t"), cwd=self.folder, capture_output=True, text=True,
                              timeout=60, check=False, **self.as_user())
        return done.returncode, done.stderr

    def start(self, seconds=20):
        code, said = self.test()
        assert code == 0, said
        with open(self.log, "ab") as output:
            self.child = subprocess.Popen(self.command("-g", "daemon off;"), cwd=self.folder,
                                          stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                          start_new_session=True, **self.as_user())
        deadline = time.monotonic() + seconds
        while not self.answers():
            assert self.child.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "nginx does not answer"
            time.sleep(0.02)

    def answers(self):
        try:
            urllib.request.urlopen(self.url + "/", timeout=2).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def master(self):
        return self.child.pid

    def workers(self):
        return [pid for pid in processes.programs_within(self.folder, "nginx")
                if pid != self.child.pid]

    def reload(self):
        os.kill(self.child.pid, signal.SIGHUP)

    def stop(self, first=signal.SIGQUIT, seconds=20):
        """Ends it and gives the master's exit code."""
        if self.child and self.child.poll() is None:
            os.kill(self.child.pid, first)
            try:
                self.child.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.kill(self.child.pid, signal.SIGKILL)
                self.child.wait(timeout=seconds)
        processes.sweep(self.folder, "nginx")
        return self.child.returncode if self.child else None

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
