# SPDX-License-Identifier: Apache-2.0
"""Least privilege at the broker: what each user may not do is refused, and a daemon says so."""
import json
import os
import subprocess
import time
import urllib.error

import pika
import pytest

from daemon import BUILD, PROGRAMS, Broker, Daemon, Database, until, uuid7
from fulfilment import SAGAS
from worker_fixtures import AUTHORIZE, broker, database, reply_of, send, start  # noqa: F401

CONSUMERS = {"saga": ("comanda.saga", "comanda.ordering"), "payment": ("comanda.payment",),
             "inventory": ("comanda.inventory",), "shipping": ("comanda.shipping",),
             "projector": ("comanda.projector",)}
WORK = tuple(queue for queues in CONSUMERS.values() for queue in queues)


@pytest.fixture(scope="module")
def house():
    """A virtual host whose whole topology the relay's user has declared."""
    made = Broker()
    made.call("DELETE", f"/api/vhosts/{made.vhost}")
    made.call("PUT", f"/api/vhosts/{made.vhost}")
    admin = made.url.partition("://")[2].partition(":")[0]
    made.call("PUT", f"/api/permissions/{made.vhost}/{admin}",
              {"configure": ".*", "write": ".*", "read": ".*"})
    done = ctl("topology", "declare", "--sagas", SAGAS, "--amqp", made.url_of("relay"))
    assert done.returncode == 0, done.stderr
    yield made
    made.call("DELETE", f"/api/vhosts/{made.vhost}")


def ctl(*arguments, **environment):
    return subprocess.run([BUILD / "bin/comandactl", *map(str, arguments)], capture_output=True,
                          text=True, timeout=60, env={**os.environ, **environment})


