# SPDX-License-Identifier: Apache-2.0
"""The module as it is built and installed: it loads into Debian's nginx and nowhere else."""
import os
import pathlib
import shutil
import subprocess

from nginx import BUILD, ROOT, Nginx

SOURCE = pathlib.Path("/usr/share/nginx/src")
FITS = ROOT / "scripts" / "nginx_source_fits"


def test_the_module_loads_and_serves(start_nginx):
    nginx = start_nginx("location / { return 204; }")
    assert len(nginx.workers()) == 1
    assert nginx.stop() == 0


def test_the_module_misses_no_symbol_of_ours():
    module = BUILD / "module" / "ngx_http_comanda_module.so"
    undefined = subprocess.run(["nm", "-D", "--undefined-only", module], capture_output=True,
                               text=True, check=True).stdout
    ours = [line.split()[-1] for line in undefined.splitlines()
            if "ngx_http_comanda" in line or "context_registry" in line]
    assert ours == []


def test_nothing_is_left_behind():
    nginx = Nginx("location / { return 204; }")
    nginx.start()
    nginx.remove()
    assert not nginx.folder.exists()
    assert nginx.workers() == []


def test_debians_own_tree_fits():
    assert subprocess.run([FITS, SOURCE], check=False).returncode == 0


def test_a_tree_of_another_layout_is_refused(tmp_path):
    """As upstream's tarball of the same version: its ngx_connection_t lacks Debian's field."""
    tree = tmp_path / "nginx"
    shutil.copytree(SOURCE, tree)
    header = tree / "src" / "core" / "ngx_connection.h"
    header.write_text(header.read_text().replace("pipeline:1", "other:1"))
    done = subprocess.run([FITS, tree], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert str(tree) in done.stderr and "nginx-dev" in done.stderr


def test_a_tree_of_another_version_is_refused(tmp_path):
    tree = tmp_path / "nginx"
    shutil.copytree(SOURCE, tree)
    header = tree / "src" / "core" / "nginx.h"
    header.write_text(header.read_text().replace('"1.22.1"', '"1.24.0"'))
    done = subprocess.run([FITS, tree], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1.24.0" in done.stderr


def test_make_install_brings_programs_module_and_configuration_and_nothing_else(tmp_path):
    build = os.path.relpath(BUILD, ROOT)
    subprocess.run(["make", "-s", "install", f"BUILD={build}", f"DESTDIR={tmp_path}", "PREFIX=/usr"],
                   cwd=ROOT, check=True)
    daemons = [path.name for path in (ROOT / "workers").iterdir()
               if path.is_dir() and path.name not in ("runtime", "comandactl")]
    wanted = {"bin/comandactl": 0o755, "lib/comanda/ngx_http_comanda_module.so": 0o644}
    wanted.update((f"bin/comanda-{name}", 0o755) for name in daemons)
    wanted.update((f"share/comanda/{path.relative_to(ROOT)}", 0o644)
                  for path in (ROOT / "conf").rglob("*") if path.is_file())
    assert len(daemons) == 6
    assert {str(path.relative_to(tmp_path / "usr")): path.stat().st_mode & 0o777
            for path in tmp_path.rglob("*") if path.is_file()} == wanted
