"""The cost curve of a table: operators measured against the error of its exam.

Computed offline: of a table's measured rows only so many are taken as measured,
in the order in which a budget would choose them; the others are predicted, the
model is calibrated on the table's own calibration networks and examined on its
exam's, as a campaign with that budget would have done.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deploy.artefact import ExportSpec
from profiler.analysis.arrays import Array
from profiler.analysis.exam import MeasuredNetwork, examine, fit_model
from profiler.analysis.judge import judge
from profiler.analysis.timeline import make_timeline, sampled_blocks
from profiler.planning.networks import draw_networks
from profiler.prediction.design import Design, design_of
from profiler.prediction.predictor import (
    MIN_MEASURED,
    PredictedTimes,
    predict_means,
    predict_times,
)
from profiler.settings import BAR_MAPE, BAR_SPEARMAN
from search.console.progress import Progress, Silent
from search.errors import TableError
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space
from search.table.columns import AGAIN
from search.table.entries import Entry, Interval, OperatorCounts
from search.table.manifest import Exam
from search.table.store import Table

_SIZES = (10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400)
_FEWEST_EXAMINED, _FEWEST_HELD_OUT = 3, 10
# Networks drawn for each one that was measured: some of them fail.
_MOST_DRAWN = 20
# A network and its time in microseconds.
TimedNetwork = tuple[ExportSpec, float]


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


def cost_curve(
    table: Table, sizes: Sequence[int] = _SIZES, progress: Progress | None = None
) -> tuple[CurvePoint, ...]:
    """Points from few to all measured operators; `progress` is told of each.

    Raises:
        TableError: The table has no exam, no raw blocks of its networks, or
            too few measured rows.
    """
    curve = _Curve(table)
    measured = len(curve.measured)
    chosen = (*(size for size in sizes if size < measured), measured)
    shown = progress or Silent()
    shown.stage("cost curve", len(chosen))
    points = []
    for size in chosen:
        points.append(curve.point(size))
        shown.advance(1, f"{size} operators")
    return tuple(points)


class _Curve:
    """A table's rows and networks, which all points share."""

    def __init__(self, table: Table) -> None:
        if table.manifest.exam is None or table.path is None:
            raise TableError(
                f"{table.label} has no exam, so nothing says what fewer operators would cost.",
                "Measure a whole table, or one with --budget.",
            )
        self.seed = table.manifest.protocol.seed or 0
        self.space: LayeredSpace = parse_space(table.manifest.space.spec)
        self.wanted = table.manifest.space.operators_expected
        self.measured: Mapping[OperatorSpec, Entry] = {
            entry.operator: entry for entry in table.entries if entry.status in ("ok", "unstable")
        }
        if len(self.measured) < MIN_MEASURED:
            raise TableError(f"{table.label} has too few measured rows for a curve.")
        self.exam, self.calibration = self._networks(table)
        used = {o for network, _ in (*self.exam, *self.calibration) for o in network.operators}
        others = [o for o in used if o.kind != "skip" and o not in self.measured]
        self.operators = (*self.measured, *sorted(others, key=lambda o: o.key))

    def _networks(self, table: Table) -> tuple[list[TimedNetwork], list[TimedNetwork]]:
        """Networks of the exam and of the calibration, with their times."""
        times_us = network_times_us(table)
        examined_us = dict(zip(table.exam["network"], table.exam["measured_us"], strict=True))
        number = _networks_drawn([*times_us, *examined_us], table.label)
        exam: list[TimedNetwork] = []
        calibration: list[TimedNetwork] = []
        for network in draw_networks(self.space, number, self.seed):
            if network.name in examined_us:
                exam.append((network, float(examined_us[network.name])))
            elif network.name in times_us:
                calibration.append((network, times_us[network.name]))
        if len(exam) != len(examined_us) or len(exam) < _FEWEST_EXAMINED or not calibration:
            raise TableError(f"{table.label} does not hold the blocks of its random networks.")
        return exam, calibration

    def point(self, number: int) -> CurvePoint:
        """The table as it would be with so many operators measured."""
        design = design_of(self.space, tuple(self.measured), number)
        fitted, first_us = self._predict(design)
        measured = set(design.operators)
        rows = {
            operator: self.measured[operator]
            if operator in measured
            else _predicted_entry(operator, fitted.us[n], None if first_us is None else first_us[n])
            for n, operator in enumerate(self.operators)
        }
        held_out = [
            n for n, o in enumerate(self.operators) if o in self.measured and o not in measured
        ]
        row_mape, row_coverage = self._row_errors(fitted, held_out)
        exam = self._examine(rows)
        return CurvePoint(
            operators=number,
            share=number / self.wanted,
            exam_mape=exam.mape.value,
            exam_spearman=exam.spearman.value,
            exam_coverage=exam.interval_coverage,
            row_mape=row_mape,
            row_coverage=row_coverage,
        )

    def _predict(self, design: Design) -> tuple[PredictedTimes, Array | None]:
        """Times of all operators and of their first calls, from those of a design."""
        measured = set(design.operators)
        indices = np.array([n for n, o in enumerate(self.operators) if o in measured])
        rows = [self.measured[self.operators[n]] for n in indices]
        us = np.array([row.known_time.centre_us for row in rows], dtype=float)
        random = np.array([self.operators[n] in design.drawn for n in indices])
        predicted = predict_times(self.operators, indices, us, None, random).predicted
        first_us = [row.first_call.centre_us for row in rows if row.first_call is not None]
        if len(first_us) < len(rows):
            return predicted, None
        return predicted, predict_means(self.operators, indices, np.array(first_us, dtype=float))

    def _row_errors(
        self, fitted: PredictedTimes, held_out: list[int]
    ) -> tuple[float | None, float | None]:
        """Mean relative error and coverage of rows that were held out; None if too few were."""
        if len(held_out) < _FEWEST_HELD_OUT:
            return None, None
        true_us = np.array(
            [self.measured[self.operators[n]].known_time.centre_us for n in held_out]
        )
        inside = (fitted.low_us[held_out] <= true_us) & (true_us <= fitted.high_us[held_out])
        return float(np.abs(fitted.us[held_out] / true_us - 1).mean()), float(inside.mean())

    def _examine(self, rows: Mapping[OperatorSpec, Entry]) -> Exam:
        model = fit_model(_measured_networks(self.calibration, rows), self.seed)
        if model is None:
            raise TableError("Too few calibration networks for a curve.")
        priced = {operator: model.price(entry) for operator, entry in rows.items()}
        exam, _ = examine(
            _measured_networks(self.exam, priced),
            model.calibration,
            bar_mape=BAR_MAPE,
            bar_spearman=BAR_SPEARMAN,
            seed=self.seed,
        )
        return exam


