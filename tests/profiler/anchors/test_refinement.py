"""A refinement on a machine that has moved is stated at the state of the table that it refines."""

import random
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from device_agents.simulated.truth import Truth
from search.architecture import write_architecture
from search.spaces.registry import make_space
from search.table.store import Table, read_table
from tests.profiler.anchors.conftest import slowed
from tests.profiler.conftest import Bench

MINI = make_space("fbnet-mini")


@pytest.fixture(scope="module")
def partly(
    tmp_path_factory: pytest.TempPathFactory,
    bench_at: Callable[[Path], AbstractContextManager[Bench]],
) -> Table:
    """A table of which 16 operators were measured."""
    with bench_at(tmp_path_factory.mktemp("partly")) as bench:
        truth = Truth(noise=0.005, clock_khz=2_000_000)
        return bench.measure(truth, bench.settings(max_operators=16))


def refine(bench: Bench, table: Table, *words: str, **options: object) -> Table:
    path = bench.folder / "arch.json"
    write_architecture(MINI.random_architecture(random.Random(4), "mine"), path)
    device = bench.device(**{"noise": 0.005, "clock_khz": 2_000_000, **options})
    done = bench.call(
        *("refine", str(table.path), "--from", str(path), "--max-operators", "2"),
        *("--device", device, "--fast", "--precision", "50", "-o", str(bench.output), "-q"),
        *words,
    )
    assert done.code in (0, 1), done.err
    (folder,) = bench.written()
    return read_table(folder)


def ratios(new: Table, old: Table) -> list[float]:
    before = {
        entry.key: entry.known_time.centre_us for entry in old.entries if entry.status == "ok"
    }
    return [
        entry.known_time.centre_us / before[entry.key]
        for entry in new.entries
        if entry.key in before
    ]


@pytest.mark.parametrize("factor", [1.0, 1.08, 0.95])
def test_old_and_new_rows_and_networks_are_at_the_old_state(
    bench: Bench, partly: Table, factor: float
) -> None:
    refined = refine(bench, partly, **slowed(factor))
    assert np.median(ratios(refined, partly)) == pytest.approx(1, abs=0.005)
    truth = Truth()
    measured = [entry for entry in refined.entries if entry.status == "ok"]
    before = {entry.key for entry in partly.entries if entry.status == "ok"}
    added = [entry for entry in measured if entry.key not in before]
    assert len(added) == 2
    for entry in added:
        own = truth.program_us((entry.operator,))
        assert entry.known_time.centre_us == pytest.approx(own, rel=0.02)
        assert entry.spread.min_us is not None
        assert entry.spread.min_us == pytest.approx(own, rel=0.06)
    assert refined.exam["measured_us"].mean() == pytest.approx(
        partly.exam["measured_us"].mean(), rel=0.01
    )
    note = next(note for note in refined.manifest.notes if "stated at the state" in note)
    stated = re.search(r"divided by ([\d.]+), as", note)
    assert stated is not None
    assert float(stated[1]) == pytest.approx(factor, rel=0.01)


def test_the_clock_is_left_to_the_clock(bench: Bench, partly: Table) -> None:
    refined = refine(bench, partly, **slowed(1.08, clock_khz=1_600_000))
    assert refined.manifest.protocol.clock_khz == 1_600_000
    assert np.median(ratios(refined, partly)) == pytest.approx(1.25, rel=0.005)


def test_a_machine_that_moved_too_far_is_measured_as_it_is(bench: Bench, partly: Table) -> None:
    refined = refine(bench, partly, **slowed(1.3))
    assert np.median(ratios(refined, partly)) == pytest.approx(1.3, rel=0.01)
    assert any(
        "times are of the machine as it was in this run" in n for n in refined.manifest.notes
    )
    assert any("more than 10%" in n for n in refined.manifest.notes)


def test_a_table_of_another_device_or_without_steady_rows_changes_nothing(
    bench: Bench, partly: Table
) -> None:
    device = partly.manifest.device.model_copy(update={"id": "phone"})
    manifest = partly.manifest.model_copy(update={"device": device})
    unsteady = tuple(replace(entry, status="unstable") for entry in partly.entries[:16])
    wrong = {
        "has another device": replace(partly, manifest=manifest),
        "0 operators are steady": replace(partly, entries=unsteady),
    }
    truth = Truth(**slowed(1.08, noise=0.005, clock_khz=2_000_000))
    for sentence, reference in wrong.items():
        new = bench.measure(truth, bench.settings(max_operators=16), state_of=reference)
        assert np.median(ratios(new, partly)) == pytest.approx(1.08, rel=0.005)
        assert any(sentence in note for note in new.manifest.notes)
