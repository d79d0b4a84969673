# SPDX-License-Identifier: Apache-2.0
"""Settings, probes and log of the daemons."""
import json
import os
import signal
import subprocess

import pytest

from daemon import BUILD, ROOT, command_event, until, uuid7
from worker_fixtures import (AUTHORIZE, broker, database, hold_payment,  # noqa: F401
                             reply_of, send, start, waits_for_lock)


def run(name, *arguments, **environment):
    return subprocess.run([BUILD / "bin" / f"comanda-{name}", *arguments], text=True, timeout=60,
                          capture_output=True, env=dict(os.environ, **environment))


@pytest.mark.parametrize("name", ["payment", "inventory", "shipping"])
def test_help_and_settings_describe_each_setting(name):
    table = json.loads(run(name, "--settings").stdout)
    assert table["program"] == f"comanda-{name}"
    text = run(name, "--help").stdout
    for setting in table["settings"]:
        assert setting["name"] in text and setting["help"]
    assert {"COMANDA_POSTGRES", "COMANDA_AMQP", "COMANDA_PROBE"} <= {
        setting["name"] for setting in table["settings"]}


@pytest.mark.parametrize("path", sorted((ROOT / "conf/settings").glob("*.env")),
                         ids=lambda path: path.stem)
def test_the_shipped_settings_file_is_what_the_program_says(path, tmp_path):
    assert run(path.stem, "--example").stdout == path.read_text(), (
        f"make it anew: comanda-{path.stem} --example > {path}")
    filled = tmp_path / path.name
    text = path.read_text()
    for name, value in {"POSTGRES": "dbname=x", "AMQP": "amqp://a:b@c/d",
                        "REDIS": "127.0.0.1:6379", "SAGAS": ROOT / "conf/sagas"}.items():
        text = text.replace(f"\nCOMANDA_{name}=\n", f"\nCOMANDA_{name}={value}\n")
    filled.write_text(text)
    ended = run(path.stem, "--file", str(filled), "--check")
    assert ended.returncode == 0, ended.stderr


def test_each_daemon_has_its_settings_file():
    daemons = {path.name for path in (ROOT / "workers").iterdir()} - {"runtime", "comandactl"}
    assert {path.stem for path in (ROOT / "conf/settings").glob("*.env")} == daemons


def test_a_wrong_redis_is_named_and_its_password_is_not():
    base = {"COMANDA_POSTGRES": "dbname=x", "COMANDA_AMQP": "amqp://a:b@c/d"}
    for wrong in ("cache", "redis://geheim@cache:6379", "redis://a:geheim@cache:0",
                  "redis://a:geheim@cache/2"):
        ended = run("projector", "--check", **base, COMANDA_REDIS=wrong)
        assert ended.returncode == 2
        assert "COMANDA_REDIS" in ended.stderr and "redis://user:password@" in ended.stderr
        assert "geheim" not in ended.stderr
    assert run("projector", "--check", **base, COMANDA_REDIS="redis://a:b@c").returncode == 0


@pytest.mark.parametrize("settings, words", [
    ({}, ["COMANDA_POSTGRES is not set"]),
    ({"COMANDA_POSTGRES": "nonsense"}, ["COMANDA_POSTGRES", "host="]),
    ({"COMANDA_AMQP": "http://x"}, ["COMANDA_AMQP", "amqp://"]),
    ({"COMANDA_BATCH": "0"}, ["COMANDA_BATCH=0", "from 1 to 1024"]),
    ({"COMANDA_LOG_LEVEL": "loud"}, ["COMANDA_LOG_LEVEL=loud", "debug|info|warning|error"]),
    ({"COMANDA_PROBE": "here"}, ["COMANDA_PROBE=here", "host:port"]),
    ({"COMANDA_EFFECT_TIMEOUT": "2 days"}, ["COMANDA_EFFECT_TIMEOUT=2 days", "500ms"]),
])
def test_a_bad_setting_fails_at_start_and_is_named(settings, words):
    base = {} if not settings else {"COMANDA_POSTGRES": "dbname=x", "COMANDA_AMQP": "amqp://a:b@c/d"}
    for arguments in ((), ("--check",)):
        ended = run("payment", *arguments, **{**base, **settings})
        assert ended.returncode == 2
        for word in words:
            assert word in ended.stderr
        assert ended.stderr.count("\n") == 1


