"""The page's data, computed from tables, networks and fronts; numbers, no markup."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from profiler.comparison.compare import predicted_cell, published_columns, table_column
from profiler.comparison.model import Cell, ComparisonColumn
from profiler.report.drift import drift_of
from profiler.report.fronts import Front
from profiler.report.proofs import ProofChart
from profiler.report.views import accuracy_view, flops_view, layer_view, table_labels
from profiler.tables.cost_curve import cost_curve
from profiler.tables.predict import TablePrediction, predict_network
from profiler.tables.summary import summary
from search.console.progress import Progress, Silent
from search.errors import KitError
from search.latency.trust import table_problems
from search.operators.words import short_name
from search.table.entries import Entry, Interval
from search.table.store import Table
from search.zoo.resolve import NamedNetwork

_DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContents:
    """The subjects of a report; cost curves are computed if `curves`."""

    tables: tuple[Table, ...]
    networks: tuple[NamedNetwork, ...]
    fronts: tuple[Front, ...]
    curves: bool = True
    proofs: tuple[ProofChart, ...] = ()


def page_data(contents: PageContents, progress: Progress | None = None) -> dict[str, Any]:
    """The page's data, ready to become JSON: unknown is None, no NaN.

    `progress` is told of each table, whose cost curve takes seconds.
    """
    shown = progress or Silent()
    keys = _shared_keys(contents.tables)
    labels = table_labels(contents.tables)
    tables = []
    for number, table in enumerate(contents.tables):
        shown.say(f"{table_name(number)}: {table.label}")
        tables.append(_table(table, number, labels[number], contents, shown))
    return {
        "tables": tables,
        "operators": {
            "keys": list(keys),
            "words": [short_name(key) for key in keys.values()],
            "flops": _flops(contents.tables, keys),
            "rows": [_rows(table, keys) for table in contents.tables],
        },
        "matrix": _matrix(contents),
        "fronts": [asdict(front) for front in contents.fronts],
        "flops": [flops_view(table) for table in contents.tables],
        "layers": [
            [layer_view(table, network) for network in contents.networks]
            for table in contents.tables
        ],
        "accuracy": [accuracy_view(table, contents.networks) for table in contents.tables],
    }


def table_name(number: int) -> str:
    """A table's name on the page: A, B, ... Z, T27, ..."""
    return chr(ord("A") + number) if number < 26 else f"T{number + 1}"


def _table(
    table: Table, number: int, label: str, contents: PageContents, progress: Progress
) -> dict[str, Any]:
    manifest = table.manifest
    space = manifest.space
    curve, no_curve = _curve(table, progress) if contents.curves else (None, "")
    return {
        "name": table_name(number),
        "label": table.label,
        "source": manifest.source,
        "device": manifest.device.model or manifest.device.id,
        "setting": label,
        "lines": summary(table)[1:],
        "problems": table_problems(table),
        "coverage": {
            "expected": space.operators_expected,
            "ok": space.operators_measured,
            "unstable": space.operators_unstable,
            "predicted": space.operators_predicted,
            "failed": space.operators_failed,
            "missing": space.operators_missing,
        },
        "exam": _exam(table),
        "drift": _drift(table),
        "curve": curve,
        "no_curve": no_curve,
    }


def _exam(table: Table) -> dict[str, Any] | None:
    exam = table.manifest.exam
    if exam is None or table.exam.empty:
        return None
    numbers = table.exam[["predicted_us", "predicted_low_us", "predicted_high_us", "measured_us"]]
    rows = (numbers / 1e3).itertuples(index=False)
    return {
        "passed": exam.passed,
        "mape": exam.mape.value,
        "spearman": exam.spearman.value,
        "within5": exam.within_5_percent.value,
        "within10": exam.within_10_percent.value,
        "networks": [str(name) for name in table.exam["network"]],
        "points": [[_short(value) for value in row] for row in rows],
    }


