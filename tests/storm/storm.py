#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make storm: the shop under seeded clients and a seeded killer; then heals, waits for quiet, and
checks the whole history. The last line is `storm: SEED ok`, or `storm: SEED N violations`.

usage: tests/storm/storm.py [--duration SECONDS] [--seed SEED] [--build DIR] [--before DIR]
                            [--report FILE] [--schedule]

Before anything else it prints the seed: the same seed and duration give the same acts at the same
moments, and clients that want the same. --schedule prints the acts and ends. --before DIR begins with
the programs and the schema of DIR, a built clone of an older commit, and ends with ours.
"""
import argparse
import contextlib
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
for folder in ("scripts", "tests/e2e"):
    sys.path.insert(0, str(ROOT / folder))

# pylint: disable=wrong-import-position
import report  # noqa: E402
from checks import run_checks  # noqa: E402
from clients import Client, Told, Wire  # noqa: E402
from demolib.shop import PRODUCTS, STOCK, instance_names  # noqa: E402
from history import Look, read_history  # noqa: E402
from killer import Killer, schedule  # noqa: E402
from rollout import Rollout  # noqa: E402
from world import ATTEMPTS, READY_SECONDS, World  # noqa: E402

INSTANCES = 2
CLIENTS = 6
# Between two orders of a client, on average.
PAUSE_SECONDS = 0.25
LIST_PAGE = 100
FINISH_SECONDS = 130


class Storm:
    """One run: the world, who is in it, what was told and found."""

    def __init__(self, arguments, parent):
        self.arguments, self.parent = arguments, parent
        self.seed, self.duration = arguments.seed, arguments.duration
        self.printing = threading.Lock()
        self.began = time.monotonic()
        self.world = None
        self.told = Told()
        self.killer = None
        self.clients = []
        self.rollout = None
        self.facts = {"attempts": ATTEMPTS, "not_quiet": [], "dead_letters": {}}
        self.times = {}
        self.redriven = []
        self.history = None

    def say(self, text, at=None):
        at = time.monotonic() - self.began if at is None else at
        with self.printing:
            print(f"{at:7.1f} s  {text}", flush=True)

    def phase(self, name):
        now = time.monotonic()
        self.times[name] = now
        self.say(name)

    def run(self):
        """Gives the violations by check."""
        self.phase("starting")
        self.start()
        self.phase("storm")
        self.began = time.monotonic()
        self.blow()
        self.phase("healing")
        self.heal()
        self.phase("checking")
        found = self.check()
        self.phase("done")
        return found

    # Before.

    def start(self):
        self.world = World(self.parent / "home", self.say)
        before = self.arguments.before
        tree = before or ROOT
        self.world.start(tree, (tree / "build") if before else self.arguments.build)
        if before:
            self.rollout = Rollout(self.world, self.duration, ROOT, self.arguments.build, self.say)
        for number in range(CLIENTS):
            self.clients.append(Client(self.seed, number, self.world.urls, self.world.tokens,
                                       self.told, PAUSE_SECONDS))

    def acts(self):
        return schedule(self.seed, self.duration, instance_names(INSTANCES))

    # Meanwhile.

    def blow(self):
        self.killer = Killer(self.world, self.acts(), self.say)
        threads = [threading.Thread(target=self.killer.run, name="killer", daemon=True)]
        if self.rollout:
            threads.append(threading.Thread(target=self.rollout.run, name="rollout", daemon=True))
        began = time.monotonic()
        for thread in (*self.clients, *threads):
            thread.start()
        time.sleep(max(0, began + self.duration - time.monotonic()))
        self.times["blown"] = (began, time.monotonic())
        self.killer.stop()
        for thread in threads:
            thread.join(FINISH_SECONDS)

    # Afterwards.

    def heal(self):
        world = self.world
        world.wake_all()
        for shop in world.shops:
            if shop.edge in world.children:
                world.wait_ready(shop, READY_SECONDS)
        for fault in self.rollout.violations() if self.rollout else []:
            self.told.fault(f"rollout: {fault}")
        for fault in self.killer.faults:
            self.told.fault(fault)
        for client in self.clients:
            client.stop()
        for client in self.clients:
            client.join(FINISH_SECONDS)
            if client.is_alive():
                self.told.fault(f"{client.name} does not end")
        look = Look(world)
        self.facts["not_quiet"] = look.await_quiet(say=self.say)
        self.redriven, self.facts["dead_letters"], again = look.redrive()
        self.facts["not_quiet"] += again

    def check(self):
        look = Look(self.world)
        self.repeat_all()
        stock = {f"SKU-{number}": STOCK for number in range(1, PRODUCTS + 1)}
        self.history = read_history(look, self.get, self.list_all, stock)
        look.write(self.parent, self.history)
        return run_checks(self.history, self.told, self.facts)

    def wire(self, customer):
        return Wire(self.world.urls, self.world.tokens[customer], random.Random(0))

    def repeat_all(self):
        """A part of the acknowledged orders under their keys once more, when all is quiet: the first
        answer again, as docs/http.md says."""
        chosen = [command for command in self.told.placed if command.status == 201]
        for command in random.Random(self.seed).sample(chosen, min(100, len(chosen))):
            answer = self.wire(command.customer).send(
                "POST", command.path, {"Idempotency-Key": command.key}, command.body)
            if answer.status_code != 201 or answer.json()["id"] != command.order or \
                    answer.headers.get("Idempotency-Replayed") != "true" or \
                    answer.json()["status"] != "placed":
                self.told.fault(f"order {command.order} under its key again: {answer.status_code} "
                                f"{dict(answer.headers)} {answer.text[:300]}")

    def get(self, order):
        """As its customer sees it; another's is 404."""
        for customer in self.world.tokens:
            answer = self.wires(customer).send("GET", f"/v1/orders/{order}")
            if answer.status_code != 404:
                break
        return answer.status_code, answer.json()

    def wires(self, customer):
        """One kept connection a customer."""
        if not hasattr(self, "kept"):
            self.kept = {name: self.wire(name) for name in self.world.tokens}
        return self.kept[customer]

    def list_all(self, customer):
        found, after = [], ""
        while True:
            page = self.wires(customer).send(
                "GET", f"/v1/orders?limit={LIST_PAGE}" + (f"&after={after}" if after else "")).json()
            if "items" not in page:
                self.told.fault(f"the list of {customer}: {page}")
                return found
            found += [order["id"] for order in page["items"]]
            after = page["next"]
            if not after:
                return found

    def close(self):
        """Ends everything that runs, whatever has happened."""
        if self.killer:
            self.killer.stopping.set()
        for client in self.clients:
            client.deadline = 0.0
            client.stopping.set()
        if self.rollout:
            self.rollout.stopping.set()
        if self.world:
            self.world.remove()

    def keep_logs(self):
        logs = self.world.home.path / "logs" if self.world else None
        if logs and logs.is_dir():
            shutil.copytree(logs, self.parent / "logs", dirs_exist_ok=True)
        if self.killer:
            report.write_commands(self.parent / "commands.csv", self.told)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration", type=float, default=90)
    parser.add_argument("--seed", default="")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--before", type=pathlib.Path)
    parser.add_argument("--report", type=pathlib.Path, help="write `ok CHECK` or `FAIL CHECK …` lines")
    parser.add_argument("--schedule", action="store_true", help="print the acts of the seed, and end")
    arguments = parser.parse_args()
    arguments.seed = arguments.seed or str(random.SystemRandom().randrange(10 ** 8))
    arguments.build = arguments.build.resolve()
    if arguments.before:
        arguments.before = arguments.before.resolve()
        if not (arguments.before / "build" / "bin" / "comandactl").exists():
            parser.error(f"{arguments.before} is no built clone: there is no build/bin/comandactl")
    if not 5 <= arguments.duration <= 3600:
        parser.error("--duration: write 5 to 3600 seconds")
    return arguments


