#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make storm LOAD=NAME: more orders than the shop keeps up with. All must end confirmed, and at most
one of a hundred saga commands be sent again.

usage: tests/storm/loads.py NAME [--orders N] [--workers N,…] [--build DIR]

  rush     20,000 orders in about 43 s, one process a role
  basket   6,000 orders of eight lines on the same eight products, with 1, 8 and 16 inventory workers
  sku      6,000 orders of one product, with 1, 2, 4 and 8 inventory workers

Where there are several runs, the last one's orders a second are at least 0.9 of the first one's.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "bench"))

# The product's own settings, not those of the bench.
DEFAULTS = {"COMANDA_SAGA_TIMEOUT": "0ms", "COMANDA_RETRY_1": "5s", "COMANDA_RETRY_2": "20s",
            "COMANDA_RETRY_3": "60s", "COMANDA_LOG_LEVEL": "warning"}
os.environ.update(DEFAULTS)

# pylint: disable=wrong-import-position
from house import House, ask, wait_until  # noqa: E402

CONNECTIONS = 64
OFFER_SECONDS_MAX = 600
END_SECONDS_MAX = 900
REPEATED_PART_MAX = 0.01
RATIO_FLOOR = 0.9
POLL_SECONDS = 1.0
OFFER_POLL_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Load:
    orders: int
    lines: int
    products: int
    workers: tuple
    seconds: float = 0  # in which they are offered; 0: as fast as it goes


LOADS = {"rush": Load(20000, 1, 100, (1,), 43), "basket": Load(6000, 8, 8, (1, 8, 16)),
         "sku": Load(6000, 1, 1, (1, 2, 4, 8))}

ENDED = ("select type, coalesce(data->>'code', ''), count(*) from comanda.events where epoch = 1 and "
         "tx >= '{tx}' and type in ('OrderConfirmed', 'OrderRejected', 'OrderCancelled') "
         "and kind = 'event' group by 1, 2")
TIMES = ("select extract(epoch from max(recorded_at) filter (where type = 'OrderConfirmed') - "
         "min(recorded_at) filter (where type = 'OrderPlaced')), "
         "count(*) filter (where type = 'OrderPlaced'), count(*) filter (where kind = 'command'), "
         "count(*) filter (where kind = 'command' and (data->>'attempt')::int > 1) "
         "from comanda.events where epoch = 1 and tx >= '{tx}'")


def offer(house, load, seed):
    """Sends the orders; gives what wrk tells of it."""
    environment = dict(os.environ, STORM_TOKEN=house.token, STORM_COUNT=str(load.orders),
                       STORM_LINES=str(load.lines), STORM_PRODUCTS=str(load.products),
                       STORM_CONNECTIONS=str(CONNECTIONS), STORM_SEED=str(seed),
                       STORM_RATE=str(load.orders / load.seconds if load.seconds else 0))
    before = accepted(house)
    began = time.monotonic()
    wrk = subprocess.Popen(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{OFFER_SECONDS_MAX}s", "--timeout", "30s", "-s",
         HERE / "load.lua", f"{house.shop.url()}/v1/orders"], env=environment,
        stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while accepted(house) - before < load.orders and wrk.poll() is None:
            time.sleep(OFFER_POLL_SECONDS)
        seconds = time.monotonic() - began
    finally:
        wrk.send_signal(signal.SIGINT)  # else it sleeps until its time is over
        text = wrk.communicate(timeout=30)[0]
    line = next(line for line in text.splitlines() if line.startswith("STORM "))
    return {**json.loads(line.removeprefix("STORM ")), "seconds": seconds}


def accepted(house):
    """Orders that the edge has taken."""
    lines = ask(f"{house.shop.url()}/metrics")[1].splitlines()
    return sum(int(line.rpartition(" ")[2]) for line in lines
               if line.startswith('comanda_commands_total{command="ordering.place_order",'
                                  'outcome="accepted"}'))


def start_inventories(house, count):
    names = ["inventory", *(f"inventory-{number}" for number in range(2, count + 1))]
    for name in names:
        house.home.choose_port(f"probe_{name}")
    house.start_daemons([name for name in names if name not in house.children])
    for name in [name for name in house.children if name.startswith("inventory")]:
        if name not in names:
            house.end(name)


def ends_of(house, tx):
    rows = [line.split("|") for line in house.sql(ENDED.format(tx=tx)).splitlines()]
    return {(kind.removeprefix("Order").lower() + (f" {code}" if code else "")): int(count)
            for kind, code, count in rows}


