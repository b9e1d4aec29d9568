"""The cost curve of a table: operators measured against the error of its exam.

Worked out offline: of a table's measured rows only so many are taken as measured,
in the order in which a budget would choose them; the others are predicted, the
model is calibrated on the table's own calibration networks and examined on its
exam's, as a campaign with that budget would have done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from deploy.artefact import ExportSpec
from profiler.analysis.blocks import Block
from profiler.analysis.exam import MeasuredNetwork, calibrate, examine
from profiler.analysis.judge import judge
from profiler.planning.networks import draw_networks
from profiler.prediction.design import design_of
from profiler.prediction.predictor import MIN_MEASURED, predict_means, predict_times
from profiler.settings import BAR_MAPE, BAR_SPEARMAN
from search.errors import TableError
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space
from search.table.entries import Entry, Interval, OperatorCounts
from search.table.store import Table

_SIZES = (10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400)
_FEWEST_EXAMINED, _FEWEST_HELD_OUT = 3, 10
_BLOCK = {
    "pass_number": "pass",
    "round": "round",
    "loops": "loops",
    "ns": "ns",
    "first_ns": "first_ns",
    "switches": "switches",
    "at_ns": "at_ns",
    "freq_khz": "freq_khz",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """So many operators measured: errors of whole networks and of the other rows.

    `row_mape` and `row_coverage` are those of measured rows that were held out:
    mean relative error, and the share inside the predictor's intervals; None
    where too few are left to say.
    """

    operators: int
    share: float
    exam_mape: float
    exam_spearman: float
    exam_coverage: float
    row_mape: float | None
    row_coverage: float | None


def cost_curve(table: Table, sizes: Sequence[int] = _SIZES) -> tuple[CurvePoint, ...]:
    """Points from few to all measured operators.

    Raises:
        TableError: The table has no exam, no raw blocks of its networks, or
            too few measured rows.
    """
    curve = _Curve(table)
    own = len(curve.measured)
    return tuple(curve.point(size) for size in (*(size for size in sizes if size < own), own))


class _Curve:
    """What all points of one table share."""

    def __init__(self, table: Table) -> None:
        if table.manifest.exam is None or table.path is None:
            raise TableError(
                f"{table.label} has no exam, so nothing says what fewer operators would cost.",
                "Measure a whole table, or one with --budget.",
            )
        self.seed = table.manifest.protocol.seed or 0
        self.space: LayeredSpace = parse_space(table.manifest.space.spec)
        self.wanted = table.manifest.space.operators_expected
        rows = [e for e in table.entries if e.status in ("ok", "unstable")]
        self.measured: Mapping[OperatorSpec, Entry] = {e.operator: e for e in rows}
        if len(rows) < MIN_MEASURED:
            raise TableError(f"{table.label} has too few measured rows for a curve.")
        self.exam, self.calibration = self._networks(table)
        used = {o for network, _ in (*self.exam, *self.calibration) for o in network.operators}
        others = [o for o in used if o.kind != "skip" and o not in self.measured]
        self.operators = (*self.measured, *sorted(others, key=lambda o: o.key))

    def _networks(
        self, table: Table
    ) -> tuple[list[tuple[ExportSpec, float]], list[tuple[ExportSpec, float]]]:
        """Networks of the exam and of the calibration, with their times."""
        times = network_times_us(table)
        examined = dict(zip(table.exam["network"], table.exam["measured_us"], strict=True))
        number = 1 + max((int(name.rpartition("-")[2]) for name in times), default=0)
        drawn = draw_networks(self.space, number, self.seed)
        exam = [(n, float(examined[n.name])) for n in drawn if n.name in examined]
        rest = [(n, times[n.name]) for n in drawn if n.name not in examined and n.name in times]
        if len(exam) < _FEWEST_EXAMINED or not rest:
            raise TableError(f"{table.label} does not hold the blocks of its random networks.")
        return exam, rest

    def point(self, number: int) -> CurvePoint:
        """The table as it would be with so many operators measured."""
        design = design_of(self.space, tuple(self.measured), number)
        taken = set(design.operators)
        places = np.array([n for n, o in enumerate(self.operators) if o in taken])
        rows = [self.measured[self.operators[n]] for n in places]
        us = np.array([row.known_time.centre_us for row in rows], dtype=float)
        by_chance = np.array([self.operators[n] in design.drawn for n in places])
        fitted = predict_times(self.operators, places, us, None, by_chance).predicted
        first = None
        first_us = [row.first_call.centre_us for row in rows if row.first_call is not None]
        if len(first_us) == len(rows):
            first = predict_means(self.operators, places, np.array(first_us, dtype=float))
        found = {
            operator: self.measured[operator]
            if operator in taken
            else _predicted(operator, fitted.us[n], None if first is None else first[n])
            for n, operator in enumerate(self.operators)
        }
        held_out = [
            n for n, o in enumerate(self.operators) if o in self.measured and o not in taken
        ]
        if len(held_out) < _FEWEST_HELD_OUT:
            held_out = []
        true_us = np.array(
            [self.measured[self.operators[n]].known_time.centre_us for n in held_out]
        )
        inside = (fitted.low_us[held_out] <= true_us) & (true_us <= fitted.high_us[held_out])
        calibration = calibrate(_priced(self.calibration, found), self.seed)
        if calibration is None:
            raise TableError("Too few calibration networks for a curve.")
        exam, _ = examine(
            _priced(self.exam, found),
            calibration,
            bar_mape=BAR_MAPE,
            bar_spearman=BAR_SPEARMAN,
            seed=self.seed,
        )
        return CurvePoint(
            operators=number,
            share=number / self.wanted,
            exam_mape=exam.mape.value,
            exam_spearman=exam.spearman.value,
            exam_coverage=exam.interval_coverage,
            row_mape=float(np.abs(fitted.us[held_out] / true_us - 1).mean()) if held_out else None,
            row_coverage=float(inside.mean()) if held_out else None,
        )


def _predicted(operator: OperatorSpec, us: float, first_us: float | None) -> Entry:
    return Entry(
        key=operator.key,
        status="predicted",
        time=Interval(centre_us=float(us)),
        first_call=None if first_us is None else Interval(centre_us=float(first_us)),
        counts=OperatorCounts.of(operator),
    )


def _priced(
    networks: Sequence[tuple[ExportSpec, float]], rows: Mapping[OperatorSpec, Entry]
) -> list[MeasuredNetwork]:
    return [
        MeasuredNetwork(
            name=network.name,
            entries=tuple(rows[o] for o in network.operators if o.kind != "skip"),
            measured_us=us,
        )
        for network, us in networks
    ]


def network_times_us(table: Table) -> dict[str, float]:
    """Every random network of the campaign, judged from its raw blocks at the table's clock."""
    frame = table.samples()
    if not set(_BLOCK.values()) <= set(frame.columns):
        return {}
    frame = frame[frame["item"].str.startswith("random-")]
    found = {}
    for name, mine in frame.groupby("item", sort=False):
        judged = judge(
            _blocks(mine),
            target=0.05,
            seed=0,
            slow_windows=(),
            clock_khz=table.manifest.protocol.clock_khz,
        )
        if judged is not None:
            found[str(name)] = judged.centre_us
    return found


def _blocks(frame: pd.DataFrame) -> list[Block]:
    columns = {
        field: frame[name].astype(object).where(frame[name].notna(), None).tolist()
        for field, name in _BLOCK.items()
    }
    rows = zip(*columns.values(), strict=True)
    return [Block(**dict(zip(columns, row, strict=True))) for row in rows]
