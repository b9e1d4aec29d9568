"""Comparing tables: real changes are found, chance is not."""

import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.analysis.blocks import TimedBlock
from profiler.analysis.judge import judge
from profiler.cli.diff import show_difference
from profiler.tables.diff import benjamini_hochberg, compare_tables
from search.errors import TableError
from search.operators.spec import OperatorSpec
from search.spaces.registry import make_space
from search.table.entries import Entry, Interval
from search.table.store import Table

# Benjamini and Hochberg (1995), section 4.1: fifteen p-values of a real
# study. At a rate of 0.05 the largest i with p(i) <= i / 15 * 0.05 is 4:
# p(4) = 0.0095 <= 0.0133, p(5) = 0.0201 > 0.0167.
PUBLISHED = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowed(Truth):
    """A truth in which some operators take 10 % longer than they should."""

    slowed: frozenset[str] = frozenset()

    def program_us(self, specs: tuple[OperatorSpec, ...]) -> float:
        factor = 1.1 if len(specs) == 1 and specs[0].key in self.slowed else 1.0
        return factor * Truth.program_us(self, specs)


def test_benjamini_hochberg_agrees_with_the_example_of_its_paper() -> None:
    assert benjamini_hochberg(PUBLISHED, 0.05).tolist() == [True] * 4 + [False] * 11
    shuffled = PUBLISHED[::-1]
    assert benjamini_hochberg(shuffled, 0.05).tolist() == [False] * 11 + [True] * 4


def test_benjamini_hochberg_agrees_with_a_hand_computed_step_up() -> None:
    # Limits 0.0125, 0.025, 0.0375, 0.05: p(3) = 0.03 is below its own limit,
    # so p(2) = 0.028 is rejected too although it exceeds 0.025.
    assert benjamini_hochberg([0.001, 0.028, 0.03, 0.2], 0.05).tolist() == [True] * 3 + [False]
    assert benjamini_hochberg([0.02, 0.03, 0.04, 0.2], 0.05).tolist() == [False] * 4


@pytest.fixture(scope="module")
def repeats(tmp_path_factory: pytest.TempPathFactory, bench_at) -> list[Table]:
    """Six tables of one truth, each with noise of its own."""
    with bench_at(tmp_path_factory.mktemp("repeats")) as bench:
        return [
            bench.measure(settings=bench.settings(seed=seed, calibration=0, exam=0, passes=8))
            for seed in range(6)
        ]


def test_on_null_data_at_most_5_percent_of_comparisons_find_anything(
    repeats: list[Table],
) -> None:
    # Under the null every finding is false, so the rate is the share of
    # comparisons that find anything; the threshold is left out of it.
    pairs = list(itertools.combinations(repeats, 2))
    wrong = [pair for pair in pairs if any(c.significant for c in compare_tables(*pair).changes)]
    assert len(wrong) <= 0.05 * len(pairs)


def entries(seed: int, number: int = 30) -> tuple[Entry, ...]:
    """Rows whose truth is 100 us, measured in passes that differ by 3 %."""
    draw = np.random.default_rng(seed)
    found = []
    for operator in make_space("fbnet").operators[:number]:
        level = 1e6 * np.exp(draw.normal(0, 0.03, (10, 1)) + draw.normal(0, 0.01, (10, 8)))
        blocks = [
            TimedBlock(
                pass_number=k // 8, round=k % 8, loops=10, ns=ns, first_ns=None, switches=0, at_ns=k
            )
            for k, ns in enumerate(level.astype(int).ravel().tolist())
        ]
        result = judge(blocks, target=0.05)
        assert result is not None
        found.append(
            Entry(
                key=operator.key,
                status="ok",
                time=Interval(
                    centre_us=result.centre_us, low_us=result.low_us, high_us=result.high_us
                ),
            )
        )
    return tuple(found)


def test_passes_that_differ_by_3_percent_do_not_break_the_false_discovery_rate(
    measured: Table,
) -> None:
    wrong = 0
    for repeat in range(40):
        old, new = (replace(measured, entries=entries(2 * repeat + k)) for k in (0, 1))
        wrong += any(change.significant for change in compare_tables(old, new).changes)
    assert wrong <= 2