def _curve(table: Table, progress: Progress) -> tuple[dict[str, list[float | None]] | None, str]:
    """Columns of a cost curve; or None and the reason, where a table lacks what it needs."""
    try:
        points = cost_curve(table, progress=progress)
    except KitError as error:
        return None, error.message
    names = ("operators", "share", "exam_mape", "row_mape", "row_coverage")
    return {name: [_short(getattr(point, name), 4) for point in points] for name in names}, ""


def _drift(table: Table) -> dict[str, Any] | None:
    drift = drift_of(table.samples()) if table.path is not None else None
    if drift is None:
        return None
    return {
        "minutes": [round(minute, 3) for minute in drift.minutes],
        "speed": _bands(drift.speed),
        "state": _bands(drift.state),
        "clock_ghz": _bands(drift.clock_ghz),
        "temperature_c": _bands(drift.temperature_c),
    }


def _bands(bands: Iterable[tuple[float, float, float]]) -> list[list[float | None]]:
    return [[_short(value) for value in band] for band in bands]


# --- operators -------------------------------------------------------------------


def _shared_keys(tables: Sequence[Table]) -> dict[str, str]:
    """Keys without their number format, so that fp32 and int8 stand side by side."""
    keys: dict[str, str] = {}
    for table in tables:
        for entry in table.entries:
            keys.setdefault(_without_dtype(entry.key), entry.key)
    return keys


def _without_dtype(key: str) -> str:
    return key.rpartition("_")[0]


def _flops(tables: Sequence[Table], keys: dict[str, str]) -> list[int]:
    flops = {_without_dtype(e.key): e.counts.flops for table in tables for e in table.entries}
    return [flops[key] for key in keys]


def _rows(table: Table, keys: dict[str, str]) -> dict[str, list[Any]]:
    """Columns of one table: index into the keys, us, half interval in %, first us, status."""
    index_of = {key: number for number, key in enumerate(keys)}
    return {
        "at": [index_of[_without_dtype(entry.key)] for entry in table.entries],
        "us": [_centre(entry.time) for entry in table.entries],
        "half": [_half(entry) for entry in table.entries],
        "first": [_centre(entry.first_call) for entry in table.entries],
        "status": [entry.status for entry in table.entries],
    }


def _centre(time: Interval | None) -> float | None:
    return None if time is None else _short(time.centre_us)


def _half(entry: Entry) -> float | None:
    if not entry.has_interval:
        return None
    return _short(100 * entry.relative_half_width, 3)


def _short(value: float | None, digits: int = _DIGITS) -> float | None:
    """Rounded to significant digits, so that the page stays small; None if not finite."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


# --- networks x devices ----------------------------------------------------------


def _matrix(contents: PageContents) -> dict[str, Any]:
    labels = table_labels(contents.tables)
    columns = [
        replace(table_column(table), label=label)
        for table, label in zip(contents.tables, labels, strict=True)
    ]
    cells = [
        cell
        for number, table in enumerate(contents.tables)
        for cell in _predicted_cells(contents.networks, table, number)
    ]
    for column, printed in published_columns(contents.networks, len(columns)):
        columns.append(column)
        cells += printed
    return {
        "networks": [network.name for network in contents.networks],
        "columns": [_column(column, n, contents) for n, column in enumerate(columns)],
        "cells": [asdict(cell) for cell in cells],
    }


def _column(column: ComparisonColumn, number: int, contents: PageContents) -> dict[str, Any]:
    name = table_name(number) if number < len(contents.tables) else ""
    return {"name": name, "label": column.label, "kind": column.kind, "detail": column.detail}


def _predicted_cells(networks: Sequence[NamedNetwork], table: Table, column: int) -> Iterator[Cell]:
    for network in networks:
        outcome: TablePrediction | KitError
        try:
            outcome = predict_network(table, network)
        except KitError as error:
            outcome = error
        yield predicted_cell(network.name, column, outcome)
