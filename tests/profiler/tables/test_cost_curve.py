"""Cost curves, and what tables with predicted rows say of themselves."""

import json
from dataclasses import replace
from typing import Any

import pytest

from profiler.tables.cost_curve import cost_curve, network_times_us
from profiler.tables.diff import compare_tables
from search.errors import TableError
from search.latency.trust import table_problems
from search.spaces.registry import make_space
from search.table.entries import Interval
from search.table.store import Table
from tests.profiler.conftest import Bench

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def budgeted(bench_at: object, tmp_path_factory: pytest.TempPathFactory) -> Table:
    with bench_at(tmp_path_factory.mktemp("budgeted")) as bench:  # type: ignore[operator]
        space = make_space("fbnet").spec
        table: Table = bench.measure(settings=bench.settings(space=space, max_operators=45))
        return table


def test_a_curve_ends_at_the_exam_of_the_table_itself(budgeted: Table) -> None:
    points = cost_curve(budgeted)
    assert [point.operators for point in points] == [10, 15, 20, 30, 40, 45]
    assert budgeted.manifest.exam is not None
    assert points[-1].exam_mape == pytest.approx(budgeted.manifest.exam.mape.value, rel=0.02)
    assert [point.row_mape is None for point in points] == [False] * 4 + [True] * 2
    assert all(0 < (point.row_coverage or 0) <= 1 for point in points[:-2])


def test_networks_are_judged_from_their_blocks_as_the_campaign_judged_them(
    budgeted: Table,
) -> None:
    times = network_times_us(budgeted)
    for row in budgeted.exam.itertuples():
        assert times[str(row.network)] == pytest.approx(row.measured_us, rel=1e-3)


def test_a_table_without_an_exam_has_no_curve(budgeted: Table) -> None:
    manifest = budgeted.manifest.model_copy(update={"exam": None})
    with pytest.raises(TableError, match="no exam"):
        cost_curve(replace(budgeted, manifest=manifest))


def test_the_command_prints_a_curve_in_every_form(
    bench: Bench, measured: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[Any] = []

    def once(*words: Any, **options: Any) -> Any:
        """The curve is worked out once for all forms."""
        known[:] = known or [cost_curve(*words, **options)]
        return known[0]

    monkeypatch.setattr("profiler.tables.cost_curve.cost_curve", once)
    done = bench.call("curve", str(measured.path), "--format", "json")
    assert done.code == 0, done.err
    points = json.loads(done.out)["points"]
    assert points[-1]["share"] == 1
    text = bench.call("curve", str(measured.path))
    assert "exam MAPE" in text.out
    assert max(map(len, text.out.splitlines())) <= 80
    rows = bench.call("curve", str(measured.path), "--format", "csv").out.splitlines()
    assert len(rows) == len(points) + 1


def test_a_difference_never_compares_rows_that_nobody_measured(budgeted: Table) -> None:
    found = compare_tables(budgeted, budgeted)
    assert len(found.changes) == 45
    assert found.predicted == 113 - 45
    assert found.only_old == found.only_new == ()


def test_beside_predicted_rows_a_slightly_unsure_measurement_is_no_problem(
    budgeted: Table,
) -> None:
    first = next(entry for entry in budgeted.entries if entry.status == "ok")
    us = first.known_time.centre_us
    for half, bad in ((0.01, False), (0.9, True)):
        unsure = replace(
            first,
            status="unstable",
            reason="wide",
            time=Interval(centre_us=us, low_us=us * (1 - half), high_us=us * (1 + half)),
        )
        table = replace(budgeted, entries=(unsure, *budgeted.entries[1:]))
        assert any("intervals leave" in problem for problem in table_problems(table)) == bad


def test_show_says_how_many_rows_were_measured_and_prints_twenty(
    bench: Bench, budgeted: Table
) -> None:
    done = bench.call("show", str(budgeted.path))
    assert "20 slowest of 113 rows, 45 measured and 68 predicted" in done.out
    assert len(done.out.splitlines()) < 60
