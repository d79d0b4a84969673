# SPDX-License-Identifier: Apache-2.0
"""An upgrade under load: the new version's programs beside the old ones on the old schema, then the
migration, then the old ones out."""
import subprocess
import threading
import time

import redis

from world import StormShop, ask

# Parts of the storm's duration.
BESIDE_AT, MIGRATE_AT, RETIRE_AT = 0.2, 0.45, 0.65
MIGRATE_SECONDS = 120
POLL_SECONDS = 0.5
READY_POLL_SECONDS = 0.25


class Rollout:
    """Its three steps at their moments, and how long no edge was ready."""

    def __init__(self, world, duration, tree, build, say):
        self.world, self.duration, self.say = world, duration, say
        self.tree, self.build = tree, build
        self.old = world.shop
        self.new = StormShop(world.home, "-new", first=3)
        self.new.ports_of_postgres = self.old.ports_of_postgres
        self.stopping = threading.Event()
        self.migrated_in = None
        self.longest_unready = 0.0
        self.faults = []

    def run(self):
        began = time.monotonic()
        watch = threading.Thread(target=self.watch, daemon=True)
        watch.start()
        for part, step in ((BESIDE_AT, self.add_beside), (MIGRATE_AT, self.migrate),
                           (RETIRE_AT, self.retire)):
            if self.stopping.wait(max(0, began + part * self.duration - time.monotonic())):
                return
            try:
                step()
            except (OSError, subprocess.SubprocessError, TimeoutError) as reason:
                self.faults.append(f"{step.__name__}: {reason}")
                self.say(f"rollout: {step.__name__} failed: {reason}")
        self.stopping.set()
        watch.join()

    def again(self, what, call):
        """Under a killer a step is done until it has been done."""
        deadline = time.monotonic() + MIGRATE_SECONDS
        while not self.stopping.is_set():
            try:
                return call()
            except (OSError, subprocess.SubprocessError, redis.RedisError) as reason:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{what}: {reason}") from reason
                time.sleep(POLL_SECONDS)
        return None

    def add_beside(self):
        """With the users' rights as the new version has them, as an upgrade begins."""
        new = self.new
        new.install_from(self.tree, self.build)
        self.again("users of RabbitMQ", new.make_broker_users)
        new.write_redis_users()
        self.again("users of Redis", self.load_redis_users)
        self.world.shops.append(new)
        self.world.keep_shop(new)
        self.say("rollout: the new programs run beside the old ones")

    def load_redis_users(self):
        client = redis.Redis.from_url(self.new.redis("admin"), socket_timeout=5)
        client.execute_command("ACL", "LOAD")

    def migrate(self):
        began = time.monotonic()
        self.again("migrate", lambda: self.new.ctl("migrate", role="owner"))
        self.migrated_in = time.monotonic() - began
        self.say(f"rollout: migrated in {self.migrated_in:.1f} s")

    def retire(self):
        self.world.retire_shop(self.old)
        self.world.shops.remove(self.old)
        self.say("rollout: the old programs are out")

    def watch(self):
        """How long at a stretch no edge said that it was ready."""
        since = None
        while not self.stopping.wait(READY_POLL_SECONDS):
            ready = [ask(f"{url}/readyz", 1)[0] == 200 for url in self.world.urls()]
            now = time.monotonic()
            since = None if any(ready) else since or now
            if since:
                self.longest_unready = max(self.longest_unready, now - since)

    def violations(self):
        """That a step could not be done is one."""
        yield from self.faults
        if self.migrated_in is None or self.old in self.world.shops:
            yield "the rollout did not come to its end"

    def figures(self):
        yield "rollout: migrated in", \
            f"{self.migrated_in:.1f} s" if self.migrated_in is not None else "never"
        yield "rollout: longest without a ready edge", f"{self.longest_unready:.1f} s"
