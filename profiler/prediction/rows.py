"""Rows of operators that were not measured, marked as predicted, and their manifest entry."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from profiler.analysis.arrays import Array
from profiler.prediction.features import COMPONENTS, DESCRIPTORS
from profiler.prediction.predictor import (
    LEVEL,
    METHOD,
    TRANSFER_METHOD,
    Fitted,
    predict_means,
    predict_times,
)
from search.errors import TableError
from search.operators.spec import OperatorSpec
from search.table.entries import Entry, Interval, OperatorCounts
from search.table.manifest import Prediction
from search.table.store import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedRows:
    """Rows for the operators that were left out, and how far to trust them."""

    entries: tuple[Entry, ...]
    prediction: Prediction


def predict_rows(
    measured: Sequence[Entry],
    missing: Sequence[OperatorSpec],
    design: str,
    source: Table | None = None,
    randomly_chosen: Collection[OperatorSpec] = (),
) -> PredictedRows:
    """Predict what is missing from what was measured.

    Args:
        measured: Rows with times, of this device.
        missing: Operators that were not measured.
        design: How the measured ones were chosen, for the manifest.
        source: The table that a transfer starts from.
        randomly_chosen: Those of the measured operators that were chosen at random.

    Raises:
        UsageError: Too few rows were measured.
        TableError: The source lacks operators.
    """
    operators = [*(entry.operator for entry in measured), *missing]
    indices = np.arange(len(measured))
    centre_us = np.array([entry.known_time.centre_us for entry in measured], dtype=float)
    base = None if source is None else base_times(source, operators)
    random = np.array([entry.operator in randomly_chosen for entry in measured], dtype=bool)
    fitted = predict_times(operators, indices, centre_us, base, random)
    calls_us = [entry.first_call.centre_us for entry in measured if entry.first_call is not None]
    first_us = None
    if len(calls_us) == len(measured):
        first_us = predict_means(operators, indices, np.array(calls_us, dtype=float), base)
    entries = tuple(
        _entry(operator, index, fitted, first_us)
        for index, operator in enumerate(missing, len(measured))
    )
    return PredictedRows(
        entries=entries, prediction=_prediction(fitted, len(measured), design, source)
    )


def base_times(source: Table, operators: Sequence[OperatorSpec]) -> Array:
    """Times of operators in another table, whose number format may differ.

    Raises:
        TableError: A row is missing; names it.
    """
    dtype = source.manifest.protocol.dtype
    intervals = {entry.key: entry.time for entry in source.entries}
    times_us = []
    for operator in operators:
        interval = intervals.get(replace(operator, dtype=dtype).key)
        if interval is None:
            raise TableError(
                f"{source.label} has no time of {operator.key}, so nothing can be transferred.",
                "Name a table of the same space with --from-table.",
            )
        times_us.append(interval.centre_us)
    return np.array(times_us)


def _entry(operator: OperatorSpec, index: int, fitted: Fitted, first_us: Array | None) -> Entry:
    predicted = fitted.predicted
    return Entry(
        key=operator.key,
        status="predicted",
        time=Interval(
            centre_us=float(predicted.us[index]),
            low_us=float(predicted.low_us[index]),
            high_us=float(predicted.high_us[index]),
        ),
        first_call=None if first_us is None else Interval(centre_us=float(first_us[index])),
        counts=OperatorCounts.of(operator),
    )


def _prediction(fitted: Fitted, measured: int, design: str, source: Table | None) -> Prediction:
    return Prediction(
        method=METHOD if source is None else TRANSFER_METHOD,
        features=DESCRIPTORS if source is not None else (*COMPONENTS, *DESCRIPTORS),
        operators_measured=measured,
        level=LEVEL,
        coverage=fitted.held_out.coverage,
        mape=fitted.held_out.mape,
        spearman=fitted.held_out.spearman,
        design=design,
        from_table_id=None if source is None else source.manifest.table_id,
    )
