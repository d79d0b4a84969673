# SPDX-License-Identifier: Apache-2.0
"""What a storm says at its end: the table, the violations, and the lines that scripts/check counts."""
import collections
import csv
import dataclasses

from books import derived
from checks import CHECKS, ENDS, SAGA, early_repeats, orders_of
from clients import Command
from world import STEP_SECONDS

SHOWN_MAX = 10
TEXT_MAX = 600


def verdict(found):
    if found is None:
        return "did not end"
    count = sum(map(len, found.values()))
    return "ok" if count == 0 else f"{count} violations"


def table(storm):
    """Lines of name and figure."""
    told, history = storm.told, storm.history
    orders = orders_of(history)
    ends = collections.Counter(ENDS.get(events[-1].type, "not ended") for events in orders.values())
    codes = collections.Counter(events[-1].data["code"] for events in orders.values()
                                if events[-1].type == "OrderRejected")
    acknowledged = sum(command.status == 201 for command in told.placed)
    yield "orders acknowledged", acknowledged
    yield "orders in the log", len(orders)
    for end, count in sorted(ends.items()):
        yield f"  {end}", count
    for code, count in sorted(codes.items()):
        yield f"    {code}", count
    yield "customers who left unanswered", sum(command.left for command in told.placed)
    accepted = collections.Counter(command.status for command in told.cancelled)
    yield "cancellations accepted / refused", f"{accepted[202]} / {accepted[409]}"
    for why, count in sorted(told.again.items()):
        yield f"asked again: {why}", count
    began, ended = storm.times["blown"]
    yield "longest silence for all clients", f"{told.silence(began, ended):.1f} s"
    waits = sorted(command.waited for command in told.placed + told.cancelled if command.waited)
    if waits:
        yield "longest wait of one command", f"{waits[-1]:.1f} s"
        yield "  99 % within", f"{waits[int(len(waits) * 0.99)]:.2f} s"
    commands = [event for event in history.events if event.kind == "command"]
    again = sum(event.data["attempt"] > 1 for event in commands)
    yield "saga commands / repeated", f"{len(commands)} / {again}"
    yield "  before their time was over", early_repeats(history, STEP_SECONDS)
    yield "rows of the log", len(history.events)
    yield "dead letters, explained and redriven", len(storm.redriven)
    for kind, count in sorted(letter_kinds(storm).items()):
        yield f"  of orders of kind {kind}", count
    yield "promotions", storm.world.pair.promotions
    for verb, count in sorted(storm.killer.done.items()):
        yield f"killer: {verb}", count
    if storm.killer.missed:
        yield "killer: met nobody", sum(storm.killer.missed.values())
    if storm.rollout:
        yield from storm.rollout.figures()
    yield "quiet after", f"{storm.times['checking'] - storm.times['healing']:.1f} s"


def letter_kinds(storm):
    """Of which kind of order the dead letters were: a card that never answers has some, another one
    had them because its provider's books were away for longer than the ladder."""
    kinds = {derived(command.order, SAGA): command.kind for command in storm.told.placed
             if command.order}
    sagas = {event.id: event.stream for event in storm.history.events if event.kind == "command"}
    return collections.Counter(kinds.get(sagas.get(text.partition(":")[0]), "unknown")
                               for text in storm.redriven)


def conclude(storm, found):
    """Prints; gives the exit code."""
    if found is not None:
        print()
        for name, figure in table(storm):
            print(f"  {name:37} {figure}")
        print()
        for check, violations in found.items():
            print(f"  {'FAIL' if violations else 'ok':4} {check.__doc__}")
            for text in violations[:SHOWN_MAX]:
                print(f"         {text[:TEXT_MAX]}")
            if len(violations) > SHOWN_MAX:
                print(f"         … and {len(violations) - SHOWN_MAX} more")
    if storm.arguments.report:
        storm.arguments.report.write_text("".join(lines(storm, found)))
    return 0 if found is not None and not any(found.values()) else 1


def lines(storm, found):
    seed = storm.seed
    if found is None:
        yield f"FAIL seed {seed}: did not end\n"
    for check in CHECKS if found is not None else ():
        violations = found[check]
        first = f"{violations[0][:160]}" if violations else ""
        yield f"{'FAIL' if violations else 'ok'} seed {seed}: {check.__doc__}: {first}\n"


def write_commands(path, told):
    """What the customers sent and were told."""
    names = [field.name for field in dataclasses.fields(Command)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(names)
        for command in (*told.placed, *told.cancelled):
            rows.writerow([getattr(command, name) for name in names])
