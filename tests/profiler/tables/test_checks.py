"""When a table is good enough."""

from dataclasses import replace

from search.latency.trust import table_problems
from search.table.store import Table


def changed(table: Table, **manifest: object) -> Table:
    return replace(table, manifest=table.manifest.model_copy(update=manifest))


def test_a_complete_stable_and_examined_table_has_no_problems(measured: Table) -> None:
    assert table_problems(measured) == []


def test_operators_that_failed_are_counted_and_named(measured: Table) -> None:
    bad = tuple(
        replace(entry, status="failed", reason="why") if place < 3 else entry
        for place, entry in enumerate(measured.entries)
    )
    problem = table_problems(replace(measured, entries=bad))[0]
    assert problem.startswith("3 operators failed: ")
    assert all(entry.key in problem for entry in bad[:3])


def test_of_many_failed_operators_some_are_named_and_the_rest_counted(measured: Table) -> None:
    bad = tuple(replace(entry, status="failed", reason="why") for entry in measured.entries)
    problem = table_problems(replace(measured, entries=bad))[0]
    named = sum(entry.key in problem for entry in bad)
    assert 0 < named < len(bad)
    assert f"and {len(bad) - named} more" in problem


def test_missing_operators_are_a_problem_unless_a_filter_asked_for_it(measured: Table) -> None:
    space = measured.manifest.space.model_copy(update={"operators_missing": 4})
    assert table_problems(changed(measured, space=space)) == ["4 operators missing"]
    partial = space.model_copy(update={"filter": "k5"})
    assert table_problems(changed(measured, space=partial)) == []


def test_a_missing_exam_is_a_problem_unless_a_filter_forbade_it(measured: Table) -> None:
    (problem,) = table_problems(changed(measured, exam=None))
    assert "no exam" in problem
    partial = measured.manifest.space.model_copy(update={"filter": "k5"})
    assert table_problems(changed(measured, exam=None, space=partial)) == []


def test_an_exam_below_the_bar_is_told_with_its_numbers(measured: Table) -> None:
    exam = measured.manifest.exam
    assert exam is not None
    mape = exam.mape.model_copy(update={"value": 0.0721})
    failed = exam.model_copy(update={"passed": False, "mape": mape})
    (problem,) = table_problems(changed(measured, exam=failed))
    assert "below the bar" in problem
    assert "7.21%" in problem
    assert "4%" in problem
