# SPDX-License-Identifier: Apache-2.0
"""What happens to whom and when: drawn from the seed before the storm begins, so that a seed gives
the same acts at the same moments again."""
import collections
import contextlib
import dataclasses
import os
import random
import signal
import threading
import time

import psycopg2
import redis

from demolib import processes
from demolib.shop import DAEMONS

PACE_SECONDS = 1.1
# Nothing begins in the last part: what is down then comes back while clients still look on.
ACTING_PART = 0.92
SECONDS_PER_BROKER_ACT = 30
SECONDS_PER_PROMOTION = 40
EXIST_SECONDS = 3

# verb: how likely, whom, how long it lasts at least and at most
VERBS = {
    "kill daemon": (24, "instance", 0, 0),
    "stop daemon": (12, "instance", 0.3, 7),
    "kill role": (6, "role", 0, 0),
    "stop role": (3, "role", 0.5, 5),
    "term daemon": (4, "instance", 0, 0),
    "kill edge worker": (8, "worker", 0, 0),
    "stop edge worker": (4, "worker", 0.2, 3),
    "kill edge": (3, None, 0, 0),
    "reload edge": (5, None, 0, 0),
    "kill redis": (4, None, 0, 0),
    "stop redis": (3, None, 0.3, 4),
    "empty redis": (2, None, 0, 0),
    "kill rabbitmq": (3, None, 0, 0),
    "restart rabbitmq": (3, None, 0, 0),
    "stop rabbitmq": (4, None, 0.5, 5),
    "kill postgres": (3, None, 0, 0),
    "restart postgres": (3, None, 0, 0),
    "stop postgres": (3, None, 0.3, 4),
    "kill session": (3, "session", 0, 0),
    "end sessions": (4, "session", 0, 0),
    "kill standby": (3, None, 0, 0),
    "stop standby": (3, None, 0.3, 4),
}
BROKER = ("kill rabbitmq", "restart rabbitmq")
WHOLE_POSTGRES = ("kill postgres", "restart postgres", "kill session")


@dataclasses.dataclass(frozen=True)
class Act:
    at: float
    verb: str
    whom: object
    lasts: float

    def __str__(self):
        whom = "" if self.whom is None else f" {self.whom}"
        lasts = f" for {self.lasts:.1f} s" if self.lasts else ""
        return f"{self.verb}{whom}{lasts}"


def choose_whom(chance, kind, instances):
    if kind == "instance":
        return chance.choice(instances)
    if kind == "role":
        return chance.choice(DAEMONS)
    if kind in ("worker", "session"):
        return chance.randrange(1000)  # of those that there are then
    return None


def schedule(seed, seconds, instances, promotions=None):
    """The acts of a seed, in order; the broker, which takes ten seconds to boot, and promotions at
    most once in a while."""
    chance = random.Random(f"{seed}:killer")
    most = {verb: max(1, int(seconds / SECONDS_PER_BROKER_ACT)) for verb in BROKER}
    left = {"broker": most[BROKER[0]], "postgres": max(1, int(seconds / 15))}
    acts = []
    at = chance.uniform(0.5, 2.0)
    verbs = list(VERBS)
    while at < seconds * ACTING_PART:
        verb = chance.choices(verbs, [VERBS[name][0] for name in verbs])[0]
        _, kind, least, longest = VERBS[verb]
        whom = choose_whom(chance, kind, instances)
        lasts = round(chance.uniform(least, longest), 1)
        group = "broker" if verb in BROKER else "postgres" if verb in WHOLE_POSTGRES else None
        if group is None or left[group] > 0:
            acts.append(Act(round(at, 2), verb, whom, lasts))
            if group:
                left[group] -= 1
        at += chance.expovariate(1 / PACE_SECONDS)
    if promotions is None:
        promotions = max(1, int(seconds / SECONDS_PER_PROMOTION))
    for number in range(promotions):
        # One in each part, in its middle, so that the last one's standby has time to come.
        part = seconds / promotions
        moment = part * number + part * chance.uniform(0.3, 0.7)
        lasts = chance.choice([0, 0, round(chance.uniform(1, 5), 1)])
        acts.append(Act(round(moment, 2), "fail over", None, lasts))
    return sorted(acts, key=lambda act: act.at)