def run(house, load, workers, seed):
    """One load from its first order to its last end; gives orders a second, and the faults."""
    start_inventories(house, workers)
    tx = house.sql("select pg_current_xact_id()")
    told = offer(house, load, seed)
    deadline = time.monotonic() + END_SECONDS_MAX
    while sum(ends_of(house, tx).values()) < load.orders and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    ends = ends_of(house, tx)
    seconds, placed, commands, repeated = (float(word or 0) for word in
                                           house.sql(TIMES.format(tx=tx)).split("|"))
    part = repeated / max(1, commands)
    rate = ends.get("confirmed", 0) / seconds if seconds else 0.0
    print(f"  {workers} inventory worker{'s' if workers > 1 else ''}: {placed:.0f} orders placed in "
          f"{told['seconds']:.1f} s ({told['refused']} refused meanwhile), " +
          ", ".join(f"{count} {end}" for end, count in sorted(ends.items())) +
          f"; all in {seconds:.1f} s, {rate:.1f}/s; {repeated:.0f} of {commands:.0f} commands "
          f"repeated ({100 * part:.2f} %)", flush=True)
    faults = []
    if ends != {"confirmed": load.orders}:
        faults.append(f"{workers} workers: {ends.get('confirmed', 0)} of {load.orders} are confirmed")
    if part > REPEATED_PART_MAX:
        faults.append(f"{workers} workers: {100 * part:.2f} % of the commands were repeated")
    return rate, faults


def measure(house, load, seed):
    faults, rates = [], []
    for workers in load.workers:
        rate, found = run(house, load, workers, seed)
        rates.append(rate)
        faults += found
        if found:
            # What is left of it would be counted to the next one.
            break
    if len(rates) == len(load.workers) > 1:
        ratio = rates[-1] / rates[0] if rates[0] else 0.0
        print(f"  {load.workers[-1]} workers against {load.workers[0]}: {ratio:.2f}")
        if ratio < RATIO_FLOOR:
            faults.append(f"{load.workers[-1]} workers do {ratio:.2f} of what "
                          f"{load.workers[0]} do, at least {RATIO_FLOOR}")
    return faults


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("load", choices=LOADS)
    parser.add_argument("--orders", default="")
    parser.add_argument("--workers", default="")
    parser.add_argument("--seed", default="")
    parser.add_argument("--build", type=pathlib.Path, default=HERE.parents[1] / "build")
    arguments = parser.parse_args()
    load = LOADS[arguments.load]
    numbers = [arguments.orders or str(load.orders),
               *(arguments.workers.split(",") if arguments.workers else map(str, load.workers))]
    if not all(number.isdigit() and int(number) > 0 for number in numbers):
        parser.error("--orders and --workers: write whole numbers from 1")
    orders, workers = int(numbers[0]), tuple(map(int, numbers[1:]))
    # The same rate, however many.
    seconds = load.seconds * orders / load.orders
    arguments.chosen = dataclasses.replace(load, orders=orders, workers=workers, seconds=seconds)
    arguments.seed = arguments.seed or str(random.SystemRandom().randrange(10 ** 8))
    return arguments


def stop(_signal, _frame):
    raise KeyboardInterrupt


def main():
    arguments = read_arguments()
    print(f"storm: {arguments.load}, seed {arguments.seed}, {arguments.chosen}", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    parent = pathlib.Path(tempfile.mkdtemp(prefix="comanda-load-", dir="/var/tmp"))
    parent.chmod(0o755)
    house = House(parent / "home", arguments.build.resolve())
    faults = ["it did not end"]
    try:
        house.start()
        wait_until("nginx is ready", 60, lambda: ask(f"{house.shop.url()}/readyz")[0] == 200)
        faults = measure(house, arguments.chosen, arguments.seed)
    except KeyboardInterrupt:
        print("storm: stopped", file=sys.stderr)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if faults:
            shutil.copytree(house.home.path / "logs", parent / "logs", dirs_exist_ok=True)
        house.remove()
        if not faults:
            shutil.rmtree(parent, ignore_errors=True)
    for fault in faults:
        print(f"  {fault}")
    if faults:
        print(f"logs: {parent}/logs")
    print(f"storm: {arguments.load} {'failed' if faults else 'ok'}", flush=True)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
