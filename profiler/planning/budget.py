"""From a budget to the operators that fit into it, and from a table to its refinement."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from profiler.planning.deadline import CLOSING
from profiler.planning.estimate import estimate_seconds, operator_seconds, visiting_seconds
from profiler.planning.plan import make_plan
from profiler.prediction.predictor import MIN_MEASURED
from profiler.prediction.rows import base_times
from profiler.settings import CampaignSettings
from search.errors import UsageError
from search.table.store import read_table

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
    settings: CampaignSettings,
    *,
    budget: str | None,
    max_operators: int | None,
    from_table: Path | None,
) -> CampaignSettings:
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


def operators_within(settings: CampaignSettings, budget_s: float) -> int:
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
