# SPDX-License-Identifier: Apache-2.0
"""The relay on real servers: what it publishes, who leads, and what happens when things break."""
import datetime
import os
import signal
import subprocess
import time

import psycopg2
import pytest

from daemon import BUILD, ROOT, Blocker, Daemon, Database, until
from relay_fixtures import (FILL, RING, append, database, done, fill, leads, lease, pending, renewed,  # noqa: F401
                            sent_once, start, vhost)


@pytest.mark.sanitized
def test_rows_arrive_in_order_where_they_belong(database, vhost, start):
    fill(database, 1, 1500)
    fill(database, 1501, 1510, "saga", "event", "Started")
    fill(database, 1511, 1520, "saga", "command", "authorize",
         '{"route":"payments.authorize_payment","correlation_id":"c-7"}')
    fill(database, 1521, 1530, "reply", "reply", "ok", '{"route":"order_fulfilment"}')
    fill(database, 1531, 1540, "payment", "event", "PaymentAuthorized")
    relay = start(vhost)
    done(database)
    numbers, messages = vhost.numbers("comanda.projector", range(1, 1501))
    assert list(dict.fromkeys(numbers)) == list(range(1, 1501))
    method, properties, body = messages[0]
    assert (method.exchange, method.routing_key) == ("comanda.events", "order.OrderPlaced")
    assert properties.message_id == body["id"] and properties.delivery_mode == 2
    assert properties.content_type == "application/cloudevents+json"
    numbers, messages = vhost.numbers("comanda.payment", range(1511, 1521))
    assert messages[0][2]["correlationid"] == "c-7"
    assert messages[0][2]["route"] == messages[0][0].routing_key == "payments.authorize_payment"
    numbers, _ = vhost.numbers("comanda.saga", [*range(1, 1501), *range(1521, 1531)])
    assert len(set(numbers)) == 1510, "a saga's own events were published"
    counted = [relay.metric(f"comanda_{name}_total") for name in ("unrouted", "relay_published")]
    assert counted == [0, 1530] or not sent_once(database, relay) and counted[1] >= 1530
    assert vhost.depth("comanda.unroutable") == 0, "an event that nobody wants is the rule"
    until(lambda: relay.metric("comanda_relay_lag_events", absent=1) == 0, "no lag")
    relay.wait_ready()


def test_the_topology_is_what_the_architecture_says(database, vhost, start):
    start(vhost).wait_ready()
    roles = ["ordering", "payment", "inventory", "shipping", "saga", "projector"]
    work = [f"comanda.{role}" for role in roles]

    def queues():
        return {queue["name"]: queue for queue in vhost.call("GET", f"/api/queues/{vhost.vhost}")}

    lanes = [f"comanda.inventory.lane.{lane}" for lane in range(8)]
    until(lambda: len(queues()) == 39, "every queue")
    found = queues()
    assert all(found[lane]["arguments"]["x-single-active-consumer"] is True for lane in lanes)
    assert set(found) == {*work, *lanes, *(f"{queue}.dead" for queue in work), "comanda.unroutable",
                          *(f"{queue}.retry.{step}" for queue in work for step in (1, 2, 3))}
    assert {queue["type"] for queue in found.values()} == {"quorum"}
    retry = found["comanda.payment.retry.2"]["arguments"]
    assert retry["x-message-ttl"] == 20000
    assert retry["x-dead-letter-routing-key"] == "comanda.payment"

    def bindings():
        return {(binding["source"], binding["routing_key"], binding["destination"])
                for binding in vhost.call("GET", f"/api/bindings/{vhost.vhost}")}

    wanted = {("comanda.events", "order.OrderPlaced", "comanda.saga"),
              ("comanda.events", "order.OrderCancelRequested", "comanda.saga"),
              ("comanda.events", "order.#", "comanda.projector"),
              ("comanda.events", "product.#", "comanda.projector"),
              ("comanda.commands", "payments.#", "comanda.payment"),
              ("comanda.commands", "ordering.#", "comanda.ordering"),
              ("comanda.commands", "7.inventory.#", "comanda.inventory.lane.7"),
              ("comanda.replies", "#", "comanda.saga"),
              ("comanda.retry", "comanda.saga.3", "comanda.saga.retry.3"),
              ("comanda.dead", "comanda.saga", "comanda.saga.dead")}
    until(lambda: wanted <= bindings(), f"{wanted} among the bindings")