def test_settings_come_from_a_file_and_secrets_from_files(tmp_path):
    secret = tmp_path / "postgres"
    secret.write_text("dbname=x password=hunter2\n")
    settings = tmp_path / "payment.env"
    settings.write_text(f"# a comment\nCOMANDA_AMQP='amqp://a:b@c/d'\nCOMANDA_BATCH=7\n"
                        f"COMANDA_POSTGRES_FILE={secret}\n")
    assert run("payment", "--file", str(settings), "--check").returncode == 0
    ended = run("payment", "--file", str(settings), "--check", COMANDA_BATCH="x")
    assert ended.returncode == 2 and "the environment" in ended.stderr  # it wins over the file
    settings.write_text(settings.read_text() + "COMANDA_BATHC=7\n")
    ended = run("payment", "--file", str(settings), "--check")
    assert ended.returncode == 2 and "line 5" in ended.stderr and "COMANDA_BATHC" in ended.stderr
    assert "hunter2" not in ended.stderr


def test_metrics_pass_promtools_lint(database, broker, start):
    daemon = start("payment").wait_ready()
    send_id = send(broker, "payments.authorize_payment", AUTHORIZE, uuid7())
    reply_of(database, send_id)
    page = until(lambda: "outcome=\"ok\"" in (text := daemon.get("/metrics")[1]) and text,
                 "the handled message counted")
    lint = subprocess.run(["promtool", "check", "metrics"], input=page, text=True,
                          capture_output=True, timeout=60)
    assert lint.returncode == 0, lint.stdout + lint.stderr
    assert "comanda_message_batch_seconds_bucket" in page


def test_probes_answer_while_the_loop_waits_and_refuse_what_they_do_not_know(
        database, broker, start):
    held = hold_payment(database, payment := uuid7())
    daemon = start("payment", COMANDA_EFFECT_TIMEOUT="60s").wait_ready()
    assert daemon.get("/nowhere")[0] == 404
    daemon.get("/healthz")
    send(broker, "payments.authorize_payment", AUTHORIZE, payment)
    until(lambda: waits_for_lock(database), "a loop that waits for the provider")
    assert daemon.get("/healthz")[0] == 200
    assert waits_for_lock(database), "the answer came only after the loop"
    held.close()


def test_sighup_reads_the_log_level_again(database, broker, tmp_path, start):
    settings = tmp_path / "payment.env"
    settings.write_text("COMANDA_LOG_LEVEL=error\n")
    daemon = start("payment", COMANDA_SETTINGS=str(settings)).wait_ready()
    assert not [line for line in daemon.log() if line["level"] == "info"]
    settings.write_text("COMANDA_LOG_LEVEL=info\n")
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: any(line["message"] == "settings read again" for line in daemon.log()),
          "the settings read again")
    settings.write_text("COMANDA_LOG_LEVEL=loud\n")
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: any("not read again" in line["message"] for line in daemon.log()),
          "the bad settings refused")
    assert daemon.process.poll() is None


def test_foreign_bytes_cannot_forge_a_line_of_the_log(database, broker, start):
    daemon = start("payment").wait_ready()
    message_id, event = command_event("payments.authorize_payment",
                                      dict(AUTHORIZE, payment_token="tok_silent"), uuid7(),
                                      correlation_id='x"}\n{"level":"error","message":"forged"}')
    broker.publish("payments.authorize_payment", event, message_id)
    until(lambda: any(line.get("message_id") == message_id for line in daemon.log()),
          "the failure logged")
    assert not any(line["message"] == "forged" for line in daemon.log())
