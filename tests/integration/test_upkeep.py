# SPDX-License-Identifier: Apache-2.0
"""Upkeep beside commands: who holds a table for long holds up neither, and it is told."""
import threading

import psycopg2
import psycopg2.errors
import pytest

from daemon import until
from edge import Edge, LockedTable, Shop
from relay_fixtures import database, leads, start, vhost  # noqa: F401

OLD_WEEKS = """
    select comanda.make_partition('keys', 'keys_2020_01_06', comanda.id_floor('2020-01-06Z'),
               comanda.id_floor('2020-01-13Z')),
           comanda.make_partition('keys', 'keys_2020_01_13', comanda.id_floor('2020-01-13Z'),
               comanda.id_floor('2020-01-20Z'))"""
# A month's end, a month late.
LOSE_A_MONTH = """
    do $$ begin
        execute format('drop table comanda.%I', to_char(date_trunc('month', now())
            + interval '24 months', '"events_"YYYY"_"MM'));
    end $$"""
BUDGET = "1s"  # half of what a wait for a table once took


class Upkeep:
    """Tries without a pause, as no house does, for as long as the block runs."""

    def __init__(self, database, sql):
        self.connection = psycopg2.connect(database.conninfo)
        self.connection.autocommit = True
        self.sql = sql
        self.ended = threading.Event()
        self.gave_way = 0
        self.thread = threading.Thread(target=self.run)

    def run(self):
        cursor = self.connection.cursor()
        while not self.ended.is_set():
            try:
                cursor.execute(self.sql)
            except psycopg2.errors.LockNotAvailable:
                self.gave_way += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.connection.close()


@pytest.mark.parametrize("held", ["comanda.keys", "comanda.events_default"])
def test_given_a_table_held_by_a_dump_then_every_post_is_answered_within_its_budget(database, held):
    shop = Shop(database)
    edge = Edge(shop, timeout=BUDGET)
    database.rows(OLD_WEEKS)
    database.rows(LOSE_A_MONTH)
    dump = LockedTable(shop, held, "access share")
    try:
        with Upkeep(database, "select comanda.upkeep_step()") as upkeep:
            until(lambda: upkeep.gave_way > 0, "it met the lock")
            answers = []
            while len(answers) < 10 or upkeep.gave_way < 10:
                answers.append(edge.place().status)
            assert set(answers) == {201}
            (undone,), = database.rows("select to_make + to_drop from comanda.upkeep_undone()")
            assert undone > 0
            dump.release()
            until(lambda: database.rows("select to_make + to_drop from comanda.upkeep_undone()")
                  == [(0,)], "all is done once the dump has ended")
        assert edge.place().status == 201
    finally:
        dump.release()
        edge.remove()


def test_the_leading_relay_does_it_one_by_one_and_tells_what_is_undone(database, vhost, start):
    database.rows(OLD_WEEKS)
    database.rows(LOSE_A_MONTH)
    dump = LockedTable(Shop(database, products=False), "comanda.keys", "access share")

    def undone(relay, what):
        return relay.metric(f'comanda_partitions_undone{{what="{what}"}}', absent=-1)

    try:
        relay = start(vhost)
        until(lambda: leads(relay), "it leads")
        until(lambda: undone(relay, "make") == 0, "what is not held is done")
        until(lambda: relay.metric("comanda_upkeep_failures_total", absent=0) > 1, "it tries again")
        assert undone(relay, "drop") == 2
        told = [line for line in relay.log() if "partitions wait" in str(line)]
        assert len(told) == 1 and "lock timeout" in str(told[0])
        dump.release()
        until(lambda: undone(relay, "drop") == 0, "all is done once the dump has ended")
        assert database.rows("select to_regclass('comanda.keys_2020_01_06'),"
                             " to_regclass('comanda.keys_2020_01_13')") == [(None, None)]
    finally:
        dump.release()