class Killer:
    """Does the acts of a schedule to a world, each in a thread of its own, and counts them."""

    def __init__(self, world, acts, say):
        self.world, self.acts, self.say = world, acts, say
        self.done = collections.Counter()
        self.missed = collections.Counter()
        self.faults = []
        self.stopping = threading.Event()
        self.threads = []
        self.began = time.monotonic()

    def run(self):
        """Until the last act has begun, or until it is told to stop."""
        self.began = time.monotonic()
        for act in self.acts:
            if self.stopping.wait(max(0, self.began + act.at - time.monotonic())):
                return
            thread = threading.Thread(target=self.perform, args=(act,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(90)
            if thread.is_alive():
                self.faults.append("an act of the killer does not end")

    def perform(self, act):
        try:
            told = getattr(self, act.verb.replace(" ", "_"))(act)
        except (OSError, psycopg2.Error, redis.RedisError, TimeoutError) as reason:
            told = None
            self.say(f"{act}: {str(reason).strip()[:120]}")
        (self.missed if told is None else self.done)[act.verb] += 1
        at = time.monotonic() - self.began
        self.say(f"{act}" + (": nobody there" if told is None else f" {told}"), at)

    def pause(self, pids, seconds):
        """Stops, waits and continues; the same process, not one that was given its pid."""
        pids = [(pid, processes.start_time(pid)) for pid in pids]
        for pid, _ in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        self.stopping.wait(seconds)
        for pid, started in pids:
            if processes.start_time(pid) == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        return said(pid for pid, _ in pids)

    def send(self, pids, number):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return said(pids)

    # Daemons.

    def instances(self, names):
        """The pids of those that run; whoever is being started again is waited for."""
        def running():
            children = [self.world.children.get(name) for name in names]
            return [child.pid for child in children if child and child.poll() is None]
        return wait_for(running)

    def instance(self, act):
        """By its name; once an upgrade has retired that, the new version's in its place."""
        place = self.world.shop.daemons().index(act.whom)
        names = [shop.daemons()[place] for shop in self.world.shops]
        return self.instances([act.whom] if act.whom in names else names[:1])

    def of_role(self, role):
        return self.instances([name for shop in self.world.shops for name in shop.daemons()
                               if name.partition("-")[0] == role])

    def kill_daemon(self, act):
        return self.send(self.instance(act), signal.SIGKILL)

    def term_daemon(self, act):
        return self.send(self.instance(act), signal.SIGTERM)

    def stop_daemon(self, act):
        return self.pause(self.instance(act), act.lasts)

    def kill_role(self, act):
        return self.send(self.of_role(act.whom), signal.SIGKILL)

    def stop_role(self, act):
        return self.pause(self.of_role(act.whom), act.lasts)

    # The edge.

    def worker(self, number):
        workers = wait_for(lambda: [pid for shop in self.world.shops
                                    for pid in self.world.workers(shop.edge)])
        return [workers[number % len(workers)]] if workers else []

    def edges(self):
        return self.instances([shop.edge for shop in self.world.shops])

    def kill_edge_worker(self, act):
        return self.send(self.worker(act.whom), signal.SIGKILL)

    def stop_edge_worker(self, act):
        return self.pause(self.worker(act.whom), act.lasts)

    def kill_edge(self, _act):
        return self.send(self.edges()[:1], signal.SIGKILL)

    def reload_edge(self, _act):
        return self.send(self.edges(), signal.SIGHUP)

    # Servers.

    def server(self, name):
        return wait_for(lambda: [pid for pid in [processes.read_pid(self.world.home, name)] if pid])

    def kill_redis(self, _act):
        return self.send(self.server("redis"), signal.SIGKILL)

    def stop_redis(self, act):
        return self.pause(self.server("redis"), act.lasts)

    def empty_redis(self, _act):
        redis.Redis.from_url(self.world.shop.redis("admin"), socket_timeout=3,
                             socket_connect_timeout=3).flushall()
        return ""

    def kill_rabbitmq(self, _act):
        return self.send(self.server("rabbitmq"), signal.SIGKILL)

    def restart_rabbitmq(self, _act):
        return self.send(self.server("rabbitmq"), signal.SIGTERM)

    def stop_rabbitmq(self, act):
        return self.pause(self.server("rabbitmq"), act.lasts)

    def postgres(self):
        return wait_for(lambda: [pid for pid in [self.world.pair.leader.pid()] if pid])

    def kill_postgres(self, _act):
        return self.send(self.postgres(), signal.SIGKILL)

    def restart_postgres(self, _act):
        return self.send(self.postgres(), signal.SIGINT)  # its fast shutdown

    def stop_postgres(self, act):
        return self.pause(self.world.pair.leader.everybody(), act.lasts)

    def kill_session(self, act):
        """PostgreSQL ends all the others too and recovers from its log."""
        backends = self.world.pair.leader.backends()
        return self.send([backends[act.whom % len(backends)]] if backends else [], signal.SIGKILL)

    def end_sessions(self, act):
        """As a network does that forgets connections: every third session is ended."""
        backends = self.world.pair.leader.backends()
        return self.send(backends[act.whom % 3::3], signal.SIGTERM)

    def standby(self):
        pair = self.world.pair
        return [pid for pid in [pair.other.pid()] if pid and pair.has_standby]

    def kill_standby(self, _act):
        return self.send(self.standby(), signal.SIGKILL)

    def stop_standby(self, act):
        pids = self.world.pair.other.everybody() if self.standby() else []
        return self.pause(pids, act.lasts)

    def fail_over(self, act):
        """Waits for a standby that has everything, as whoever automates it must."""
        pair = self.world.pair
        if not wait_for(lambda: pair.fail_over(act.lasts), 15):
            return None
        pair.make_standby()
        return f"to {pair.leader.name}"


def said(pids):
    """None: there was nobody."""
    pids = [str(pid) for pid in pids]
    return f"(pid {', '.join(pids[:3])}{' …' if len(pids) > 3 else ''})" if pids else None


def wait_for(what, seconds=EXIST_SECONDS):
    deadline = time.monotonic() + seconds
    while not (result := what()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return result