def test_an_append_wakes_a_relay_that_sleeps(database, vhost, start):
    """By looks alone each of ten rows in sequence would wait some five seconds."""
    start(vhost, COMANDA_RELAY_POLL="5s").wait_ready()
    began = time.monotonic()
    for _ in range(10):
        append(database)
        done(database)
    assert time.monotonic() - began < 25


def test_a_row_that_commits_late_is_not_stepped_over(database, vhost, start):
    start(vhost).wait_ready()
    slow = psycopg2.connect(database.conninfo)
    cursor = slow.cursor()
    cursor.execute(RING)
    cursor.execute(FILL, {"first": 1, "last": 1, "category": "order", "kind": "event",
                          "type": "OrderPlaced", "meta": "{}"})
    fill(database, 2, 20)
    time.sleep(0.5)
    slow.commit()
    slow.close()
    vhost.numbers("comanda.projector", range(1, 21))


@pytest.mark.sanitized
def test_a_deleted_queue_is_made_anew_and_gets_what_it_missed(database, vhost, start):
    relay = start(vhost).wait_ready()
    fill(database, 1, 50)
    vhost.numbers("comanda.projector", range(1, 51))
    until(lambda: pending(database) == 0, "all confirmed")
    time.sleep(5.5)  # a look at the topology has found it whole
    vhost.delete("queue", "comanda.projector")
    fill(database, 51, 100)
    until(lambda: pending(database) == 0, "all confirmed, though first by nobody")
    vhost.numbers("comanda.projector", range(51, 101))
    assert relay.metric("comanda_relay_rewinds_total") >= 1


@pytest.mark.sanitized
def test_a_returned_message_mends_the_topology(database, vhost, start):
    relay = start(vhost).wait_ready()
    fill(database, 1, 5, "product", kind_type="ProductListed")
    vhost.numbers("comanda.projector", range(1, 6))
    vhost.unbind("comanda.projector", "comanda.events", "product.#")
    fill(database, 6, 10, "product", kind_type="ProductListed")
    vhost.numbers("comanda.projector", range(6, 11))
    done(database)
    assert relay.metric("comanda_unrouted_total") >= 1
    assert vhost.depth("comanda.unroutable") == 0, "it is ours, and was published again"


PLACED = ("comanda.saga", "comanda.events", "order.OrderPlaced")


@pytest.mark.sanitized
def test_a_lost_binding_is_noticed_and_what_it_missed_is_sent_again(database, vhost, start):
    relay = start(vhost, COMANDA_AMQP_MANAGEMENT=vhost.management()).wait_ready()
    fill(database, 1, 20)
    vhost.numbers("comanda.saga", range(1, 21))
    vhost.unbind(*PLACED)
    fill(database, 21, 40)  # which the projector's queue takes, so that nothing comes back
    vhost.numbers("comanda.projector", range(21, 41))
    fill(database, 41, 60)
    vhost.numbers("comanda.saga", range(21, 61))
    done(database)
    assert relay.metric("comanda_topology_bindings_lost_total") == 1
    line = next(line for line in relay.log() if line["message"].startswith("bindings were missing"))
    assert line["first"] == "comanda.saga from comanda.events by order.OrderPlaced"


def test_a_lost_binding_is_made_anew_where_nobody_can_be_asked(database, vhost, start):
    relay = start(vhost, COMANDA_AMQP_MANAGEMENT="http://nobody:secret@127.0.0.1:1")
    relay.wait_ready()
    vhost.unbind(*PLACED)
    assert PLACED not in vhost.bindings()
    fill(database, 1, 5)
    until(lambda: PLACED in vhost.bindings(), "it is bound again")
    fill(database, 6, 10)
    vhost.numbers("comanda.saga", range(6, 11))
    until(lambda: "management API" in relay.checks()["rabbitmq"]["detail"], "it says so")
    assert relay.is_ready() and "secret" not in str(relay.log())


