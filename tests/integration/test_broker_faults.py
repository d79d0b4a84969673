# SPDX-License-Identifier: Apache-2.0
"""A RabbitMQ that is killed, frozen or out of memory, beneath the relay and a consumer."""
import contextlib
import datetime
import signal
import time

import psycopg2

from daemon import Broker, Daemon, until, uuid7
from relay_fixtures import (database, done, fill, leads, lease, own_broker, own_vhost,  # noqa: F401
                            pending, renewed, start)
from worker_fixtures import AUTHORIZE, replies, reply_of, send


def test_a_broker_that_is_killed_and_comes_back_gets_every_row(database, own_broker, own_vhost, start):
    relay = start(own_vhost).wait_ready()
    others = [start(own_vhost, name).wait_ready() for name in ("saga", "payment")]
    fill(database, 1, 1500)
    time.sleep(0.3)
    own_broker.signal(signal.SIGKILL)
    fill(database, 1501, 3000)
    for daemon in (relay, *others):
        until(lambda each=daemon: not each.is_ready(), f"{daemon.name} says that the broker is away")
        assert daemon.get("/healthz")[0] == 200
    own_broker.start()
    done(database)
    own_vhost.numbers("comanda.projector", range(1, 3001), 60)
    for daemon in (relay, *others):
        daemon.wait_ready()
        assert any(line.get("dependency") == "rabbitmq" for line in daemon.log()), daemon.name


def test_a_memory_alarm_stops_publishing_and_nothing_else(database, own_broker, own_vhost, start):
    relay = start(own_vhost).wait_ready()
    until(lambda: leads(relay), "it leads")
    holder = lease(database)[0]
    own_broker.control("set_vm_memory_high_watermark", "0")
    try:
        fill(database, 1, 5000)
        until(lambda: relay.metric("comanda_relay_blocked", absent=0) == 1, "it knows that it is blocked")
        blocked = renewed(database)[1]
        with contextlib.closing(psycopg2.connect(database.conninfo)) as open_one:
            open_one.cursor().execute("select pg_current_xact_id()")
            # No longer than needed: it holds up the log of every database of this server.
            until(lambda: 1 < relay.metric("comanda_log_horizon_age_seconds") < 60, "its age")
        until(lambda: renewed(database)[0] - blocked > datetime.timedelta(seconds=11),
              "renewals for longer than a lease may go without")
        until(lambda: leads(relay), "it leads")
        assert lease(database)[0] == holder
        assert relay.get("/healthz")[0] == 200
        assert pending(database) > 0
    finally:
        own_broker.control("set_vm_memory_high_watermark", "0.4")
    done(database)
    until(lambda: relay.metric("comanda_relay_blocked") == 0, "it knows that it is no more")
    own_vhost.numbers("comanda.projector", range(1, 5001), 90)


def test_a_frozen_broker_is_waited_for(database, own_broker, own_vhost, start):
    relay = start(own_vhost).wait_ready()
    own_broker.signal(signal.SIGSTOP)
    try:
        fill(database, 1, 5000)
        time.sleep(12)
        assert relay.get("/healthz")[0] == 200
    finally:
        own_broker.signal(signal.SIGCONT)
    done(database)
    own_vhost.numbers("comanda.projector", range(1, 5001), 90)


def test_a_failed_message_waits_while_the_broker_takes_none(database, own_broker, tmp_path):
    broker = Broker(amqp=own_broker.amqp, http=own_broker.http)
    broker.need("payments")
    silent = send(broker, "payments.authorize_payment", dict(AUTHORIZE, payment_token="tok_silent"),
                  uuid7())
    good = send(broker, "payments.authorize_payment", AUTHORIZE, uuid7())
    settings = {"COMANDA_POSTGRES": database.conninfo, "COMANDA_AMQP": broker.url,
                "COMANDA_EFFECT_TIMEOUT": "20s"}
    own_broker.control("set_vm_memory_high_watermark", "0")
    try:
        daemon = Daemon("payment", tmp_path, **settings)
        assert reply_of(database, good) == ("ok", None)  # it consumes all the same
        until(lambda: [line for line in daemon.log()
                       if line["message"] == "the failure ladder does not take messages now"],
              "it says so")
        assert daemon.get("/healthz")[0] == 200
        assert daemon.checks()["rabbitmq"]["status"] == "failed"
        assert daemon.stop() == 0, "it can be ended meanwhile"
        assert not replies(database, silent)
    finally:
        own_broker.control("set_vm_memory_high_watermark", "0.4")
    daemon = Daemon("payment", tmp_path, **settings)
    try:
        headers, body = until(lambda: broker.get("comanda.payment.dead"), "the dead letter")
        assert silent.encode() in body and headers["comanda-attempts"] == 4
        assert broker.ready("comanda.payment.dead") == 0
    finally:
        daemon.stop(signal.SIGKILL)
        broker.connection.close()
