# SPDX-License-Identifier: Apache-2.0
"""The rows of a quiet system: one order at a time, and none at all."""
import json
import pathlib
import statistics
import subprocess
import sys
import time

import load
from rows import FLOORS, skip_backlog

ORDERS, APART_SECONDS = 200, 0.5
REFERENCE_ROUNDS = 100
TOOK = ("select percentile_cont(0.5) within group (order by extract(epoch from c.recorded_at - "
        "p.recorded_at) * 1000), count(*) from comanda.events p join comanda.events c "
        "on c.stream_id = p.stream_id and c.type = 'OrderConfirmed' and c.kind = 'event' "
        "where p.type = 'OrderPlaced' and p.kind = 'event' and p.epoch = 1 and p.tx >= '{tx}'")


def lone_order(bench):
    """Orders one at a time, from OrderPlaced's to OrderConfirmed's recorded_at, against a plain C
    program doing the same thirteen commits and ten hops. In slices, alternating."""
    house = bench.house
    skip_backlog(house)
    house.start_daemons()
    slices = bench.rounds
    ours, theirs = [], []
    for _ in range(slices):
        ours.append(lone_slice(bench, ORDERS // slices))
        theirs.append(sequence(house))
    house.stop_daemons()
    bench.report.add("lone_order_p50", statistics.median(ours), "ms", "the plain program's ms",
                     statistics.median(theirs))
    bench.compare("lone_order", "orders/s", [1000 / took for took in ours],
                  "thirteen commits and ten hops in sequence", [1000 / took for took in theirs])


def lone_slice(bench, orders):
    house = bench.house
    tx = house.sql("select pg_current_xact_id()")
    for _ in range(orders):
        load.wrk(bench.orders, house.token, 30, mode="order", count=1, connections=1,
                 keys=house.home.path / "work" / "keys")
        time.sleep(APART_SECONDS)
    deadline = time.monotonic() + 30
    while True:
        took, count = house.sql(TOOK.format(tx=tx)).split("|")
        if int(count) == orders:
            return float(took)
        if time.monotonic() > deadline:
            raise ValueError(f"{count} of {orders} lone orders are confirmed")
        time.sleep(0.5)


def sequence(house):
    broker = house.broker()
    conninfo = house.shop.conninfo("owner").replace("dbname=comanda", f"dbname={load.DATABASE}")
    done = subprocess.run(
        [house.build / "bench" / "sequence", conninfo, broker["host"], broker["port"],
         broker["user"], broker["password"], "bench.sequence", str(REFERENCE_ROUNDS)],
        stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["p50_ms"]


IDLE_SECONDS = 60


def idle(report, build, before):
    """What a system that nobody asks for anything uses: CPU of all its processes over a minute."""
    ours = idle_of(build.parent, build)
    if before is None:
        report.add("idle", ours, f"ms/{IDLE_SECONDS} s")
        return
    root = pathlib.Path(before).resolve()
    theirs = [idle_of(root, root / "build")]
    ours = [ours, idle_of(build.parent, build)]
    theirs.append(idle_of(root, root / "build"))
    report.add("idle_cpu", statistics.mean(ours), f"ms/{IDLE_SECONDS} s", "before",
               statistics.mean(theirs))
    report.compare("idle", "1/s", [1000 / used for used in ours], "before",
                   [1000 / used for used in theirs], FLOORS["idle"])


def idle_of(root, build):
    """In a process of its own, with the bench and the scripts of that tree."""
    done = subprocess.run(
        [sys.executable, pathlib.Path(__file__).with_name("idle.py"), str(root), str(build),
         str(IDLE_SECONDS)], stdout=subprocess.PIPE, check=True, cwd=root)
    return float(done.stdout.split()[-1])
