# SPDX-License-Identifier: Apache-2.0
"""The module as it is built and installed: it loads into Debian's nginx and nowhere else."""
import os
import pathlib
import re
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

from nginx import BUILD, MODULES, ROOT, Nginx

GUARD, STORE = MODULES

SOURCE = pathlib.Path("/usr/share/nginx/src")
FITS = ROOT / "scripts" / "nginx_source_fits"


def test_the_module_loads_and_serves(start_nginx):
    nginx = start_nginx("location / { return 204; }")
    assert len(nginx.workers()) == 1
    assert nginx.stop() == 0


def symbols(module, which):
    done = subprocess.run(["nm", "-D", which, BUILD / "module" / module], capture_output=True,
                          text=True, check=True)
    return sorted(line.split()[-1] for line in done.stdout.splitlines())


@pytest.mark.parametrize("module, more", [(GUARD, ["ngx_http_comanda_guard_calls"]), (STORE, [])])
def test_a_module_exports_nginxs_three_names_and_its_table_and_nothing_else(module, more):
    assert symbols(module, "--defined-only") == sorted(
        [*more, "ngx_module_names", "ngx_module_order", "ngx_modules"])


@pytest.mark.parametrize("module, wanted", [(GUARD, []), (STORE, ["ngx_http_comanda_guard_calls"])])
def test_a_module_misses_no_symbol_of_ours_but_the_guards_table(module, wanted):
    assert [name for name in symbols(module, "--undefined-only")
            if "ngx_http_comanda" in name or "context_registry" in name] == wanted


def needed(module):
    done = subprocess.run(["readelf", "-d", BUILD / "module" / module], capture_output=True,
                          text=True, check=True)
    return set(re.findall(r"NEEDED.*\[(lib[a-z]+)", done.stdout)) - {"libc"}


def test_the_guard_brings_no_client_of_a_store_along():
    assert needed(GUARD) == {"libcrypto"}
    assert needed(STORE) == {"libpq", "libhiredis", "libcrypto"}


@pytest.mark.parametrize("modules", [(STORE,), (STORE, GUARD)])
def test_the_wrong_order_is_refused_in_words(make_nginx, modules):
    code, said = make_nginx("location / { return 204; }", modules=modules).test()
    assert code == 1
    assert f"{STORE} needs {GUARD}: put its load_module line before" in said


def test_modules_of_two_builds_are_refused_in_words(make_nginx):
    nginx = make_nginx("location / { return 204; }")
    module = nginx.folder / GUARD
    build = re.search(rb"[0-9a-f]{64}\0", module.read_bytes())[0]
    module.write_bytes(module.read_bytes().replace(build, build[1:-1] + build[:1] + b"\0"))
    code, said = nginx.test()
    assert code == 1
    assert f"{STORE} and {GUARD} are of different builds" in said


def test_the_guard_serves_alone(start_nginx):
    nginx = start_nginx("comanda_problems on; location / { return 404; }", modules=(GUARD,))
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(nginx.url + "/", timeout=20)
    assert refused.value.headers["Content-Type"] == "application/problem+json"


def shared_mappings(nginx):
    """Of a worker: shared memory that no file stands behind."""
    maps = pathlib.Path(f"/proc/{nginx.workers()[0]}/maps").read_text()
    return sum(" rw-s " in line for line in maps.splitlines())


def test_loading_alone_brings_no_shared_memory(start_nginx):
    plain = start_nginx("location / { return 204; }", modules=())
    loaded = start_nginx("location / { return 204; }")
    assert shared_mappings(loaded) == shared_mappings(plain)


def test_the_metrics_grow_with_what_is_declared(make_nginx):
    """Red before: the 36th command failed, with a message about reloading."""
    postgres = 'comanda_postgres main "host=127.0.0.1 dbname=none";'
    commands = "\n".join(
        f"location /{n} {{ comanda_command counting.more{n:02}_counter target=$arg_id scope=a; }}"
        for n in range(60))
    code, said = make_nginx(commands, http=postgres, seam=True).test()
    assert code == 0, said


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


def fits(tree):
    done = subprocess.run([FITS, tree], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.fixture
def upstream_tree(tmp_path):
    """As upstream's tarball after ./configure && make, as far as the check looks."""
    (tmp_path / "src/core").mkdir(parents=True)
    (tmp_path / "objs").mkdir()
    (tmp_path / "src/core/nginx.h").write_text(
        "#define nginx_version      1031004\n#define NGINX_VERSION      \"1.31.4\"\n")
    (tmp_path / "objs/ngx_auto_config.h").write_text("#define NGX_CONFIGURE \" --with-threads\"\n")
    (tmp_path / "objs/nginx").write_text("")
    (tmp_path / "objs/nginx").chmod(0o755)
    return tmp_path


def test_upstreams_tree_fits_once_nginx_was_made_in_it(upstream_tree):
    assert fits(upstream_tree) == (0, "")


@pytest.mark.parametrize("missing, word", [
    ("src/core/nginx.h", "no nginx tree"), ("objs/nginx", "make it there first"),
    ("objs/ngx_auto_config.h", "configure and make nginx there first")])
def test_upstreams_tree_that_lacks_something_is_refused(upstream_tree, missing, word):
    (upstream_tree / missing).unlink()
    code, said = fits(upstream_tree)
    assert code == 1 and word in said and str(upstream_tree) in said


def test_an_nginx_that_is_too_old_is_refused(upstream_tree):
    (upstream_tree / "src/core/nginx.h").write_text(
        "#define nginx_version      1020002\n#define NGINX_VERSION      \"1.20.2\"\n")
    code, said = fits(upstream_tree)
    assert code == 1 and "1.20.2" in said and "1.22.0" in said


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
    wanted = {"bin/comandactl": 0o755, "lib/comanda/ngx_http_comanda_guard_module.so": 0o644,
              "lib/comanda/ngx_http_comanda_module.so": 0o644}
    wanted.update((f"bin/comanda-{name}", 0o755) for name in daemons)
    wanted.update((f"share/comanda/{path.relative_to(ROOT)}", 0o644)
                  for path in (ROOT / "conf").rglob("*") if path.is_file())
    assert len(daemons) == 6
    assert {str(path.relative_to(tmp_path / "usr")): path.stat().st_mode & 0o777
            for path in tmp_path.rglob("*") if path.is_file()} == wanted