@pytest.mark.sanitized
def test_what_nobody_serves_is_put_aside_and_does_not_stop_the_log(database, vhost, start):
    relay = start(vhost).wait_ready()
    fill(database, 1, 40, "saga", "command", "charge", '{"route":"billing.charge_account"}')
    fill(database, 41, 60)
    vhost.numbers("comanda.projector", range(41, 61))
    done(database)
    _, messages = vhost.numbers("comanda.unroutable", range(1, 41))
    assert messages[0][1].headers["comanda-cause"] == \
        "unroutable: nobody takes billing.charge_account from comanda.commands"
    assert relay.metric("comanda_unrouted_total") >= 40
    line = next(line for line in relay.log() if "put aside" in line["message"])
    assert line["level"] == "error" and line["count"] >= 1


def test_permissions_of_before_keep_no_copies_and_stop_nothing(database, vhost, start):
    vhost.url_of("relay")
    path = f"/api/permissions/{vhost.vhost}/comanda_relay"
    rights = vhost.call("GET", path)
    vhost.call("PUT", path, {right: rights[right].replace("unroutable|", "")
                             for right in ("configure", "write", "read")})
    relay = start(vhost).wait_ready()
    fill(database, 1, 5, "saga", "command", "charge", '{"route":"billing.charge_account"}')
    fill(database, 6, 10)
    vhost.numbers("comanda.projector", range(6, 11))
    done(database)
    assert relay.metric("comanda_unrouted_total") >= 5
    assert "comanda.unroutable" in relay.checks()["rabbitmq"]["detail"]


def test_what_outsiders_bind_is_served_from_then_on(database, vhost, start):
    start(vhost).wait_ready()
    fill(database, 1, 5, "payment", "event", "PaymentAuthorized")
    done(database)
    connection = vhost.connect()
    channel = connection.channel()
    channel.queue_declare("theirs", durable=True)
    channel.queue_bind("theirs", "comanda.events", "payment.#")
    channel.queue_bind("theirs", "comanda.commands", "billing.#")
    connection.close()
    fill(database, 6, 10, "payment", "event", "PaymentAuthorized")
    fill(database, 11, 12, "saga", "command", "charge", '{"route":"billing.charge_account"}')
    numbers, _ = vhost.numbers("theirs", range(6, 13))
    assert not set(numbers) & set(range(1, 6))


@pytest.mark.sanitized
def test_the_queue_of_older_programs_goes_and_they_may_make_it_anew(database, vhost, start):
    relay = start(vhost).wait_ready()
    connection = vhost.connect()
    channel = connection.channel()
    # As a relay of before declares it, whenever it leads and finds it missing.
    channel.queue_declare("comanda.unrouted", durable=False, arguments={"x-max-length": 10000})
    channel.queue_bind("comanda.unrouted", "comanda.unrouted", "")
    connection.close()
    fill(database, 1, 5)
    vhost.numbers("comanda.projector", range(1, 6))
    until(lambda: not vhost.has("comanda.unrouted"), "the next look deletes it")
    assert relay.is_ready() and relay.metric("comanda_topology_differing", absent=0) == 0


@pytest.mark.sanitized
def test_lost_connections_lose_no_row(database, vhost, start):
    relay = start(vhost).wait_ready()
    for round_number in range(4):
        first = round_number * 3000 + 1
        fill(database, first, first + 2999)
        time.sleep(0.1)
        vhost.close_connections()
    done(database)
    vhost.numbers("comanda.projector", range(1, 12001), 60)
    until(relay.is_ready, "it is ready again")


def test_a_standby_takes_over_from_a_killed_leader(database, vhost, start):
    first = start(vhost)
    until(lambda: leads(first), "the first leads")
    second = start(vhost).wait_ready()
    assert not leads(second)
    fill(database, 1, 4000)
    time.sleep(0.1)
    first.stop(signal.SIGKILL)
    until(lambda: leads(second), "the standby leads")
    done(database)
    vhost.numbers("comanda.projector", range(1, 4001))


