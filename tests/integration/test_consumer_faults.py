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


def test_dead_letters_that_are_full_leave_a_message_where_it_is(database, broker, start):
    broker.need("payments")
    broker.bound("comanda.payment.dead", 2)
    daemon = start("payment")
    poison = []

    def refused():
        """A quorum queue refuses what comes after it has been filled, so one comes after another."""
        if len(poison) < 500:
            poison.append(str(uuid7()))
            broker.publish("payments.authorize_payment", b"[]", poison[-1])
        return [line for line in daemon.log()
                if line["message"] == "the failure ladder does not take messages now"]
    until(refused, "it says so")
    until(lambda: daemon.checks()["rabbitmq"]["status"] == "failed", "and is not ready")
    taken = []

    def all_taken():
        method, properties, _ = broker.channel.basic_get("comanda.payment.dead", auto_ack=True)
        taken.extend([properties.message_id] if method else [])
        return set(taken) == set(poison)
    until(all_taken, "each of them, as soon as there is room")
    until(lambda: broker.ready("comanda.payment") == 0, "none is left")
    daemon.wait_ready()
    assert broker.get("comanda.payment.dead") is None and len(taken) == len(poison), "none is twice"
