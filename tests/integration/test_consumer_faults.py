# SPDX-License-Identifier: Apache-2.0
"""A consumer whose broker takes its queue away: told, and taken up again."""
from daemon import until, uuid7
from worker_fixtures import AUTHORIZE, broker, database, reply_of, send, start  # noqa: F401


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