def refused(broker, program, act):
    """Does the broker refuse it with 403? Publishing is settled by confirms."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.url_of(program)))
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        try:
            act(channel)
        except pika.exceptions.ChannelClosedByBroker as closed:
            assert closed.reply_code == 403, closed
            return True
        return False
    finally:
        connection.close()


def get(queue):
    return lambda channel: channel.basic_get(queue)


def publish(exchange, key):
    return lambda channel: channel.basic_publish(exchange, key, b"{}")


@pytest.mark.parametrize("program", CONSUMERS)
def test_a_daemon_reads_its_own_queues_and_no_other(house, program):
    for queue in WORK:
        assert refused(house, program, get(queue)) == (queue not in CONSUMERS[program]), queue
        assert refused(house, program, get(f"{queue}.dead"))
        assert refused(house, program, get(f"{queue}.retry.1"))


@pytest.mark.parametrize("program", [*CONSUMERS, "operator", "keda"])
def test_nobody_but_the_relay_changes_the_topology(house, program):
    own = CONSUMERS.get(program, ("comanda.payment",))[0]
    for act in (lambda channel: channel.queue_declare("mine"),
                lambda channel: channel.queue_declare(""),
                lambda channel: channel.queue_declare("comanda.mine"),
                lambda channel: channel.exchange_declare("comanda.mine", "topic"),
                lambda channel: channel.queue_delete(own),
                lambda channel: channel.exchange_delete("comanda.events"),
                lambda channel: channel.queue_bind(own, "comanda.events", "#")):
        assert refused(house, program, act)
    assert not refused(house, program, lambda channel: channel.queue_declare(own, passive=True))


@pytest.mark.parametrize("program", CONSUMERS)
def test_a_daemon_publishes_to_its_own_ladder_alone(house, program):
    for exchange in ("comanda.events", "comanda.commands", "comanda.replies", "comanda.unrouted"):
        assert refused(house, program, publish(exchange, "payments.refund_payment")), exchange
    for queue in WORK:
        own = queue in CONSUMERS[program]
        assert refused(house, program, publish("", queue)), "past every exchange"
        assert refused(house, program, publish("comanda.retry", f"{queue}.3")) != own
        assert refused(house, program, publish("comanda.dead", queue)) != own
    connection = pika.BlockingConnection(pika.URLParameters(house.url))
    for queue in CONSUMERS[program]:
        connection.channel().queue_purge(f"{queue}.dead")
        connection.channel().queue_purge(f"{queue}.retry.3")
    connection.close()


def test_the_relay_reads_neither_work_nor_dead_letters(house):
    for queue in WORK:
        assert refused(house, "relay", get(queue))
        assert refused(house, "relay", get(f"{queue}.dead"))
    assert refused(house, "relay", publish("comanda.dead", "comanda.payment"))
    assert refused(house, "relay", lambda channel: channel.queue_declare("comanda.mine"))
    assert not refused(house, "relay", publish("comanda.events", "order.OrderSung"))


def test_the_operator_reads_dead_letters_alone_and_publishes_as_the_relay_does(house):
    for queue in WORK:
        assert refused(house, "operator", get(queue))
        assert not refused(house, "operator", get(f"{queue}.dead"))
    for exchange, key in (("comanda.events", "order.X"), ("comanda.replies", "saga.ok"),
                          ("comanda.commands", "payments.refund_payment")):
        assert not refused(house, "operator", publish(exchange, key))
    for exchange in ("comanda.retry", "comanda.dead", "comanda.unrouted"):
        assert refused(house, "operator", publish(exchange, "comanda.payment"))


def test_the_autoscaler_sees_the_queues_lengths_and_nothing_else(house):
    http = house.http
    user, _, rest = house.url_of("keda").partition("://")[2].partition("@")
    house.http = f"http://{user}@{http.rpartition('@')[2]}"
    try:
        # What KEDA asks; the numbers come with the next of the broker's statistics.
        until(lambda: "messages" in house.call(
            "GET", f"/api/queues/{house.vhost}/comanda.payment"), "the queue's length")
        for path in ("/api/users", "/api/definitions", "/api/permissions"):
            with pytest.raises(urllib.error.HTTPError) as answer:
                house.call("GET", path)
            assert answer.value.code in (401, 403)
        with pytest.raises(urllib.error.HTTPError):
            house.call("DELETE", f"/api/queues/{house.vhost}/comanda.payment")
    finally:
        house.http = http
    assert refused(house, "keda", get("comanda.payment"))


def test_no_user_enters_another_virtual_host(house, broker):  # noqa: F811
    url = house.url_of("payment").replace(f"/{house.vhost}", f"/{broker.vhost}")
    with pytest.raises((pika.exceptions.ProbableAccessDeniedError,
                        pika.exceptions.ConnectionClosedByBroker)):
        pika.BlockingConnection(pika.URLParameters(url))


def test_topology_list_and_declare_tell_what_is_there(house):
    done = ctl("topology", "list", "--sagas", SAGAS, "--amqp", house.url_of("operator"), "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["queue"]: row for row in json.loads(done.stdout)}
    assert len(rows) == 39 and rows["comanda.payment"]["state"] == "there"
    done = ctl("topology", "declare", "--sagas", SAGAS, "--amqp", house.url_of("operator"))
    assert done.returncode == 4
    assert "403" in done.stderr and "comanda_relay" in done.stderr


def test_the_doctor_tells_which_right_is_lacking(house):
    def rights(program):
        done = ctl("doctor", "--json", "--sagas", SAGAS, "--amqp", house.url_of(program),
                   COMANDA_POSTGRES="host=127.0.0.1 port=1")
        return {row["check"]: row for row in json.loads(done.stdout)}["rights"]
    assert rights("operator")["status"] == "ok"
    for program, words in (("payment", "amq.default"), ("relay", ".dead")):
        lacking = rights(program)
        assert lacking["status"] == "fault" and "comanda_operator" in lacking["advice"]
        assert "403" in lacking["detail"] and words in lacking["detail"], lacking


def test_access_show_has_every_user_and_no_secret():
    rows = json.loads(ctl("access", "show", "--json").stdout)
    users = {row["user"] for row in rows if row["server"] == "rabbitmq"}
    assert users == {f"comanda_{program}" for program in PROGRAMS}
    assert {row["user"] for row in rows if row["server"] == "redis"} == {
        "comanda_edge", "comanda_projector", "comanda_operator"}


def test_access_wants_a_password_for_each_user(tmp_path):
    done = ctl("access", "rabbitmq", "--passwords", tmp_path)
    assert done.returncode == 5 and "rabbitmq_relay" in done.stderr and "--make" in done.stderr
    assert ctl("access", "redis").returncode == 2
    first = ctl("access", "redis", "--passwords", tmp_path, "--make")
    assert first.returncode == 0
    password = tmp_path / "redis_edge"
    assert password.stat().st_mode & 0o777 == 0o600
    assert password.read_text().strip() not in first.stdout
    assert ctl("access", "redis", "--passwords", tmp_path, "--make").stdout == first.stdout
    password.write_text("a new one")
    assert ctl("access", "redis", "--passwords", tmp_path).stdout != first.stdout
    password.write_text("")
    assert ctl("access", "redis", "--passwords", tmp_path).returncode == 2


# --- a daemon that is refused says so

def permit(broker, program, configure="^$", write="^comanda\\.(retry|dead)$", read="^$"):  # noqa: F811
    broker.url_of(program)
    broker.call("PUT", f"/api/permissions/{broker.vhost}/comanda_{program}",
                {"configure": configure, "write": write, "read": read})


def lines_about(daemon, word):
    return [line for line in daemon.log() if word in json.dumps(line)]


def refusals_allowed(first, since):
    """Lines about a refusal: `first` of them at the start, then its links try again every 5 s."""
    return first + 3 * (time.monotonic() - since) / 5


def test_a_queue_that_is_refused_is_told_with_what_to_do_and_mends(
        database, broker, start):  # noqa: F811
    broker.need("payments")
    permit(broker, "payment")
    began = time.monotonic()
    daemon = start("payment")
    detail = until(lambda: "403" in (text := daemon.checks().get("rabbitmq", {}).get("detail", ""))
                   and text, "the refusal")
    assert "comanda.payment" in detail and "comanda_payment" in detail
    assert "comandactl access rabbitmq" in detail
    assert not daemon.is_ready()
    time.sleep(2)
    lines = lines_about(daemon, "403")
    assert 1 <= len(lines) <= refusals_allowed(3, began), "told once, not at every try"
    permit(broker, "payment", read="^comanda\\.payment$")
    daemon.wait_ready()
    assert reply_of(database, send(broker, "payments.authorize_payment", AUTHORIZE, uuid7()))


def test_a_ladder_that_is_refused_shows_at_the_start_and_not_with_the_first_failure(
        database, broker, start):  # noqa: F811
    broker.need("payments")
    permit(broker, "payment", write="^comanda\\.retry$", read="^comanda\\.payment$")
    daemon = start("payment")
    detail = until(lambda: "403" in (text := daemon.checks().get("comanda.payment", {})
                                     .get("detail", "")) and text, "the refusal")
    assert "comanda.dead" in detail and "comandactl access rabbitmq" in detail
    assert not daemon.is_ready()
    permit(broker, "payment", read="^comanda\\.payment$")
    daemon.wait_ready()


def test_a_wrong_password_is_told_without_it(database, broker, start):  # noqa: F811
    url = broker.url_of("payment").replace("comanda_payment:", "comanda_payment:geheim")
    daemon = start("payment", COMANDA_AMQP=url)
    detail = until(lambda: "403" in (text := daemon.checks().get("rabbitmq", {}).get("detail", ""))
                   and text, "the refusal")
    assert "COMANDA_AMQP" in detail
    assert "geheim" not in daemon.log_path.read_text()


@pytest.mark.parametrize("lacking", ["configure", "write", "read"])
def test_a_relay_that_is_refused_says_so(tmp_path, lacking):
    database, vhost = Database(), Broker()  # noqa: F811
    database.migrate()
    permit(vhost, "relay", **{"configure": ".*", "write": ".*", "read": ".*", lacking: "^$"})
    began = time.monotonic()
    relay = Daemon("relay", tmp_path, COMANDA_POSTGRES=database.conninfo, COMANDA_SAGAS=SAGAS,
                   COMANDA_AMQP=vhost.url_of("relay"))
    try:
        detail = until(lambda: "403" in (text := relay.checks().get("rabbitmq", {})
                                         .get("detail", "")) and text, "the refusal")
        assert "comanda_relay" in detail and "comandactl access rabbitmq" in detail
        assert not relay.is_ready()
        time.sleep(3)
        lines = lines_about(relay, "403")
        assert 1 <= len(lines) <= refusals_allowed(6, began), "told, but not at every try"
    finally:
        relay.stop()
        vhost.drop()
        database.drop()
