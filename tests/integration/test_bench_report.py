# SPDX-License-Identifier: Apache-2.0
"""make bench judges what it measured: exit 1 below a floor. Nothing is timed here."""
import itertools
import json
import pathlib
import sys
import types
from unittest import mock

import pytest

BENCH = pathlib.Path(__file__).resolve().parents[1] / "bench"
KEYS = {"name", "value", "unit", "against", "against_value", "ratio", "at_least"}
# As docs/adr/0007-performance.md, 0013 and the order that this was built to say.
FLOORS = {"post_order": 3.0, "get_order_hot": 0.4, "relay": 0.7, "reserve_long_stream": 0.8,
          "hot_stock": 0.9, "order_to_confirmed": 0.16, "lone_order": 0.45, "idle": 1.0,
          "shed": 0.85}


@pytest.fixture
def bench(monkeypatch):
    """The bench's own modules by name."""
    monkeypatch.syspath_prepend(str(BENCH))
    import report
    import rows
    import run
    yield {"report": report, "rows": rows, "run": run}
    for name in ("report", "rows", "run", "house", "load", "lone", "processes", "shedding"):
        sys.modules.pop(name, None)


@pytest.fixture
def report(bench, tmp_path):
    return bench["report"].Report(tmp_path / "report.json")


def test_given_a_ratio_below_its_floor_then_it_is_named_and_the_exit_code_is_1(report, capsys):
    report.compare("post_order", "orders/s", [300, 290, 310], "pgbench", [101, 100, 99], 3.01)
    report.compare("relay", "events/s", [80], "librabbitmq alone", [100], 0.7)
    assert report.conclude() == 1
    told = capsys.readouterr().out
    assert "post_order: 3.0 is below its floor of 3.01" in told
    assert "relay: 0.8 is below" not in told


def test_given_ratios_at_their_floor_or_without_one_then_the_exit_code_is_0(report):
    report.compare("post_order", "orders/s", [300], "pgbench", [100], 3.0)
    report.compare("post_order_cte", "orders/s", [1], "pgbench", [100], None)
    report.add("post_order_p99", 50.0, "ms")
    assert report.conclude() == 0


def test_given_nothing_on_the_other_side_then_a_row_with_a_floor_fails(report):
    report.compare("relay", "events/s", [80], "librabbitmq alone", [0], 0.7)
    assert report.conclude() == 1


def test_given_rows_then_the_file_holds_them_with_their_medians(report):
    report.compare("post_order", "orders/s", [310, 100, 300], "pgbench", [100, 9, 101], 3.0)
    report.add("post_order_p50", 9.0, "ms")
    rows = json.loads(report.path.read_text())
    assert all(set(row) == KEYS for row in rows)
    assert (rows[0]["value"], rows[0]["against_value"], rows[0]["ratio"]) == (300, 100, 3.0)
    assert (rows[1]["ratio"], rows[1]["at_least"]) == (None, None)


def test_given_the_rows_of_the_bench_then_each_has_its_floor(bench):
    assert bench["rows"].FLOORS == FLOORS
    assert set(bench["run"].ROWS) == set(FLOORS)


class NoHouse:
    """Starts no servers and remembers that it was removed."""
    removed = 0

    def __init__(self, link, build):
        pass

    def start(self):
        pass

    def remove(self):
        NoHouse.removed += 1


@pytest.mark.parametrize(("measured", "code"), [(2.9, 1), (3.1, 0)])
def test_given_the_whole_program_then_its_exit_code_is_the_judgement(
        bench, monkeypatch, tmp_path, measured, code):
    run = bench["run"]
    monkeypatch.setattr(run, "House", NoHouse)
    monkeypatch.setattr(run, "warm_up", lambda house: None)
    monkeypatch.setattr(run, "measure", lambda house, report: report.compare(
        "post_order", "orders/s", [measured], "pgbench", [1.0], FLOORS["post_order"]))
    monkeypatch.setattr(sys, "argv", ["run.py", "--build", str(tmp_path)])
    monkeypatch.delenv("BENCH_KEEP", raising=False)
    before = NoHouse.removed
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == code
    assert NoHouse.removed == before + 1
    assert json.loads((tmp_path / "bench" / "report.json").read_text())[0]["ratio"] == measured


def fake_load():
    """wrk and pgbench that measure nothing."""
    told = {"requests": 100, "seconds": 1.0, "p50_us": 5000, "p99_us": 25000}
    return types.SimpleNamespace(
        wrk=lambda *_, **__: dict(told), check_keys=lambda *_: None,
        Pgbench=lambda house: types.SimpleNamespace(best=lambda *_: 25.0))


def fake_processes(house):
    clock = itertools.count(1)
    return types.SimpleNamespace(
        cpu_us=lambda: dict.fromkeys(("nginx", "postgres", "redis"), 5000 * next(clock)),
        memory_mib=lambda: {"nginx": 11.5, "postgres": 175.0, "redis": 264.0, "rabbitmq": 104.0})


def test_given_a_run_then_every_promised_row_and_figure_is_there(bench, report, monkeypatch):
    rows = bench["rows"]
    monkeypatch.setattr(rows, "load", fake_load())
    monkeypatch.setattr(rows, "Processes", fake_processes)
    monkeypatch.setattr(rows, "ask", lambda *_: (200, b"{}"))
    house = mock.MagicMock(token="t")
    shared = rows.Bench(house, report, seconds=1, rounds=3)
    rows.post_order(shared)
    rows.get_order_hot(shared)
    found = {row["name"]: row for row in json.loads(report.path.read_text())}
    compared = {"post_order", "post_order_cte", "post_order_random_keys", "get_order_hot"}
    assert {name for name, row in found.items() if row["ratio"] is not None} == compared
    assert (found["post_order"]["ratio"], found["post_order"]["at_least"]) == (4.0, 3.0)
    for name, unit in (("post_order", "order"), ("get_order_hot", "read")):
        assert (found[name + "_p50"]["value"], found[name + "_p99"]["value"]) == (5.0, 25.0)
        for process in ("nginx", "postgres", "redis"):
            cpu = found[f"{name}_cpu_{process}"]
            assert (cpu["value"], cpu["unit"]) == (50.0, f"µs/{unit}")
    for process in ("nginx", "postgres", "redis", "rabbitmq"):
        assert found[f"post_order_memory_{process}"]["unit"] == "MiB"
