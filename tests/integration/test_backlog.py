# SPDX-License-Identifier: Apache-2.0
"""A queue's waiting time is not a step's silence: timers of steps whose command still waits."""
import json
import os
import subprocess

import pytest

from daemon import BUILD, Database, until, uuid7
from fulfilment import DAEMONS, SAGAS, Shop, Vhost, derived, saga_of

# A step is asked twice, two seconds each: whoever waits longer in a queue would be given up.
SETTINGS = {"COMANDA_SAGA_TIMEOUT": "2s", "COMANDA_SAGA_ATTEMPTS": 2, "COMANDA_RETRY_1": "1s",
            "COMANDA_RETRY_2": "2s", "COMANDA_RETRY_3": "2s", "COMANDA_TIMER_CLAIM": "2s"}
SLOW = """create function sandbox.dawdle() returns trigger language plpgsql as $$
    begin perform pg_sleep(0.5); return new; end $$;
    create trigger dawdle before insert on sandbox.journal for each row
    when (new.operation = 'authorize') execute function sandbox.dawdle()"""


@pytest.fixture
def bare(tmp_path):
    made = Shop(Database(), Vhost(), tmp_path, **SETTINGS)
    made.stock("SKU-1", 1000)
    yield made
    made.stop()
    made.broker.drop()
    made.database.drop()


def put_off(shop):
    return shop.daemons["saga"].metric("comanda_timers_put_off_total")


def behind(shop):
    return [row[0] for row in shop.database.rows("select queue from comanda.backlog"
                                                 " where holds_until > clock_timestamp()")]


@pytest.mark.sanitized
def test_what_waits_in_a_queue_is_neither_asked_again_nor_given_up(bare):
    """Twelve payments of half a second each, one at a time."""
    bare.database.rows(SLOW)
    bare.start(*(name for name in DAEMONS if name != "payment"))
    orders = [bare.place() for _ in range(12)]
    until(lambda: all(bare.commands(order) for order in orders), "every authorize is out")
    bare.start("payment", COMANDA_BATCH=1)
    until(lambda: "comanda.payment" in behind(bare), "the worker tells that it is behind")
    ends = {bare.ended(order) for order in orders}
    repeated = [command for order in orders for command in bare.commands(order) if command[2] > 1]
    assert ends == {"OrderConfirmed"} and not repeated, (ends, repeated)
    assert put_off(bare) > 0
    age = 'comanda_queue_age_seconds{queue="comanda.payment"}'
    until(lambda: bare.daemons["payment"].metric(age) == 0, "nothing waits")
    until(lambda: not behind(bare), "the worker tells that it keeps up")


def test_a_role_without_a_worker_is_waited_for_as_long_as_patience_lasts(bare):
    bare.start("relay", "saga", "inventory", "shipping", COMANDA_SAGA_PATIENCE="5s")
    order = bare.place()
    until(lambda: "SagaParked" in bare.types(saga_of(order)), "its patience ends, twice")
    assert bare.commands(order) == [("authorize", "forward", 1), ("void", "compensate", 1)]
    spent = bare.database.rows(
        "select extract(epoch from v.recorded_at - a.recorded_at)::float8 from comanda.events a"
        " join comanda.events v using (stream_id) where a.stream_id = %s and a.kind = 'command'"
        " and a.data->>'step' = 'authorize' and v.kind = 'command' and v.data->>'step' = 'void'",
        str(saga_of(order)))[0][0]
    assert spent >= 5
    assert behind(bare) == ["comanda.payment"], "told for those who are not there"
    bare.start("payment")
    until(lambda: not behind(bare), "somebody is there")
    assert bare.ended(order) == "OrderRejected"
    assert bare.rejection(order) == "timed_out"


def test_a_worker_that_comes_late_but_in_time_finds_one_command(bare):
    bare.start("relay", "saga", "inventory", "shipping")
    order = bare.place()
    until(lambda: put_off(bare) >= 3, "waited for longer than two attempts")
    bare.start("payment")
    assert bare.ended(order) == "OrderConfirmed"
    assert ("authorize", "forward", 2) not in bare.commands(order)


