# SPDX-License-Identifier: Apache-2.0
"""What the measured processes cost: CPU time and memory, read from /proc."""
import os
import pathlib

TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


def fields(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def children_of(pid):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            stat = fields(entry.name)
            if stat and int(stat[1]) == pid:
                found.append(int(entry.name))
    return found


def own_cpu_us(pid):
    """User and system time; of PostgreSQL's and nginx's parent also that of children that ended."""
    stat = fields(pid)
    return sum(int(stat[at]) for at in (11, 12, 13, 14)) * TICK_US if stat else 0


def memory_mib(pid):
    """Proportional: what is shared with others is counted once over all of them."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


class Processes:
    """The running programs of a house, by name; a server counts with all its children."""

    def __init__(self, house):
        self.house = house

    def roots(self):
        found = {}
        for name in ("postgres", "rabbitmq", "redis", *self.house.children):
            path = self.house.home.path / "pids" / f"{name}.pid"
            if path.exists():
                found[name] = int(path.read_text())
        return found

    def groups(self):
        return {name: [pid, *children_of(pid)] for name, pid in self.roots().items()}

    def cpu_us(self):
        return {name: sum(map(own_cpu_us, pids)) for name, pids in self.groups().items()}

    def memory_mib(self):
        return {name: sum(map(memory_mib, pids)) for name, pids in self.groups().items()}


def spent(before, after):
    return {name: after[name] - before[name] for name in after if name in before}