@pytest.mark.sanitized
def test_a_leader_that_ends_hands_over_at_once(database, vhost, start):
    patient = {"COMANDA_RELAY_STALE": "120s"}  # longer than we wait: it is given, not taken
    first = start(vhost, **patient)
    until(lambda: leads(first), "the first leads")
    second = start(vhost, **patient).wait_ready()
    fill(database, 1, 2000)
    began = time.monotonic()
    assert first.stop() == 0
    drained = time.monotonic() - began < 5  # what is not confirmed by then is sent again
    until(lambda: leads(second), "the standby leads")
    done(database)
    numbers, _ = vhost.numbers("comanda.projector", range(1, 2001))
    assert len(numbers) == 2000 or not drained or not sent_once(database, second, fence=2), \
        "a drained leader leaves nothing to be sent twice"


PROMISED = datetime.timedelta(seconds=15)


def take_over(database, leader, standby):
    """Stops the leader until the standby leads; gives how long after its last renewal that was."""
    last = renewed(database)[0]
    leader.process.send_signal(signal.SIGSTOP)
    until(lambda: leads(standby), "the standby leads")
    took = renewed(database)[0] - last
    leader.process.send_signal(signal.SIGCONT)
    until(lambda: not leads(leader), "the old leader knows")
    return took


def test_a_stopped_leader_is_replaced_and_does_no_harm_when_it_wakes(database, vhost, start):
    first = start(vhost)
    until(lambda: leads(first), "the first leads")
    second = start(vhost).wait_ready()
    fence = lease(database)[1]
    last = renewed(database)[0]
    first.process.send_signal(signal.SIGSTOP)
    fill(database, 1, 500)
    until(lambda: leads(second), "the standby leads")
    took = renewed(database)[0] - last
    assert took > datetime.timedelta(seconds=10), "the lease was still fresh"
    assert lease(database)[1] > fence
    vhost.numbers("comanda.projector", range(1, 501))
    done(database)
    first.process.send_signal(signal.SIGCONT)
    until(lambda: not leads(first), "the old leader knows")
    fill(database, 501, 600)
    vhost.numbers("comanda.projector", range(501, 601))
    done(database)
    until(lambda: leads(second) != leads(first), "one leads")
    first.wait_ready()
    # Promised from the last sign of life on; a machine that stalls meanwhile is given more tries.
    for leader, standby in ((second, first), (first, second)):
        if took > PROMISED and leads(leader):
            took = take_over(database, leader, standby)
    assert took <= PROMISED


@pytest.mark.sanitized
def test_postgres_sessions_that_are_ended_only_delay(database, vhost, start):
    relay = start(vhost).wait_ready()
    for round_number in range(3):
        fill(database, round_number * 500 + 1, round_number * 500 + 500)
        database.rows("select pg_terminate_backend(pid) from pg_stat_activity"
                      " where datname = current_database() and pid <> pg_backend_pid()"
                      " and backend_type = 'client backend'")
    vhost.numbers("comanda.projector", range(1, 1501))
    done(database)
    until(lambda: leads(relay) and relay.is_ready(), "it leads again")


@pytest.mark.sanitized
def test_a_queue_with_other_arguments_is_reported_and_does_not_stop_it(database, vhost, start):
    connection = vhost.connect()
    connection.channel().queue_declare("comanda.payment.retry.1", durable=True,
                                       arguments={"x-queue-type": "quorum", "x-message-ttl": 77})
    connection.close()
    relay = start(vhost).wait_ready()
    fill(database, 1, 10)
    vhost.numbers("comanda.projector", range(1, 11))
    assert "comanda.payment.retry.1" in relay.checks()["rabbitmq"]["detail"]


def test_a_full_work_queue_is_waited_for(database, vhost, start):
    vhost.bound("comanda.payment", 5)
    relay = start(vhost).wait_ready()
    route = '{"route":"payments.authorize_payment"}'
    fill(database, 1, 10, "saga", "command", "authorize", route)
    done(database)  # a quorum queue refuses what comes after it has been filled
    fill(database, 11, 60, "saga", "command", "authorize", route)
    fill(database, 61, 80)
    until(lambda: relay.metric("comanda_relay_refused", absent=0) == 1, "it is refused")
    until(lambda: "full" in relay.checks()["rabbitmq"]["detail"], "it says why")
    assert relay.is_ready() and pending(database) > 0
    assert any(line["level"] == "error" and "refuses" in line["message"] for line in relay.log())
    vhost.numbers("comanda.payment", range(1, 61))
    vhost.numbers("comanda.projector", range(61, 81))
    done(database)
    until(lambda: relay.metric("comanda_relay_refused") == 0, "it is refused no more")


