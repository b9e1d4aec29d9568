"""Networks x devices: who is fastest where, by how much, and how far that is known.

A column is one setting: a table (its cells are predictions), a device at hand
(measurements), or what authors printed. Nothing is mixed up: every cell says
what it is.
"""

import math
from collections.abc import Iterable, Sequence

from profiler.comparison.model import Agreement, Cell, Column, Comparison, Kind, Ratio, Run, Verdict
from profiler.comparison.operators import (
    LayerDifference,
    RelativeCost,
    layer_differences,
    relative_costs,
)
from profiler.tables.predict import TablePrediction, predict_network
from search.architecture import Architecture
from search.errors import DeviceError, KitError, MissingOperator, TableError, UsageError
from search.table.store import Table
from search.zoo.resolve import NamedNetwork

_Z = 1.96


def compare(
    networks: Sequence[NamedNetwork],
    tables: Sequence[Table],
    runs: Sequence[Run] = (),
    *,
    allow_simulated: bool = False,
) -> Comparison:
    """Fill the matrix, find the winners and the operators behind them.

    A network of another resolution than a table is a cell with a reason.

    Raises:
        UsageError: Simulated beside measured, or not a single cell could be
            filled (DeviceError where a device was asked).
        MissingOperator: A table lacks operators of a network.
    """
    columns = [table_column(table) for table in tables]
    columns += [_run_column(run) for run in runs]
    refuse_mixture([column.kind == "simulated" for column in columns], allow_simulated)
    priced = [[try_predict(table, network) for network in networks] for table in tables]
    cells = [
        _predicted(network.name, number, found)
        for number, row in enumerate(priced)
        for network, found in zip(networks, row, strict=True)
    ]
    cells += [
        _measured(network.name, number, run)
        for number, run in enumerate(runs, len(tables))
        for network in networks
    ]
    _refuse_nothing(cells, bool(runs))
    for column, printed in published_columns(networks, len(columns)):
        columns.append(column)
        cells += printed
    known = [[found for found in row if isinstance(found, TablePrediction)] for row in priced]
    return Comparison(
        networks=tuple(networks),
        columns=tuple(columns),
        cells=tuple(cells),
        verdicts=tuple(_verdicts(cells, len(columns))),
        agreements=tuple(_agreements(columns, cells)),
        layers=tuple(_layers(tables, known)),
        shifts=tuple(_shifts(tables, known)),
    )


# --- columns and cells


def table_column(table: Table) -> Column:
    """A table as a column of a comparison."""
    manifest = table.manifest
    exam = manifest.exam
    passed = f"exam MAPE {exam.mape.value:.1%}" if exam else ""
    kind: Kind = "predicted" if manifest.source == "measured" else manifest.source
    return Column(
        label=setting_label(
            manifest.device.id,
            manifest.protocol.dtype,
            manifest.runtime.backend,
            manifest.protocol.threads,
        ),
        kind=kind,
        detail=f"table {manifest.title}, {manifest.exam_problem or passed}",
        clock_khz=manifest.protocol.clock_khz,
    )


def setting_label(device: str, dtype: str, backend: str, threads: int | None) -> str:
    """What a column is called: the same for a table and for a run on its device."""
    return f"{device} {dtype} {backend} t{'?' if threads is None else threads}"


def _run_column(run: Run) -> Column:
    kind: Kind = "simulated" if run.simulated else "measured"
    hello, clock = run.timing.hello, run.timing.clock
    facts = [f"{hello.runner} runner"] if hello else []
    facts += [f"{timed.passes} pass(es)" for timed in list(run.timing.timed.values())[:1]]
    facts += [f"{clock.median_khz / 1e6:.2f} GHz"] if clock else []
    return Column(
        label=run.label,
        kind=kind,
        detail=", ".join(facts),
        clock_khz=clock.median_khz if clock else None,
    )


def refuse_mixture(simulated: Sequence[bool], allowed: bool) -> None:
    """Refuse simulated settings beside real ones.

    Raises:
        UsageError: Both, and not allowed.
    """
    if len(set(simulated)) > 1 and not allowed:
        raise UsageError(
            "A simulated device stands beside real ones; its times mean nothing there.",
            "Leave it out, or add --allow-simulated.",
        )


def try_predict(table: Table, network: NamedNetwork) -> TablePrediction | KitError:
    """What a table says of a network; the error if it is of another resolution.

    Raises:
        MissingOperator: The table lacks operators of the network.
    """
    try:
        return predict_network(table, network)
    except MissingOperator:
        raise
    except (UsageError, TableError) as error:
        return error