def _networks_drawn(names: Sequence[str], label: str) -> int:
    """How many networks a campaign drew, by the names of those that it measured.

    Raises:
        TableError: Names that no campaign gives, or numbers far beyond the networks there are.
    """
    numbers = [re.fullmatch(r"random-\d{1,20}-(\d{3,9})", name) for name in names]
    drawn = 1 + max((int(match[1]) for match in numbers if match), default=0)
    if not all(numbers) or drawn > _MOST_DRAWN * (len(names) + 1):
        raise TableError(f"{label} names random networks that no campaign draws.", AGAIN)
    return drawn


def _predicted_entry(operator: OperatorSpec, us: float, first_us: float | None) -> Entry:
    return Entry(
        key=operator.key,
        status="predicted",
        time=Interval(centre_us=float(us)),
        first_call=None if first_us is None else Interval(centre_us=float(first_us)),
        counts=OperatorCounts.of(operator),
    )


def _measured_networks(
    networks: Sequence[TimedNetwork], rows: Mapping[OperatorSpec, Entry]
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
    """Every random network of the campaign, judged from its raw blocks as the campaign did."""
    blocks = sampled_blocks(table.samples())
    protocol = table.manifest.protocol
    timeline = make_timeline(
        blocks if protocol.state_reference else {}, sustained=protocol.sustained is not None
    )
    times_us = {}
    for name in blocks:
        if not name.startswith("random-"):
            continue
        measurement = judge(
            timeline.blocks.get(name, blocks[name]),
            target=0.05,
            seed=0,
            slow_windows=timeline.slow,
            clock_khz=protocol.clock_khz,
        )
        if measurement is not None:
            times_us[name] = measurement.centre_us
    return times_us