def test_the_users_definitions_bound_work_and_dead_letters(database, vhost, start):
    start(vhost).wait_ready()

    def limits():
        return {queue["name"]: queue.get("effective_policy_definition", {}) for queue in
                vhost.call("GET", f"/api/queues/{vhost.vhost}")}
    wanted = {"max-length": 1000000, "overflow": "reject-publish"}
    until(lambda: [limits().get(f"comanda.{name}") for name in
                   ("payment", "saga", "projector", "payment.dead")] == [wanted] * 4, "the policy")
    assert not limits()["comanda.payment.retry.1"] and not limits()["comanda.unroutable"]


def test_slow_upkeep_holds_up_no_row(database, vhost, start):
    database.rows("alter function comanda.upkeep_step rename to upkeep_step_kept")
    database.rows("create function comanda.upkeep_step() returns text language sql as"
                  " $$select pg_sleep(25); select ''$$")  # we end with the relay, long before
    asleep = "from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
    try:
        relay = start(vhost).wait_ready()
        until(lambda: database.rows("select 1 " + asleep), "upkeep runs")
        fill(database, 1, 10)
        vhost.numbers("comanda.projector", range(1, 11), 20)
        assert leads(relay)
        assert database.rows("select pg_cancel_backend(pid) " + asleep), "and still does"
    finally:
        database.rows("drop function comanda.upkeep_step()")
        database.rows("alter function comanda.upkeep_step_kept rename to upkeep_step")


def test_a_schema_that_is_not_ours_is_not_read(vhost, tmp_path):
    bare = Database(migrated=False)
    relay = Daemon("relay", tmp_path, COMANDA_POSTGRES=bare.conninfo, COMANDA_AMQP=vhost.url,
                   COMANDA_SAGAS=ROOT / "conf" / "sagas")
    try:
        until(lambda: "run comandactl migrate" in relay.checks()["postgres"]["detail"], "it has looked")
        status, text = relay.get("/readyz")
        assert status == 503 and "comandactl migrate" in text
        bare.migrate()
        relay.wait_ready()
        assert relay.stop() == 0
    finally:
        relay.end()
        bare.drop()


@pytest.mark.parametrize("name, value, words", [
    ("COMANDA_AMQP", "http://x/", "COMANDA_AMQP"),
    ("COMANDA_RELAY_BATCH", "0", "COMANDA_RELAY_BATCH"),
    ("COMANDA_RELAY_WINDOW", "5000", "COMANDA_RELAY_WINDOW"),
    ("COMANDA_RETRY_1", "soon", "COMANDA_RETRY_1"),
    ("COMANDA_SAGAS", "/nowhere", "COMANDA_SAGAS"),
    ("COMANDA_AMQP_MANAGEMENT", "amqp://x/", "COMANDA_AMQP_MANAGEMENT"),
])
def test_a_wrong_setting_ends_it_with_the_setting_named(name, value, words):
    environment = dict(os.environ, COMANDA_POSTGRES="host=127.0.0.1", COMANDA_AMQP="amqp://x/",
                       COMANDA_SAGAS=str(ROOT / "conf" / "sagas"))
    environment[name] = value
    ended = subprocess.run([BUILD / "bin" / "comanda-relay"], env=environment, timeout=60,
                           capture_output=True, check=False, text=True)
    assert ended.returncode != 0
    assert words in ended.stderr


def test_the_daemons_say_that_postgresql_is_away_and_come_back(database, vhost, start):
    blocker = Blocker(database)
    cache = os.environ["COMANDA_TEST_REDIS"]
    daemons = [start(vhost, name, COMANDA_REDIS=cache).wait_ready()
               for name in ("relay", "saga", "projector")]
    blocker.close_the_door()
    for daemon in daemons:
        until(lambda each=daemon: not each.is_ready(), f"{daemon.name} is not ready")
        assert daemon.checks()["postgres"]["status"] == "failed"
        assert daemon.get("/healthz")[0] == 200
    blocker.open_the_door()
    for daemon in daemons:
        daemon.wait_ready()
        assert any(line.get("dependency") == "postgres" and line["level"] == "warning"
                   for line in daemon.log()), daemon.name