def test_repeats_of_one_truth_differ_by_less_than_the_issue_allows(repeats: list[Table]) -> None:
    difference = compare_tables(repeats[0], repeats[1])
    assert not difference.regressions
    assert difference.median_absolute <= 0.02
    assert difference.p95_absolute <= 0.06


def test_ten_operators_slowed_by_10_percent_are_all_found_and_no_others(
    repeats: list[Table], tmp_path: Path, bench_at
) -> None:
    old = repeats[0]
    planted = frozenset(entry.key for entry in old.entries[3:50:5])
    assert len(planted) == 10
    with bench_at(tmp_path) as bench:
        settings = bench.settings(seed=20, calibration=0, exam=0, passes=8)
        agent = SimulatedAgent(bench.agent_settings(), Slowed(slowed=planted))
        new = bench.measure(settings=settings, agent=agent)
    forth, back = compare_tables(old, new), compare_tables(new, old)
    assert {change.key for change in forth.regressions} == planted
    assert {change.key for change in back.improvements} == planted
    assert not forth.improvements
    assert not back.regressions
    for change in forth.regressions:
        assert change.low <= 1.1 <= change.high


SOME = 10


def test_a_significant_change_below_the_threshold_is_no_regression(measured: Table) -> None:
    exact = tuple(
        replace(entry, time=Interval(centre_us=us, low_us=us, high_us=us))
        for entry in measured.entries
        for us in (entry.known_time.centre_us,)
    )
    shifted = tuple(
        replace(entry, time=entry.known_time.scaled(factor))
        for number, entry in enumerate(exact)
        for factor in (1.08 if number < SOME else 1.0,)
    )
    old, new = replace(measured, entries=exact), replace(measured, entries=shifted)
    assert len(compare_tables(old, new, threshold=0.05).regressions) == SOME
    tolerant = compare_tables(old, new, threshold=0.10)
    assert not tolerant.regressions
    assert sum(change.significant for change in tolerant.changes) == SOME


def all_slowed(table: Table, factor: float, some: int = 0, more: float = 1.0) -> Table:
    """Every row `factor` times as long, and the first `some` of them `more` times beyond that."""
    rows = tuple(
        replace(entry, time=entry.known_time.scaled(factor * (more if number < some else 1.0)))
        for number, entry in enumerate(table.entries)
    )
    return replace(table, entries=rows)


def with_two_threads(table: Table) -> Table:
    protocol = table.manifest.protocol.model_copy(update={"threads": 2})
    return replace(table, manifest=table.manifest.model_copy(update={"protocol": protocol}))


@pytest.mark.parametrize(("factor", "beyond"), [(1.03, False), (1.094, False), (1.2, True)])
def test_between_runs_of_one_setting_what_is_common_is_the_machines_state(
    measured: Table, factor: float, beyond: bool
) -> None:
    difference = compare_tables(measured, all_slowed(measured, factor))
    assert difference.common_kind == "state"
    assert difference.common_change == pytest.approx(factor - 1)
    assert difference.common_low is not None
    assert difference.common_high is not None
    assert difference.common_low < factor - 1 < difference.common_high
    assert difference.is_state_beyond_bounds is beyond
    assert not difference.regressions
    assert difference.median_absolute == pytest.approx(0, abs=1e-9)  # of operators, less that
    back = compare_tables(all_slowed(measured, factor), measured)
    assert not back.improvements
    assert back.is_state_beyond_bounds is beyond


def test_operators_that_slowed_beyond_the_machine_are_all_found_and_no_others(
    measured: Table,
) -> None:
    difference = compare_tables(measured, all_slowed(measured, 1.094, SOME, 1.2))
    assert difference.common_change == pytest.approx(0.094, abs=0.002)
    slowed = {entry.key for entry in measured.entries[:SOME]}
    assert {change.key for change in difference.regressions} == slowed
    assert not difference.improvements
    for change in difference.regressions:
        assert change.ratio == pytest.approx(1.2, abs=0.005)