def _predicted(name: str, column: int, found: TablePrediction | KitError) -> Cell:
    if isinstance(found, KitError):
        return Cell(network=name, column=column, note=found.message)
    estimate = found.estimate
    return Cell(
        network=name,
        column=column,
        latency_us=estimate.value_us,
        low_us=estimate.low_us if found.calibrated else None,
        high_us=estimate.high_us if found.calibrated else None,
        note=found.note,
    )


def _measured(name: str, column: int, run: Run) -> Cell:
    timed = run.timing.timed.get(name)
    if timed is None:
        return Cell(network=name, column=column, note=run.timing.failed[name])
    return Cell(
        network=name,
        column=column,
        latency_us=timed.centre_us,
        low_us=timed.low_us,
        high_us=timed.high_us,
        note="" if timed.stable else f"unstable after {timed.blocks} blocks",
        stable=timed.stable,
    )


def published_columns(
    networks: Sequence[NamedNetwork], first: int
) -> Iterable[tuple[Column, list[Cell]]]:
    """What authors printed of these networks, a column a device, numbered from `first`."""
    printed: dict[str, list[tuple[str, float, str]]] = {}
    for network in networks:
        if network.published is not None:
            figures = network.published.published
            for device, ms in figures.latency_ms:
                printed.setdefault(device, []).append((network.name, ms * 1e3, figures.source))
    for number, (device, rows) in enumerate(printed.items(), first):
        sources = "; ".join(dict.fromkeys(source for _, _, source in rows))
        yield (
            Column(label=device, kind="published", detail=sources),
            [Cell(network=name, column=number, latency_us=us) for name, us, _ in rows],
        )


def _refuse_nothing(cells: Sequence[Cell], on_device: bool) -> None:
    if any(cell.latency_us is not None for cell in cells):
        return
    reasons = " ".join(list(dict.fromkeys(cell.note for cell in cells))[:3])
    raise (DeviceError if on_device else UsageError)(f"Nothing can be compared: {reasons}")


# --- verdicts


def _verdicts(cells: Sequence[Cell], columns: int) -> Iterable[Verdict]:
    for column in range(columns):
        known = [c for c in cells if c.column == column and c.latency_us is not None]
        if len(known) < 2:
            continue
        known.sort(key=lambda cell: cell.latency_us or 0.0)
        best, *rest = known
        others = tuple(_ratio(cell, best) for cell in rest)
        unknown = any(other.low is None for other in others)
        clear = None if unknown else all((other.low or 0.0) > 1 for other in others)
        yield Verdict(column=column, winner=best.network, clear=clear, others=others)


def _ratio(cell: Cell, best: Cell) -> Ratio:
    assert cell.latency_us
    assert best.latency_us
    ratio = cell.latency_us / best.latency_us
    errors = [_relative_error(cell), _relative_error(best)]
    low = high = None
    if None not in errors:
        reach = math.exp(_Z * math.sqrt(sum((error or 0.0) ** 2 for error in errors)))
        low, high = ratio / reach, ratio * reach
    return Ratio(network=cell.network, column=cell.column, ratio=ratio, low=low, high=high)


def _relative_error(cell: Cell) -> float | None:
    if cell.low_us is None or cell.high_us is None or not cell.latency_us:
        return None
    return (cell.high_us - cell.low_us) / 2 / _Z / cell.latency_us


def _agreements(columns: Sequence[Column], cells: Sequence[Cell]) -> Iterable[Agreement]:
    measured = [cell for cell in cells if columns[cell.column].kind in ("measured", "simulated")]
    for cell in cells:
        mine = columns[cell.column]
        for other in measured:
            theirs = columns[other.column]
            if other.column <= cell.column or other.network != cell.network:
                continue
            if theirs.label != mine.label or not cell.latency_us or not other.latency_us:
                continue
            ratio = cell.latency_us / other.latency_us
            yield Agreement(
                network=cell.network,
                predicted=cell.column,
                measured=other.column,
                difference=ratio - 1,
                at_clock=ratio * mine.clock_khz / theirs.clock_khz - 1
                if mine.clock_khz and theirs.clock_khz
                else None,
            )


# --- the operators behind


def _layers(
    tables: Sequence[Table], priced: Sequence[Sequence[TablePrediction]]
) -> Iterable[LayerDifference]:
    for column, (table, row) in enumerate(zip(tables, priced, strict=True)):
        ranked = sorted(row, key=lambda found: found.estimate.value_us)
        for slower in ranked[1:]:
            yield from layer_differences(table, column, ranked[0].architecture, slower.architecture)


def _shifts(
    tables: Sequence[Table], priced: Sequence[Sequence[TablePrediction]]
) -> Iterable[RelativeCost]:
    for second in range(1, len(tables)):
        for first in range(second):
            shared = _architectures(priced[first])
            yield from relative_costs(tables[first], tables[second], first, second, shared)


def _architectures(row: Sequence[TablePrediction]) -> list[Architecture]:
    return [found.architecture for found in row]
