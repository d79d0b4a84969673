# SPDX-License-Identifier: Apache-2.0
"""The whole shop runs with one user a program at every server, and none of them may do more."""
import pika
import psycopg2
import pytest
import redis
import requests

from shop import PATIENCE_S, an_order, read_env, until

DAEMONS = ("relay", "saga", "payment", "inventory", "shipping", "projector")


@pytest.fixture(scope="module")
def secrets(demo):
    """The password of a user at a server."""
    return lambda server, user: (demo.folder / "secrets" / f"{server}_{user}").read_text().strip()


@pytest.fixture(scope="module")
def cache(demo):
    """As its administrator."""
    return redis.Redis.from_url(demo.env["REDIS_URL"])


def test_each_process_comes_to_the_broker_as_a_user_of_its_own(demo):
    api = read_env(demo.folder / "servers.env")["COMANDA_TEST_AMQP_HTTP"]
    wanted = {f"comanda-{name}": f"comanda_{name}" for name in DAEMONS}

    def are_there():  # the broker counts its connections every few seconds
        users = {each["client_properties"]["connection_name"].split()[0]: each["user"]
                 for each in requests.get(f"{api}/api/connections", timeout=PATIENCE_S).json()
                 if "connection_name" in each.get("client_properties", {})}
        return wanted.items() <= users.items()
    until(are_there, wanted)


def test_the_edge_and_the_projector_come_to_redis_as_users_of_their_own(cache, ana):
    order = ana.wait(ana.placed()["id"])

    def users():
        """One whose connection was lost comes again when it is needed."""
        ana.order(order["id"])
        return {each["user"] for each in cache.client_list()}
    until(lambda: {"comanda_edge", "comanda_projector"} <= users(), "both are there")
    assert "default" not in users()


def test_nobody_comes_to_redis_without_a_password(demo, cache):
    port = cache.connection_pool.connection_kwargs["port"]
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port).ping()


def test_the_edges_user_cannot_empty_redis_nor_read_more_than_documents(cache, secrets):
    port = cache.connection_pool.connection_kwargs["port"]
    edge = redis.Redis(port=port, username="comanda_edge", password=secrets("redis", "edge"))
    cache.set("another:key", "x")
    for command in (("FLUSHALL",), ("CONFIG", "GET", "*"), ("GET", "another:key"), ("KEYS", "*")):
        with pytest.raises(redis.ResponseError):
            edge.execute_command(*command)
    cache.delete("another:key")


def test_the_payment_workers_user_cannot_read_the_sagas_queue_nor_command(demo, secrets):
    admin = pika.URLParameters(demo.env["AMQP_URL"])
    login = pika.PlainCredentials("comanda_payment", secrets("rabbitmq", "payment"))
    place = pika.ConnectionParameters(host=admin.host, port=admin.port, credentials=login)
    acts = (lambda channel: channel.basic_get("comanda.saga"),
            lambda channel: channel.queue_declare("mine"),
            lambda channel: channel.queue_purge("comanda.inventory"),
            lambda channel: channel.basic_publish("comanda.commands",
                                                  "payments.refund_payment", b"{}"),
            lambda channel: channel.basic_publish("comanda.retry", "comanda.inventory.1", b"{}"),
            lambda channel: channel.basic_publish("", "comanda.inventory", b"{}"))
    for act in acts:
        connection = pika.BlockingConnection(place)
        channel = connection.channel()
        channel.confirm_delivery()
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
            act(channel)
        assert refused.value.reply_code == 403
        connection.close()


def test_the_log_cannot_be_written_by_who_only_reads(demo):
    connection = psycopg2.connect(demo.env["DATABASE_URL"])
    for statement in ("delete from comanda.events", "update comanda.events set type = 'x'",
                      "truncate comanda.events", "insert into comanda_read.documents default values"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            connection.cursor().execute(statement)
        connection.rollback()
    connection.close()


def test_the_operators_user_finds_all_well(ctl, ana):
    ana.wait(ana.placed(an_order(sku="SKU-9"))["id"])

    def healthy():
        """What doctor says; it fails while anything lags."""
        try:
            return ctl("doctor")
        except AssertionError as fault:
            print(fault)
            return None
    said = until(healthy, "doctor finds all well")
    assert "dead letters may be read and given back" in said
    assert "comanda.payment" in ctl("topology", "list")
