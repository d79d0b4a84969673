# SPDX-License-Identifier: Apache-2.0
"""A consumer whose broker takes its queue away, or takes no messages: told, waited for, nothing lost."""
import signal

import pytest

from daemon import Broker, Daemon, uuid7, until
from test_relay import OwnBroker
from worker_fixtures import AUTHORIZE, broker, database, replies, reply_of, send, start  # noqa: F401


def test_a_queue_that_is_deleted_under_its_consumer_is_told_and_taken_up_again(database, broker,
                                                                               start):
    daemon = start("payment").wait_ready()
    assert reply_of(database, send(broker, "payments.authorize_payment", AUTHORIZE, uuid7()))
    broker.channel.queue_delete("comanda.payment")  # the broker cancels the consumer
    until(lambda: "comanda.payment" in daemon.checks()["rabbitmq"]["detail"], "it says which queue")
    assert not daemon.is_ready() and daemon.get("/healthz")[0] == 200
    broker.roles.discard("comanda.payment")
    broker.need("payments")  # as the relay does within seconds
    daemon.wait_ready()
    message_id = send(broker, "payments.authorize_payment", AUTHORIZE, uuid7())
    assert reply_of(database, message_id) == ("ok", None)
    assert daemon.process.poll() is None


@pytest.fixture
def own_broker(monkeypatch):
    made = OwnBroker()
    monkeypatch.setenv("COMANDA_TEST_AMQP", made.amqp)
    monkeypatch.setenv("COMANDA_TEST_AMQP_HTTP", made.http)
    yield made
    made.remove()


def test_a_failed_message_waits_while_the_broker_takes_none(database, own_broker, tmp_path):
    broker = Broker()  # noqa: F811
    broker.need("payments")
    silent = send(broker, "payments.authorize_payment", dict(AUTHORIZE, payment_token="tok_silent"),
                  uuid7())
    good = send(broker, "payments.authorize_payment", AUTHORIZE, uuid7())
    settings = {"COMANDA_POSTGRES": database.conninfo, "COMANDA_AMQP": broker.url,
                "COMANDA_EFFECT_TIMEOUT": "500ms"}
    own_broker.control("set_vm_memory_high_watermark", "0")
    try:
        daemon = Daemon("payment", tmp_path, **settings)
        assert reply_of(database, good) == ("ok", None)  # it consumes all the same
        until(lambda: [line for line in daemon.log()
                       if line["message"] == "the failure ladder does not take messages now"],
              "it says so", 30)
        assert daemon.get("/healthz")[0] == 200
        assert daemon.checks()["rabbitmq"]["status"] == "failed"
        assert daemon.stop(timeout=40) == 0, "it can be ended meanwhile"
        assert not replies(database, silent)
    finally:
        own_broker.control("set_vm_memory_high_watermark", "0.4")
    daemon = Daemon("payment", tmp_path, **settings)
    try:
        headers, body = until(lambda: broker.get("comanda.payment.dead"), "the dead letter", 30)
        assert silent.encode() in body and headers["comanda-attempts"] == 4
        assert broker.ready("comanda.payment.dead") == 0
    finally:
        daemon.stop(signal.SIGKILL)
        broker.connection.close()
