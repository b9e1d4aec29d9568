"""The operators that fit into a budget of time or of operators."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from profiler.planning.deadline import CLOSING
from profiler.planning.estimate import estimate_seconds, operator_seconds, visiting_seconds
from profiler.planning.plan import CampaignPlan, limit_operators
from profiler.prediction.predictor import MIN_MEASURED
from profiler.prediction.rows import base_times
from search.errors import UsageError
from search.table.store import read_table

# A budget in time buys no more: the predictor's cost grows with the cube of the number of
# rows, and its errors hardly fall.
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
    plan: CampaignPlan,
    *,
    budget_s: float | None = None,
    max_operators: int | None = None,
    from_table: Path | None = None,
) -> CampaignPlan:
    """The plan of a whole table, cut down to a budget; the rest is predicted.

    Args:
        plan: The plan of a whole table.
        budget_s: Seconds that the campaign may take.
        max_operators: Operators to measure, where no time is given.
        from_table: Another device's table, from which the prediction starts.

    Raises:
        UsageError: A budget that is too small, or contradicting settings.
        TableError: `from_table` lacks operators.
    """
    if budget_s is not None:
        max_operators = operators_within(plan, (1 - CLOSING) * budget_s)
    if max_operators is not None and max_operators >= plan.wanted:
        return plan  # all of them: nothing is left to predict
    source = from_table.resolve() if from_table is not None else None
    settings = replace(
        plan.settings,
        max_operators=max_operators,
        from_table=str(source) if source is not None else None,
        budget_s=budget_s,
    )
    limited = limit_operators(plan, settings)
    if source is not None:
        base_times(read_table(source), [*limited.operators, *limited.predicted])
    return limited


def operators_within(plan: CampaignPlan, budget_s: float) -> int:
    """The most operators whose campaign is expected to end within the budget.

    Raises:
        UsageError: Not even the fewest do; the message tells how long they take.
    """
    fewest_s = estimate_seconds(_limited(plan, MIN_MEASURED))
    if fewest_s > budget_s:
        raise UsageError(
            f"A budget of {budget_s:.0f} s is too small: {MIN_MEASURED} operators and the "
            f"networks of the exam take about {fewest_s:.0f} s.",
            "Give more time, add --fast, or fewer --networks.",
        )
    most = MIN_MEASURED + int((budget_s - fewest_s) / visiting_seconds(plan.settings.effort)) + 1
    most = min(max(plan.wanted, MIN_MEASURED), most, MOST_MEASURED)
    ordered = _limited(plan, most).operators
    more_s = np.cumsum(operator_seconds(plan, ordered[MIN_MEASURED:]))
    return MIN_MEASURED + int((fewest_s + more_s <= budget_s).sum())


def _limited(plan: CampaignPlan, number: int) -> CampaignPlan:
    return limit_operators(plan, replace(plan.settings, max_operators=number))
