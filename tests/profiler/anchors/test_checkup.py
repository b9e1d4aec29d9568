"""`python -m profiler checkup` of a device that has a table."""

import json
from typing import Any

import pytest

from device_agents.simulated.truth import Truth
from search.table.store import Table
from tests.profiler.anchors.conftest import slowed
from tests.profiler.conftest import Bench, Finished


def checkup(bench: Bench, *words: str, **options: Any) -> Finished:
    device = bench.device(**{"noise": 0.005, "clock_khz": 2_000_000, **options})
    return bench.call("checkup", "--device", device, *words)


def machine(done: Finished) -> dict[str, Any]:
    (check,) = json.loads(done.out)["checks"]
    assert check["name"] == "machine"
    found: dict[str, Any] = check
    return found


def test_it_says_how_much_the_machine_moved_since_the_table(bench: Bench, steady: Table) -> None:
    done = checkup(bench, "--table", str(steady.path), "--format", "json", **slowed(1.08))
    assert done.code == 0, done.err
    check = machine(done)
    assert check["facts"]["factor"] == pytest.approx(1.08, rel=0.01)
    assert check["facts"]["table"] == steady.label
    assert len(check["facts"]["operators_us"]) == check["facts"]["anchors"]
    assert "slower than when the table was made" in check["says"]


def test_the_newest_table_of_the_devices_usual_setting_is_taken(bench: Bench) -> None:
    small = {"exam": 0, "calibration": 0, "passes": 2}
    truth = Truth(noise=0.005, clock_khz=2_000_000)
    bench.measure(truth, bench.settings(**small))
    own = bench.measure(truth, bench.settings(**small))
    bench.measure(truth, bench.settings(threads=2, **small))
    done = checkup(bench, "--tables", str(bench.output), "--format", "json")
    assert machine(done)["facts"]["table"] == own.label


def test_a_machine_beyond_the_bound_fails_with_the_command(bench: Bench, steady: Table) -> None:
    done = checkup(bench, "--table", str(steady.path), **slowed(1.3))
    assert done.code == 1
    assert "measure the table again: python -m profiler --device simulated" in done.out


def test_without_a_table_only_phones_have_a_checkup(bench: Bench) -> None:
    done = checkup(bench, "--tables", str(bench.output))
    assert done.code == 2
    assert "needs no checkup, and no table" in done.err


def test_a_table_without_anchors_is_said_to_have_none(bench: Bench) -> None:
    shaky = bench.measure(Truth(noise=0.3), bench.settings(target_relative_ci=0.9))
    done = checkup(bench, "--table", str(shaky.path))
    assert done.code == 0
    assert "not compared with its state then" in done.out


def test_anchors_that_the_device_refuses_are_a_failed_check(bench: Bench, steady: Table) -> None:
    done = checkup(bench, "--table", str(steady.path), refuse="_b1_")
    assert done.code == 1
    assert "only 0 of 8 operators of the table could be timed" in done.out
