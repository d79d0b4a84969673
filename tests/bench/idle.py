# SPDX-License-Identifier: Apache-2.0
"""usage: idle.py ROOT BUILD SECONDS: the CPU time, in ms, that all processes of a shop use while nobody
asks for anything. Of the tree in ROOT: its scripts, its bench, its programs."""
import pathlib
import sys
import time

ROOT, BUILD, SECONDS = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3])
SETTLE_SECONDS = 10
sys.path[0] = str(ROOT / "tests" / "bench")

from house import House  # noqa: E402
from processes import Processes, spent  # noqa: E402
from run import warm_up  # noqa: E402


def main():
    house = House(BUILD / "bench" / "idle", BUILD)
    try:
        house.start()
        warm_up(house)
        time.sleep(SETTLE_SECONDS)
        processes = Processes(house)
        before = processes.cpu_us()
        time.sleep(SECONDS)
        used = spent(before, processes.cpu_us())
    finally:
        house.remove()
    print({name: round(us / 1000) for name, us in used.items()}, file=sys.stderr)
    print(sum(used.values()) / 1000)


if __name__ == "__main__":
    main()
