#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: measures, writes build/bench/report.json, prints it; exits 1 below a floor.

Environment: BENCH_SECONDS (of each measurement; 5), BENCH_ROUNDS (3), BENCH_ORDERS (20000, of
order_to_confirmed), BENCH_ROWS (names by comma: post_order, get_order_hot, relay,
reserve_long_stream, hot_stock, order_to_confirmed, lone_order, idle, shed; all unless given),
BENCH_KEEP=1 (leaves servers and edge running in build/bench/home, to look at), BENCH_BEFORE (a built
clone of an older commit, which idle is compared with; without it idle is told and not compared).
"""
import argparse
import os
import pathlib
import sys

import lone
import rows
import shedding
from house import House, ask, wait_until
from report import Report

ROWS = ("post_order", "get_order_hot", "relay", "reserve_long_stream", "hot_stock",
        "order_to_confirmed", "lone_order", "idle", "shed")
WARM_UP_SECONDS = 60


def number(name, default):
    value = os.environ.get(name, str(default))
    if not value.isdigit() or int(value) < 1:
        sys.exit(f"{name}={value}: wants a whole number from 1")
    return int(value)


def chosen_rows():
    names = os.environ.get("BENCH_ROWS", ",".join(ROWS)).split(",")
    for name in names:
        if name not in ROWS:
            sys.exit(f"BENCH_ROWS: no row is called {name!r}; there are {', '.join(ROWS)}")
    return names


def warm_up(house):
    """One order goes all the way: the log holds an example of everything."""
    rows.load.wrk(f"{house.shop.url()}/v1/orders", house.token, 10, mode="order", count=1,
                  connections=1)
    order = house.sql("select stream_id from comanda.events where type = 'OrderPlaced' limit 1")
    url = f"{house.shop.url()}/v1/orders/{order}"
    wait_until("the first order is confirmed", WARM_UP_SECONDS,
               lambda: '"confirmed"' in ask(url, house.token)[1])


def measure(house, report):
    names = chosen_rows()
    bench = rows.Bench(house, report, number("BENCH_SECONDS", 5), number("BENCH_ROUNDS", 3))
    # These first: the other rows leave hundreds of thousands of orders that no saga took up.
    if "lone_order" in names:
        lone.lone_order(bench)
    if "order_to_confirmed" in names:
        rows.order_to_confirmed(bench, number("BENCH_ORDERS", 20000))
    if "post_order" in names:
        rows.post_order(bench)
    if "get_order_hot" in names:
        house.stop_daemons()
        rows.get_order_hot(bench)
    if "relay" in names:
        rows.relay(bench, 2000 * bench.seconds)
    if "reserve_long_stream" in names:
        rows.reserve_long_stream(bench, 300 * bench.seconds)
    if "hot_stock" in names:
        rows.hot_stock(bench, 600 * bench.seconds)
    if "shed" in names:
        house.stop_daemons()
        shedding.shed(bench)
    if "idle" in names:
        house.stop_daemons()
        lone.idle(report, house.build, os.environ.get("BENCH_BEFORE"))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    build = pathlib.Path(parser.parse_args().build).resolve()
    (build / "bench").mkdir(parents=True, exist_ok=True)
    report = Report(build / "bench" / "report.json")
    house = House(build / "bench" / "home", build)
    try:
        house.start()
        warm_up(house)
        measure(house, report)
    finally:
        if os.environ.get("BENCH_KEEP") != "1":
            house.remove()
    sys.exit(report.conclude())


if __name__ == "__main__":
    main()
