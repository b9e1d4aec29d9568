"""`python -m profiler diff` between two states of one machine."""

import json

from device_agents.simulated.truth import Truth
from search.table.store import Table
from tests.profiler.anchors.conftest import slowed
from tests.profiler.conftest import Bench


def moved(bench: Bench, factor: float) -> Table:
    options = slowed(factor, noise=0.005, clock_khz=2_000_000)
    return bench.measure(Truth(**options), bench.settings(seed=3))


def test_a_machine_within_the_bound_is_stated_and_no_operator_fails(
    bench: Bench, steady: Table
) -> None:
    new = moved(bench, 1.08)
    done = bench.call("diff", str(steady.path), str(new.path))
    assert done.code == 0, done.out
    line = next(line for line in done.out.splitlines() if line.startswith("state of the machine"))
    assert "+8." in line or "+7.9" in line
    assert line.endswith("taken out below")
    assert "0 slower, 0 faster" in done.out
    assert done.err == ""


def test_a_machine_beyond_the_bound_fails_with_the_command(bench: Bench, steady: Table) -> None:
    new = moved(bench, 1.2)
    done = bench.call("diff", str(steady.path), str(new.path))
    assert done.code == 1
    assert "BEYOND what tables should differ by" in done.out.replace("\n  ", " ")
    assert "0 slower, 0 faster" in done.out
    assert "measure the table again: python -m profiler --device simulated" in done.err
    found = json.loads(bench.call("diff", str(steady.path), str(new.path), "--format", "json").out)
    assert found["is_state_beyond_bounds"] is True


def test_a_faster_machine_beyond_the_bound_is_flagged_and_passes(
    bench: Bench, steady: Table
) -> None:
    done = bench.call("diff", str(steady.path), str(moved(bench, 0.8).path))
    assert done.code == 0
    assert "BEYOND" in done.out
