"""Means over seeds with their intervals, and the settings that no other one beats."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.sweep.outcome import Outcome

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean and half the width of its 95 % t-interval; None with fewer than two values."""

    value: float
    half_width: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSummary:
    """All runs of one setting.

    Attributes:
        values: Of the setting, by key.
        runs: How many finished.
        failed: How many failed.
        accuracy, cost: Over the runs that finished; None where none did.
        on_front: No other setting of the same cost is as cheap and as accurate, and better
            in one of them, by the means.
    """

    values: Mapping[str, str]
    runs: int
    failed: int
    accuracy: Mean | None
    cost: Mean | None
    cost_name: str
    on_front: bool = False


def mean_of(values: Sequence[float]) -> Mean | None:
    """Mean and interval of independent values; None of none."""
    if not values:
        return None
    number, mean = len(values), math.fsum(values) / len(values)
    if number < 2:
        return Mean(value=mean)
    from scipy.stats import t

    variance = math.fsum((value - mean) ** 2 for value in values) / (number - 1)
    quantile = float(t.ppf(0.5 + _CONFIDENCE / 2, number - 1))
    return Mean(value=mean, half_width=quantile * math.sqrt(variance / number))


def summarise(
    settings: Sequence[tuple[Mapping[str, str], Sequence[Outcome]]],
) -> list[SettingSummary]:
    """One summary a setting, in the order given, the front marked."""
    rows = [_summary(values, outcomes) for values, outcomes in settings]
    points = [_point(row) for row in rows]
    return [
        SettingSummary(
            values=row.values,
            runs=row.runs,
            failed=row.failed,
            accuracy=row.accuracy,
            cost=row.cost,
            cost_name=row.cost_name,
            on_front=point is not None
            and not any(_beats(other, point) for other in points if other is not None),
        )
        for row, point in zip(rows, points, strict=True)
    ]


def _summary(values: Mapping[str, str], outcomes: Sequence[Outcome]) -> SettingSummary:
    sound = [outcome for outcome in outcomes if not outcome.failed]
    return SettingSummary(
        values=values,
        runs=len(sound),
        failed=len(outcomes) - len(sound),
        accuracy=mean_of([o.accuracy for o in sound if o.accuracy is not None]),
        cost=mean_of([o.cost for o in sound if o.cost is not None]),
        cost_name=sound[0].cost_name if sound else "",
    )


_Point = tuple[str, float, float]


def _point(row: SettingSummary) -> _Point | None:
    if row.accuracy is None or row.cost is None:
        return None
    return row.cost_name, row.cost.value, row.accuracy.value


def _beats(one: _Point, other: _Point) -> bool:
    """Whether the first costs no more of the same, is no less accurate, and better in one."""
    same = one[0] == other[0]
    return same and one[1] <= other[1] and one[2] >= other[2] and one != other
