# SPDX-License-Identifier: Apache-2.0
"""What the tests of the payment, inventory and shipping daemons share."""
import signal

import psycopg2
import pytest

from daemon import PATIENCE_S, Broker, Daemon, Database, command_event, until

AUTHORIZE = {"amount": 3980, "currency": "BRL", "payment_token": "tok_ok"}

# The provider's door, where calls for a payment that is held wait before they have written anything:
# a transaction that has written holds up the log of every database of the server.
DOOR = """
    alter function sandbox.perform_payments rename to perform_payments_at_once;
    create function sandbox.perform_payments(asked text[], ids text[], keys text[], cards text[],
        sums int8[], units text[])
    returns table (call int4, outcome text, code text, detail text, captured bool)
    language plpgsql as $$
    begin
        perform pg_advisory_xact_lock_shared(hashtext(id)) from unnest(ids) id;
        return query select * from sandbox.perform_payments_at_once(asked, ids, keys, cards, sums,
            units);
    end $$"""


@pytest.fixture(scope="module")
def database():
    made = Database()
    yield made
    made.drop()


@pytest.fixture
def broker(request):
    """Parametrized: with other delays of the failure ladder."""
    made = Broker(getattr(request, "param", (200, 300, 400)))
    yield made
    made.drop()


@pytest.fixture
def start(database, broker, tmp_path):
    """Starts daemons that are ended with the test."""
    started = []

    def start_one(name, **settings):
        broker.need({"payment": "payments"}.get(name, name))
        daemon = Daemon(name, tmp_path, **{"COMANDA_POSTGRES": database.conninfo,
                                           "COMANDA_AMQP": broker.url_of(name),
                                           "COMANDA_EFFECT_TIMEOUT": "30s", **settings})
        started.append(daemon)
        return daemon

    yield start_one
    for daemon in started:
        daemon.end()


def replies(database, *message_ids):
    """Outcome (and code) of each command that has its reply."""
    rows = database.rows(
        "select data->>'command_id', data->>'outcome', data->>'code' from comanda.events"
        " where kind = 'reply' and data->>'command_id' = any(%s)", list(message_ids))
    return {row[0]: (row[1], row[2]) for row in rows}


def reply_of(database, message_id, timeout=PATIENCE_S):
    return until(lambda: replies(database, message_id), f"a reply to {message_id}",
                 timeout)[message_id]


def events_of(database, stream_id):
    return [row[0] for row in database.rows(
        "select type from comanda.events where stream_id = %s order by version", str(stream_id))]


def journal(database, stream_id):
    return database.rows(
        "select operation, outcome from sandbox.journal where key like %s order by recorded_at",
        f"{stream_id}:%")


def send(broker, command, payload, stream_id, **more):
    message_id, event = command_event(command, payload, stream_id, **more)
    broker.publish(command, event, message_id)
    return message_id


def hold_payment(database, payment):
    """Whoever asks the provider about the payment waits until the connection is closed. To be called
    before the daemon starts."""
    if not database.rows("select 1 from pg_proc where proname = 'perform_payments_at_once'"):
        database.rows(DOOR)
    connection = psycopg2.connect(database.conninfo)
    connection.autocommit = True
    connection.cursor().execute("select pg_advisory_lock(hashtext(%s))", (str(payment),))
    return connection


WAITING = (" from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
           " and query like '%%perform_payments%%' and backend_xid is null")


def waits_for_lock(database):
    return database.rows("select 1" + WAITING)


def kill(daemon, database):
    """Also ends its sessions that wait at the provider's door, which would not notice by themselves."""
    daemon.stop(signal.SIGKILL)
    until(lambda: not database.rows("select pg_terminate_backend(pid)" + WAITING), "nobody waits")
