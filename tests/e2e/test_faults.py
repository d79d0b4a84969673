# SPDX-License-Identifier: Apache-2.0
"""Whatever dies in the middle of orders: each acknowledged one ends, nothing is lost or doubled."""
import functools
import os
import re
import signal
import threading
import time

import psycopg2
import pytest
import redis
import requests

from books import assert_at_rest, books_of
from conftest import run_demo
from shop import Customer, ENDED, an_order, uuid7

MINUTE = 60


@pytest.fixture(scope="module")
def demo():
    """A demo of its own: what happens to it here must not meet the contract's tests."""
    yield from run_demo("--instances", "2")


class Shoppers:
    """Customers who place and cancel, ask again with the same key when they got no answer, and
    keep what was acknowledged. They go on until an order that they began after the fault is
    acknowledged too."""

    def __init__(self, url, token, count=4):
        self.url, self.token = url, token
        self.acknowledged, self.begun, self.faults = {}, [], []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.guarded, args=(number,), daemon=True)
                        for number in range(count)]

    def send(self, customer, path, body, key):
        """One command until it is answered with something final."""
        while True:
            try:
                answer = customer.command(path, body, key=key, patience=0)
            except requests.RequestException:
                time.sleep(0.2)
                continue
            if answer.status_code in (503, 504, 409, 502) and "not-cancellable" not in answer.text:
                time.sleep(0.2)
                continue
            return answer

    def guarded(self, number):
        try:
            self.shop(number)
        except Exception as fault:  # pylint: disable=broad-except
            self.faults.append(repr(fault))

    def shop(self, number):
        customer = Customer(self.url, self.token)
        turn = 0
        while not self.stop.is_set():
            turn += 1
            token = "tok_declined" if turn % 7 == 0 else "tok_capture_fails" if turn % 11 == 0 \
                else "tok_ok"
            sku = "SKU-SHORT" if turn % 13 == 0 else f"SKU-{1 + (turn * 7 + number) % 20}"
            began = time.monotonic()
            answer = self.send(customer, "/v1/orders", an_order(sku, 1 + turn % 3, token), uuid7())
            if answer.status_code != 201:
                self.faults.append(answer.text)
                continue
            order = answer.json()["id"]
            self.acknowledged[order] = "placed"
            self.begun.append(began)
            if turn % 5 == 0:
                cancelled = self.send(customer, f"/v1/orders/{order}/cancellation",
                                      {"reason": "changed my mind"}, uuid7())
                if cancelled.status_code == 202:
                    self.acknowledged[order] = "cancelled"
                elif cancelled.status_code != 409:
                    self.faults.append(cancelled.text)
            # A long fault should not leave more than a short one to wait for.
            time.sleep(0.02 if turn < 50 else 0.2)

    def wait_for_one_begun_after(self, moment):
        wait_until(lambda: self.faults or max(self.begun, default=0) > moment, MINUTE,
                   "no order was acknowledged after the fault")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        time.sleep(1)
        return self

    def __exit__(self, failed, *error):
        fault_over = time.monotonic()
        time.sleep(1)
        try:
            if not failed:
                self.wait_for_one_begun_after(fault_over)
        finally:
            self.stop.set()
            for thread in self.threads:
                thread.join(MINUTE)
        assert failed or not any(thread.is_alive() for thread in self.threads), \
            "a command was never answered"


@pytest.fixture
def shoppers(demo):
    return Shoppers(demo.env["COMANDA_URL"], demo.env["COMANDA_TOKEN"])