@pytest.mark.parametrize(("factor", "kind", "slower"), [(1.03, "small", 0), (1.2, "kept", None)])
def test_between_settings_a_large_common_change_is_left_in_the_operators(
    measured: Table, factor: float, kind: str, slower: int | None
) -> None:
    new = with_two_threads(all_slowed(measured, factor))
    difference = compare_tables(measured, new)
    assert difference.common_kind == kind
    assert not difference.is_state_beyond_bounds
    rows = len(new.entries)
    assert len(difference.regressions) == (rows if slower is None else slower)


def test_two_threads_instead_of_one_leave_nearly_all_operators_different(measured: Table) -> None:
    draw = np.random.default_rng(0)
    rows = tuple(
        replace(entry, time=entry.known_time.scaled(float(draw.uniform(0.5, 0.75))))
        for entry in measured.entries
    )
    new = with_two_threads(replace(measured, entries=rows))
    assert len(compare_tables(measured, new).improvements) == len(rows)


def test_operators_that_slowed_unequally_have_no_state_in_common_and_all_show_it(
    measured: Table,
) -> None:
    draw = np.random.default_rng(0)
    rows = tuple(
        replace(entry, time=entry.known_time.scaled(float(draw.uniform(1.3, 2.2))))
        for entry in measured.entries
    )
    slow = replace(measured, entries=rows)
    difference = compare_tables(measured, slow)
    assert difference.common_kind == "unequal"
    assert difference.common_spread is not None
    assert difference.common_spread > 0.1
    assert len(difference.regressions) == len(rows)
    assert not compare_tables(slow, measured).regressions


def test_fewer_operators_than_a_common_change_needs_have_none(measured: Table) -> None:
    few = replace(measured, entries=measured.entries[:10])
    difference = compare_tables(few, all_slowed(few, 1.2))
    assert (difference.common_kind, difference.common_change) == ("none", None)
    assert len(difference.regressions) == 10


def test_what_too_few_operators_have_in_common_is_not_determined(
    measured: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    few = replace(measured, entries=measured.entries[:10])
    difference = compare_tables(few, all_slowed(few, 1.2))
    show_difference(difference, "table")
    assert "all operators together: not determined (10 operators, 20 would tell)" in (
        capsys.readouterr().out
    )
    show_difference(difference, "json")
    assert json.loads(capsys.readouterr().out)["common_change"] is None


def test_unstable_rows_are_marked(measured: Table, capsys: pytest.CaptureFixture[str]) -> None:
    first, *rest = measured.entries
    wide = replace(first, status="unstable", reason="wide")
    difference = compare_tables(measured, replace(measured, entries=(wide, *rest)))
    assert [change.key for change in difference.changes if change.unstable] == [first.key]
    show_difference(difference, "table")
    assert "1 unstable in a table" in capsys.readouterr().out


def test_a_table_does_not_differ_from_itself(measured: Table) -> None:
    difference = compare_tables(measured, measured)
    assert difference.identity == difference.only_old == difference.only_new == ()
    assert difference.median_absolute == difference.p95_absolute == 0
    assert {change.verdict for change in difference.changes} == {"same"}


def test_failed_and_missing_operators_are_named_and_not_compared(measured: Table) -> None:
    first, second, *rest = measured.entries
    failed = replace(first, status="failed", reason="crash: x", time=None)
    old = replace(measured, entries=(first, second, *rest))
    new = replace(measured, entries=(failed, *rest))
    difference = compare_tables(old, new)
    assert set(difference.only_old) == {first.key, second.key}
    assert [change.key for change in difference.changes] == [entry.key for entry in rest]


def test_another_device_runtime_or_thread_count_is_said_beside_the_comparison(
    measured: Table,
) -> None:
    manifest = measured.manifest
    protocol = manifest.protocol.model_copy(update={"threads": 2})
    device = manifest.device.model_copy(update={"model": "another"})
    other = replace(
        measured, manifest=manifest.model_copy(update={"protocol": protocol, "device": device})
    )
    said = compare_tables(measured, other).identity
    assert "threads: 1 -> 2" in said
    assert any(line.startswith("device: ") and line.endswith("-> another") for line in said)


def test_tables_that_share_no_operator_cannot_be_compared(measured: Table) -> None:
    empty = replace(measured, entries=())
    with pytest.raises(TableError, match="share no measured operator"):
        compare_tables(measured, empty)