def test_patience_is_longer_than_all_attempts():
    environment = dict(os.environ, COMANDA_POSTGRES="host=127.0.0.1 dbname=x", COMANDA_SAGAS=SAGAS,
                       COMANDA_AMQP="amqp://a:b@127.0.0.1:1/x", COMANDA_SAGA_PATIENCE="60s")
    run = subprocess.run([BUILD / "bin/comanda-saga", "--check"], env=environment,
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "COMANDA_SAGA_PATIENCE: 60 s, but step" in run.stderr, run.stderr


# --- what PostgreSQL says of a due timer


class Step:
    """The authorize of an order that was asked `asked_s` ago, published, with its timer due."""

    def __init__(self, database, asked_s=5):
        self.database = database
        self.saga, self.timer = uuid7(), uuid7()
        self.command = self.row(self.saga, 1, "command", asked_s)
        database.rows("insert into comanda.timers (due, id, saga_id, tenant, data) values"
                      " (clock_timestamp(), %s, %s, 'main', '{}')", str(self.timer), str(self.saga))
        self.publish()

    def row(self, stream, version, kind, ago_s):
        event = uuid7()
        self.database.rows(
            "insert into comanda.events (recorded_at, epoch, tenant, category, stream_id, version,"
            " event_id, kind, type, schema_version, data, meta) select clock_timestamp()"
            " - make_interval(secs => %s), epoch, 'main', 'saga', %s, %s, %s, %s, 'authorize', 1, %s,"
            " '{}' from comanda.log", ago_s, str(stream), version, str(event), kind,
            json.dumps({"saga": "s", "saga_version": 1, "step": "authorize",
                        "direction": "forward"}))
        return event

    def answer(self, ago_s):
        self.row(derived(self.command, "reply"), 1, "reply", ago_s)

    def publish(self):
        self.database.rows(
            "insert into comanda.leases (name, holder, fence, renewed_at, epoch, tx, position)"
            " select 'relay', 'x', 1, now(), epoch, tx, position from comanda.events"
            " order by epoch desc, tx desc, position desc limit 1 on conflict (name) do update set"
            " epoch = excluded.epoch, tx = excluded.tx, position = excluded.position")

    def taken_up(self, queue, worker, before, later_s=60):
        """By a worker that has taken up what was recorded so much later, or stands just before it."""
        self.database.rows(
            "insert into comanda.backlog select recorded_at + make_interval(secs => %s), tx,"
            " position - %s, epoch, now(),"
            " now() + interval '30 seconds', %s, %s from comanda.events where event_id = %s",
            0 if before else later_s, 1 if before else 0, worker, queue, str(self.command))

    def fate(self, patience_s=600, endless=False):
        """(fate, seconds until its timer is due again)"""
        rows = self.database.rows(
            "select fate from comanda.timers_put_off(%s::uuid[], %s::uuid[], '{1}', %s::uuid[],"
            " %s::uuid[], '{s/1/authorize/forward}', '{comanda.payment}', '{20}', %s, 'comanda.saga', %s)",
            [str(self.timer)], [str(self.saga)], [str(self.command)],
            [str(derived(self.command, "reply"))], [endless], patience_s)
        due = self.database.rows("select extract(epoch from due - clock_timestamp())::float8"
                                 " from comanda.timers where id = %s", str(self.timer))[0][0]
        return (rows[0][0] if rows else "fires"), due


@pytest.fixture
def step():
    database = Database()
    made = Step(database)
    database.rows("select comanda.backlog_attend('comanda.payment')")
    yield made
    database.drop()


def test_a_step_whose_command_was_taken_up_is_silent(step):
    assert step.fate()[0] == "fires"
    step.taken_up("comanda.payment", 1, before=False)
    assert step.fate()[0] == "fires"


def test_a_step_whose_command_was_taken_up_a_moment_ago_waits_for_its_whole_time(step):
    """Its queue has come to what was recorded 12 s after it, and a step may take 20."""
    step.taken_up("comanda.payment", 1, before=False, later_s=12)
    assert step.fate()[0] == "waits"
    step.taken_up("comanda.payment", 2, before=False)
    assert step.fate()[0] == "waits", "the slowest counts"
    step.database.rows("delete from comanda.backlog where worker = 1")
    assert step.fate()[0] == "fires"


def test_a_command_that_the_slowest_worker_may_still_have_waits(step):
    step.taken_up("comanda.payment", 1, before=False)
    step.taken_up("comanda.payment", 2, before=True)
    fate, due = step.fate()
    assert fate == "waits" and 15 < due < 26, "its time begins when it may be taken up"
    step.database.rows("update comanda.backlog set holds_until = now() where worker = 2")
    assert step.fate()[0] == "fires", "whoever tells no more is not believed for long"


def test_a_queue_that_has_caught_up_leaves_a_step_that_waited_its_whole_time(step):
    step.taken_up("comanda.payment", 2, before=True)
    assert step.fate()[0] == "waits"
    step.database.rows("delete from comanda.backlog")
    fate, due = step.fate()
    assert fate == "waits" and 15 < due < 21, "it may have been taken up just now"
    assert step.fate()[0] == "fires"
    assert step.database.rows("select data->>'waited' from comanda.timers") == [(None,)]


def test_a_command_that_the_relay_has_not_published_waits(step):
    step.database.rows("update comanda.leases set tx = '0', position = 0")
    assert step.fate()[0] == "waits"


def test_an_answer_that_waits_for_the_saga_is_no_silence(step):
    step.answer(ago_s=3)
    assert step.fate()[0] == "waits", "it is not published"
    step.publish()
    assert step.fate()[0] == "waits", "its time begins"
    assert step.fate()[0] == "fires", "it was taken up, and lies in the dead letters perhaps"
    step.taken_up("comanda.saga", 1, before=False)
    assert step.fate()[0] == "waits", "the saga's queue is behind"


def test_an_answer_of_this_moment_is_no_silence(step):
    step.answer(ago_s=0)
    step.publish()
    assert step.fate()[0] == "waits"


def test_a_step_without_a_limit_is_asked_again_when_its_last_command_has_waited_too_long(step):
    step.taken_up("comanda.payment", 2, before=True)
    assert step.fate(patience_s=4)[0] == "spent"
    assert step.fate(patience_s=4, endless=True)[0] == "spent"
    assert step.fate(patience_s=6)[1] < 6, "no longer than its patience"


def test_a_queue_that_nobody_serves_is_told_to_the_edge(step):
    step.database.rows("select pg_advisory_unlock_all()")
    assert step.database.rows("select comanda.backlog_s()") == [(0,)]
    assert step.fate()[0] == "waits"
    assert step.database.rows("select comanda.backlog_s() between 5 and 60")[0][0]
    step.database.rows("select comanda.backlog_attend('comanda.payment')")
    assert step.database.rows("select comanda.backlog_s()") == [(0,)]


def test_the_oldest_tale_and_the_relay_count(step):
    step.database.rows("select comanda.backlog_tell('comanda.inventory', now() - interval '40 s', 1,"
                       " '5', 5)")
    assert step.database.rows("select comanda.backlog_s()") == [(40,)]
    step.database.rows("select comanda.backlog_tell('comanda.inventory', null, 0, '0', 0)")
    step.database.rows("update comanda.leases set tx = '0', position = 0")
    assert step.database.rows("select comanda.backlog_s() between 5 and 60")[0][0]