def ask(demo, query, *values):
    with psycopg2.connect(demo.env["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


def wait_until(what, seconds, message):
    deadline = time.monotonic() + seconds
    while True:
        try:
            result = what()
        except (requests.RequestException, psycopg2.Error, AssertionError, OSError, ValueError):
            result = None
        if result:
            return result
        assert time.monotonic() < deadline, message
        time.sleep(0.2)


def stock_ledger(demo):
    """Per SKU, from the log: what was received, is reserved, was committed."""
    return ask(demo, """
        select max(data->>'sku'),
               sum(case type when 'StockReceived' then (data->>'quantity')::bigint else 0 end),
               sum(case type when 'StockReserved' then (data->>'quantity')::bigint
                             when 'StockReleased' then -(data->>'quantity')::bigint
                             when 'StockCommitted' then -(data->>'quantity')::bigint else 0 end),
               sum(case type when 'StockCommitted' then (data->>'quantity')::bigint else 0 end)
        from comanda.events where category = 'stock_item' and kind = 'event'
        group by stream_id""")


def all_ended(demo, acknowledged):
    """The status that each order has ended with; one whose cancellation was accepted is cancelled."""
    customer = Customer(demo.env["COMANDA_URL"], demo.env["COMANDA_TOKEN"])
    ended = {}
    for order_id, said in acknowledged.items():
        order = wait_until(lambda: (lambda o: o if o["status"] in ENDED else None)(
            customer.order(order_id)), 2 * MINUTE, f"order {order_id} never ended")
        assert said != "cancelled" or order["status"] == "cancelled", order
        ended[order_id] = order["status"]
    return ended


def assert_stock_adds_up(demo):
    """Per SKU, once nothing is reserved any more: what confirmed orders hold was committed."""
    def nothing_reserved():
        return all(reserved == 0 for _, _, reserved, _ in stock_ledger(demo))
    wait_until(nothing_reserved, MINUTE, f"reserved stock is left: {stock_ledger(demo)}")
    confirmed_units = dict(ask(demo, """
            select line->>'sku', sum((line->>'quantity')::bigint)
            from comanda.events placed, json_array_elements(placed.data->'lines') line
            where placed.type = 'OrderPlaced' and exists (
                select from comanda.events e where e.stream_id = placed.stream_id
                and e.type = 'OrderConfirmed') group by 1"""))
    for sku, received, _, committed in stock_ledger(demo):
        assert committed == confirmed_units.get(sku, 0), sku
        assert received - committed >= 0, sku


def assert_nothing_lost_or_doubled(demo, shoppers):
    """The invariants, once every acknowledged order has ended: in the log, and in the provider's
    and carrier's own journals."""
    assert shoppers.acknowledged and not shoppers.faults, shoppers.faults[:3]
    ended = all_ended(demo, shoppers.acknowledged)
    assert ask(demo, "select stream_id from comanda.events group by stream_id "
                     "having max(version) <> count(*) or min(version) <> 1") == []
    assert ask(demo, "select event_id from comanda.events group by event_id "
                     "having count(*) > 1") == []
    captures = ask(demo, "select split_part(key, ':', 1), count(*) from sandbox.journal "
                         "where party = 'payment_provider' and operation = 'capture' "
                         "and outcome = 'done' group by 1")
    assert captures and all(count == 1 for _, count in captures), captures
    assert_stock_adds_up(demo)
    books = books_of(functools.partial(ask, demo), ended)
    for order_id, status in ended.items():
        assert_at_rest(status, books[order_id])


DAEMONS = ["relay", "saga", "payment", "inventory", "shipping", "projector"]


def instances(demo, name):
    return [known for known in demo.names() if known == name or known.startswith(name + "-")]


def at_work(demo):
    """By queue, the daemons' addresses that have handled messages of it."""
    found = {}
    for address in demo.env["COMANDA_METRICS"].split():
        for queue, count in re.findall(
                r'^comanda_messages_total\{queue="([^"]+)",outcome="[^"]+"\} (\d+)$',
                requests.get(address, timeout=MINUTE).text, re.MULTILINE):
            if int(count) > 0:
                found.setdefault(queue, set()).add(address)
    return found


def test_two_of_each_worker_share_the_work(demo):
    customer = Customer(demo.env["COMANDA_URL"], demo.env["COMANDA_TOKEN"])
    for order in [customer.placed()["id"] for _ in range(40)]:
        assert customer.wait(order)["status"] == "confirmed"
    wanted = dict.fromkeys([f"comanda.{name}" for name in ("saga", "ordering", *DAEMONS[2:])], 2)
    # A message counts once it is handled, which is after its effect is seen.
    wait_until(lambda: {queue: len(addresses) for queue, addresses in at_work(demo).items()} ==
               wanted, MINUTE, "each queue has two at work")


def kill(demo, name, number=signal.SIGKILL):
    """Gives the pid of what got the signal; one that is being started again is waited for."""
    def killed():
        pid = demo.pid(name)
        os.kill(pid, number)
        return pid
    return wait_until(killed, MINUTE, f"{name} does not run")


@pytest.mark.parametrize("name", DAEMONS)
def test_a_daemon_killed_in_the_middle_of_orders(demo, shoppers, name):
    with shoppers:
        for instance in instances(demo, name):
            kill(demo, instance)
            time.sleep(0.7)
    assert_nothing_lost_or_doubled(demo, shoppers)


def nginx_workers(demo):
    master = demo.pid("nginx")
    with open(f"/proc/{master}/task/{master}/children", encoding="ascii") as children:
        return [int(pid) for pid in children.read().split()]


def test_an_nginx_worker_killed_in_the_middle_of_orders(demo, shoppers):
    with shoppers:
        for _ in range(3):
            worker = wait_until(lambda: nginx_workers(demo), MINUTE, "there is no worker")[0]
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: set(nginx_workers(demo)) - {worker}, MINUTE, "no worker came")
            time.sleep(0.5)
    assert_nothing_lost_or_doubled(demo, shoppers)


def test_the_nginx_master_killed_in_the_middle_of_orders(demo, shoppers):
    with shoppers:
        old = kill(demo, "nginx")
        wait_until(lambda: demo.pid("nginx") != old, MINUTE, "nginx was not started again")
        wait_until(lambda: requests.get(demo.env["COMANDA_URL"] + "/readyz",
                                        timeout=10).status_code == 200, MINUTE,
                   "nginx is not ready")
    assert_nothing_lost_or_doubled(demo, shoppers)


def test_redis_emptied_in_the_middle_of_orders(demo, shoppers):
    with shoppers:
        for _ in range(3):
            redis.Redis.from_url(demo.env["REDIS_URL"]).flushall()
            time.sleep(0.5)
    assert_nothing_lost_or_doubled(demo, shoppers)


# RabbitMQ takes ten seconds to boot, so it is stopped in order here; it is killed below the relay in
# tests/integration/test_broker_faults.py. SIGINT is PostgreSQL's fast shutdown.
@pytest.mark.parametrize("name,signals", [
    ("rabbitmq", [signal.SIGTERM]), ("postgres", [signal.SIGKILL, signal.SIGINT]),
    ("redis", [signal.SIGKILL])])
def test_a_server_killed_or_stopped_in_the_middle_of_orders(demo, shoppers, name, signals):
    with shoppers:
        for number in signals:
            old = kill(demo, name, number)
            wait_until(lambda: demo.pid(name) != old, 2 * MINUTE, f"{name} was not started again")
            if number != signals[-1]:
                shoppers.wait_for_one_begun_after(time.monotonic())
    assert_nothing_lost_or_doubled(demo, shoppers)


def leader(demo):
    """The relay that leads says so in its metrics."""
    for address in demo.env["COMANDA_METRICS"].split():
        try:
            page = requests.get(address, timeout=2).text
        except requests.RequestException:
            continue
        if "\ncomanda_relay_leader 1" in page:
            return address
    return None


def test_a_relay_that_is_stopped_is_succeeded_and_does_no_harm_when_it_wakes(demo, shoppers):
    address = wait_until(lambda: leader(demo), MINUTE, "no relay leads")
    relays = [demo.pid(name) for name in instances(demo, "relay")]
    assert len(relays) == 2
    port = int(address.rsplit(":", 1)[1].split("/")[0])
    stopped = next(pid for pid in relays if port in listening_ports(pid))
    with shoppers:
        os.kill(stopped, signal.SIGSTOP)
        try:
            # Ten seconds after its last sign of life, when the machine is idle.
            wait_until(lambda: leader(demo) not in (None, address), MINUTE, "nobody took over")
        finally:
            os.kill(stopped, signal.SIGCONT)
    assert_nothing_lost_or_doubled(demo, shoppers)


def listening_ports(pid):
    """The TCP ports that a process listens on."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    ports = set()
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in list(table)[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                ports.add(int(fields[1].split(":")[1], 16))
    return ports
