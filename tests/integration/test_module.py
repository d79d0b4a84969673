# SPDX-License-Identifier: Apache-2.0
"""The module as it is built and installed: it loads into Debian's nginx and nowhere else."""
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


def test_installing_brings_programs_module_and_configuration(tmp_path):
    subprocess.run([ROOT / "scripts" / "install", BUILD, tmp_path / "usr"], check=True)
    for name in ("bin/comandactl", "bin/comanda-relay", "lib/comanda/ngx_http_comanda_module.so",
                 "share/comanda/conf/nginx/comanda_shop.conf",
                 "share/comanda/conf/sagas/order_fulfilment.json"):
        assert (tmp_path / "usr" / name).is_file(), name