def stop(_signal, _frame):
    raise KeyboardInterrupt


def main():
    arguments = read_arguments()
    print(f"storm: seed {arguments.seed}, {arguments.duration:g} s"
          + (f", begun by {arguments.before}" if arguments.before else ""), flush=True)
    if arguments.schedule:
        print("\n".join(f"{act.at:7.1f} s  {act}" for act in
                        schedule(arguments.seed, arguments.duration, instance_names(INSTANCES))))
        return 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    parent = pathlib.Path(tempfile.mkdtemp(prefix="comanda-storm-", dir="/var/tmp"))
    parent.chmod(0o755)
    storm = Storm(arguments, parent)
    found, fault = None, None
    try:
        found = storm.run()
    except KeyboardInterrupt:
        print("storm: stopped", file=sys.stderr)
    except Exception as reason:  # pylint: disable=broad-except
        fault = reason
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        good = found is not None and not any(found.values())
        if not good:
            with contextlib.suppress(OSError):
                storm.keep_logs()
        storm.close()
        if good:
            shutil.rmtree(parent, ignore_errors=True)
    if fault:
        print(f"storm: {type(fault).__name__}: {fault} {getattr(fault, 'stderr', None) or ''}")
    code = report.conclude(storm, found)
    if not good:
        print(f"logs and history: {parent}")
    print(f"storm: {arguments.seed} {report.verdict(found)}", flush=True)
    return code


if __name__ == "__main__":
    os.environ.pop("MAKEFLAGS", None)
    sys.exit(main())
