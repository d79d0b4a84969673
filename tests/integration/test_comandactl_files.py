# SPDX-License-Identifier: Apache-2.0
"""comandactl and what it reads and writes: a full disk, a spoilt file, a relay that has ended."""
import json
import os
import subprocess

import pytest

from daemon import BUILD
from test_comandactl import KEY, bare, findings, lines_of, run  # noqa: F401


@pytest.mark.parametrize("line", [
    ("--help",), ("event", "--help"), ("access", "show"), ("access", "show", "--json"),
    ("migrate", "status"), ("projection", "status", "--json"), ("doctor",),
    ("token", "mint", "--subject", "x", "--key-file", "KEY")])
def test_given_a_full_disk_when_it_prints_then_it_does_not_end_well(bare, tmp_path, line):
    (tmp_path / "key").write_text(KEY)
    line = [tmp_path / "key" if word == "KEY" else word for word in line]
    with open("/dev/full", "w") as full:
        done = subprocess.run([BUILD / "bin/comandactl", *line], stdout=full, timeout=60, text=True,
                              stderr=subprocess.PIPE, env={**os.environ, "COMANDA_POSTGRES":
                                                           bare.database.conninfo})
    assert done.returncode == 5 and "output" in done.stderr


@pytest.mark.parametrize("content, words", [
    (b"\xef\xbb\xbfhost=x", "byte order mark of UTF-8"), (b"host=\0x", "NUL"), (b"\n", "holds 0"),
    (None, "No such file")])
def test_given_a_secrets_file_of_no_use_when_run_then_it_says_which_and_why(
        bare, tmp_path, content, words):
    path = tmp_path / "conninfo"
    if content is not None:
        path.write_bytes(content)
    environment = {"COMANDA_POSTGRES_FILE": str(path), "COMANDA_POSTGRES": ""}
    code, _out, err = run("projection", "status", **environment)
    assert code == 5 and f"COMANDA_POSTGRES_FILE: {path}" in err and words in err
    code, out, err = run("doctor", "--json", **environment)
    assert code == 1 and words in err
    assert findings(json.loads(out))["postgres"]["detail"] == "not named"


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"{}\0\0\0\n", b"\0\n", b" \0"])
def test_given_a_tail_of_nuls_when_loaded_then_nothing_is(bare, tmp_path, tail):
    path = lines_of(tmp_path / "p", {"sku": "NUL-1", "name": "Cup",
                                     "price": {"amount": 1, "currency": "BRL"}})
    path.write_bytes(path.read_bytes() + tail)
    code, text = bare.ctl("product", "load", path)
    assert code == 4 and "line 2" in text
    path.write_bytes(path.read_bytes().splitlines()[0] + b"\0\0")
    assert bare.ctl("product", "load", path)[0] == 4, "behind a line that is right"
    assert not bare.database.rows("select from comanda.events where data->>'sku' = 'NUL-1'")


def test_given_a_relay_that_ended_in_order_when_the_doctor_looks_then_it_looks_at_the_rest(bare):
    bare.database.rows("select comanda.lease_release('relay', fence) from"
                       " comanda.lease_acquire('relay', 'a test')")
    found = findings(bare.ctl_json("doctor")[1])
    assert found["relay"]["status"] == "fault" and "in order" in found["relay"]["detail"]
    assert {"backlog", "horizon", "cache debt"} <= set(found)
