"""From a budget to the operators that fit into it, and from a table to its refinement."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from profiler.planning.deadline import CLOSING
from profiler.planning.estimate import estimate_seconds, operator_seconds, visiting_seconds
from profiler.planning.plan import make_plan
from profiler.prediction.predictor import MIN_MEASURED
from profiler.prediction.rows import base_times
from profiler.settings import PRESETS, Effort, Settings
from search.architecture import Architecture
from search.errors import TableError, UsageError
from search.table.entries import Entry
from search.table.store import Table, read_table

# A budget in time buys no more: the process's cost grows with the cube, its errors hardly fall.
MOST_MEASURED = 2000
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)([smh])")


def parse_budget(text: str) -> float:
    """Seconds of a duration such as 90s, 15m or 1.5h.

    Raises:
        UsageError: Not a duration, or none at all.
    """
    match = _BUDGET.fullmatch(text)
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if seconds <= 0:
        raise UsageError(f"--budget {text!r} is no duration.", "Write 90s, 15m or 1.5h.")
    return seconds


def with_budget(
    settings: Settings,
    *,
    budget: str | None,
    max_operators: int | None,
    from_table: Path | None,
) -> Settings:
    """Settings that measure no more than asked for, checked before any work.

    Raises:
        UsageError: Contradicting options, or a budget that is too small.
        TableError: `from_table` lacks operators.
    """
    if budget is not None and max_operators is not None:
        raise UsageError("--budget and --max-operators exclude each other.")
    source = str(from_table.resolve()) if from_table is not None else None
    budget_s = None if budget is None else parse_budget(budget)
    if budget_s is not None:
        max_operators = operators_within(settings, (1 - CLOSING) * budget_s)
    if max_operators is not None and max_operators >= make_plan(settings).wanted:
        return settings  # all of them: nothing is left to predict
    chosen = replace(settings, max_operators=max_operators, from_table=source, budget_s=budget_s)
    if source is not None:
        plan = make_plan(chosen)
        base_times(read_table(Path(source)), [*plan.operators, *plan.predicted])
    return chosen


def operators_within(settings: Settings, budget_s: float) -> int:
    """The most operators whose campaign is expected to end within the budget.

    Raises:
        UsageError: Not even the fewest do; says how long they take.
    """
    wanted = make_plan(settings).wanted
    fewest_s = estimate_seconds(replace(settings, max_operators=MIN_MEASURED))
    if fewest_s > budget_s:
        raise UsageError(
            f"A budget of {budget_s:.0f} s is too small: {MIN_MEASURED} operators and the "
            f"networks of the exam take about {fewest_s:.0f} s.",
            "Give more time, add --fast, or fewer --networks.",
        )
    most = MIN_MEASURED + int((budget_s - fewest_s) / visiting_seconds(settings.effort)) + 1
    most = min(max(wanted, MIN_MEASURED), most, MOST_MEASURED)
    ordered = make_plan(replace(settings, max_operators=most)).operators
    more_s = np.cumsum(operator_seconds(settings, ordered[MIN_MEASURED:]))
    return MIN_MEASURED + int((fewest_s + more_s <= budget_s).sum())


# --- refinement --------------------------------------------------------------------


def unsure(table: Table, networks: Sequence[Architecture]) -> tuple[Entry, ...]:
    """Predicted rows that networks use, the widest interval in microseconds first.

    Raises:
        MissingOperator: A network needs an operator that the table lacks.
    """
    dtype = table.manifest.protocol.dtype
    uses: dict[str, int] = {}
    for network in networks:
        for operator in network.with_dtype(dtype).operators:
            if operator.kind != "skip":
                table.lookup(operator)
                uses[operator.key] = uses.get(operator.key, 0) + 1
    rows = [e for e in table.entries if e.status == "predicted" and e.key in uses]
    return tuple(sorted(rows, key=lambda e: -uses[e.key] * _width_us(e)))


def _width_us(entry: Entry) -> float:
    assert entry.low_us is not None
    assert entry.high_us is not None
    return entry.high_us - entry.low_us


def refined_settings(
    table: Table,
    networks: Sequence[Architecture],
    *,
    device: str,
    more: int,
    effort: Effort | None = None,
) -> Settings:
    """A campaign that measures what it measured before and the `more` least sure rows.

    Everything is measured again: rows of two runs never share a table.

    Raises:
        UsageError: Nothing that these networks use is predicted.
        TableError: The table has no predicted rows.
    """
    manifest = table.manifest
    if manifest.prediction is None:
        raise TableError(
            f"{table.label} has no predicted rows.", "Refine a table made with --budget."
        )
    rows = unsure(table, networks)[:more]
    if not rows:
        raise UsageError(
            "Every operator of these networks was measured already.",
            "Name other networks, or measure the whole table.",
        )
    protocol = manifest.protocol
    before = [e.key for e in table.entries if e.status != "predicted"]
    keys = (*before, *(row.key for row in rows))
    return Settings(
        device=device,
        space=manifest.space.spec,
        dtype=protocol.dtype,
        backend=manifest.runtime.backend,
        threads=protocol.threads or 1,
        affinity=protocol.affinity_asked,
        runner="auto",
        seed=protocol.seed or 0,
        effort=effort or PRESETS.get(protocol.preset, PRESETS["default"]),
        max_temperature_c=protocol.temperature_limit_c,
        max_operators=len(keys),
        measure=keys,
    )
