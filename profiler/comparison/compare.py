"""Networks x settings: the fastest network of each, and by how much with which certainty.

A column is one setting: a table (its cells are predictions), a device at hand
(measurements), or figures that authors printed. Every column states which.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from profiler.campaign.network_timing import NetworkTime
from profiler.comparison.model import (
    Agreement,
    Cell,
    Comparison,
    ComparisonColumn,
    ComparisonVerdict,
    Kind,
    ModelEntry,
    Ratio,
    Run,
)
from profiler.comparison.operators import (
    LayerDifference,
    RelativeCost,
    layer_differences,
    relative_costs,
)
from profiler.comparison.states import (
    TableToday,
    is_setting_of,
    machine_states,
    restated_agreement,
    sustained_agreements,
    table_label,
    tables_today,
)
from profiler.tables.predict import TablePrediction, predict_network
from search.errors import DeviceError, KitError, MissingOperator, TableError, UsageError
from search.table.processors import compare_devices
from search.table.store import Table
from search.zoo.resolve import NamedNetwork

_Z = 1.96
_OWN = "a table predicts networks of the kit's operators, not models of your own"


def compare(
    networks: Sequence[NamedNetwork],
    tables: Sequence[Table],
    runs: Sequence[Run] = (),
    *,
    allow_simulated: bool = False,
    models: Sequence[ModelEntry] = (),
) -> Comparison:
    """Fill the matrix, find the winners and the operators that make the difference.

    A network of another resolution than a table is a cell with a reason.

    Raises:
        UsageError: Simulated beside measured, or not a single cell could be
            filled (DeviceError where a device was to measure).
        MissingOperator: A table lacks operators of a network.
    """
    states = tuple(machine_states(tables, networks, runs))
    today = tables_today(states)
    columns = [_doubted(table_column(table), table, runs) for table in tables]
    columns = [today[n].column(one) if n in today else one for n, one in enumerate(columns)]
    columns += [_run_column(run) for run in runs]
    refuse_mixture([column.kind == "simulated" for column in columns], allow_simulated)
    outcomes = [[try_predict(table, network) for network in networks] for table in tables]
    cells = _cells(networks, models, outcomes, runs, today)
    _refuse_nothing(cells, bool(runs))
    for column, printed in published_columns(networks, len(columns)):
        columns.append(column)
        cells += printed
    predictions = [[one for one in row if isinstance(one, TablePrediction)] for row in outcomes]
    return Comparison(
        networks=tuple(networks),
        columns=tuple(columns),
        cells=tuple(cells),
        verdicts=tuple(_verdicts(cells, len(columns))),
        agreements=(
            *_agreements(columns, cells, today, _pairs(tables, runs)),
            *sustained_agreements(tables, runs, cells),
        ),
        layers=tuple(_layers(tables, predictions)),
        shifts=tuple(_relative_costs(tables, predictions)),
        states=tuple(state for state, _ in states if state.machine or state.notes),
        models=tuple(models),
        sustained={
            number: run.sustained
            for number, run in enumerate(runs, len(tables))
            if run.sustained is not None
        },
    )


# --- columns and cells


def table_column(table: Table) -> ComparisonColumn:
    """A table as a column of a comparison."""
    manifest = table.manifest
    exam = manifest.exam
    passed = f"exam MAPE {exam.mape.value:.1%}" if exam else ""
    kind: Kind = "predicted" if manifest.source == "measured" else manifest.source
    return ComparisonColumn(
        label=table_label(table),
        kind=kind,
        detail=f"table {manifest.title}, {manifest.exam_problem or passed}",
        clock_khz=manifest.protocol.clock_khz,
        batch=table.batch,
    )


def _doubted(column: ComparisonColumn, table: Table, runs: Sequence[Run]) -> ComparisonColumn:
    """A table's column, which says if it may be of another machine than a run beside it."""
    for run in runs:
        if run.device is not None and run.device.kind == table.manifest.device.kind:
            likeness = compare_devices(table.manifest.device, run.device)
            if likeness.verdict == "unknown":
                return replace(column, detail=f"{column.detail}; {likeness.reason}")
    return column


def _pairs(tables: Sequence[Table], runs: Sequence[Run]) -> set[tuple[int, int]]:
    """Columns of a table and of a run in the table's setting."""
    return {
        (column, number)
        for column, table in enumerate(tables)
        for number, run in enumerate(runs, len(tables))
        if is_setting_of(table, run.label, run.device)
    }


def _run_column(run: Run) -> ComparisonColumn:
    kind: Kind = "simulated" if run.simulated else "measured"
    hello, clock = run.timing.hello, run.timing.clock
    facts = [f"{hello.runner} runner"] if hello else []
    timed = list(run.timing.timed.values())[:1]
    facts += ["1 pass" if time.passes == 1 else f"{time.passes} passes" for time in timed]
    facts += [f"{clock.median_khz / 1e6:.2f} GHz"] if clock else []
    return ComparisonColumn(
        label=run.label,
        kind=kind,
        detail=", ".join(facts),
        clock_khz=clock.median_khz if clock else None,
        batch=run.batch,
    )


def refuse_mixture(simulated: Sequence[bool], allowed: bool) -> None:
    """Refuse simulated settings beside real ones, unless that is allowed.

    Raises:
        UsageError: There are both.
    """
    if len(set(simulated)) > 1 and not allowed:
        raise UsageError(
            "A simulated device stands beside real ones; its times mean nothing there.",
            "Leave it out, or add --allow-simulated.",
        )


def try_predict(table: Table, network: NamedNetwork) -> TablePrediction | KitError:
    """A table's prediction for a network; the error if it is of another resolution.

    Raises:
        MissingOperator: The table lacks operators of the network.
    """
    try:
        return predict_network(table, network)
    except MissingOperator:
        raise
    except (UsageError, TableError) as error:
        return error


def _cells(
    networks: Sequence[NamedNetwork],
    models: Sequence[ModelEntry],
    outcomes: Sequence[Sequence[TablePrediction | KitError]],
    runs: Sequence[Run],
    today: Mapping[int, TableToday],
) -> list[Cell]:
    """All cells but the published ones: tables' columns, then runs'."""
    cells = [
        predicted_cell(network.name, number, outcome, today.get(number))
        for number, row in enumerate(outcomes)
        for network, outcome in zip(networks, row, strict=True)
    ]
    cells += [
        Cell(network=one.name, column=n, note=_OWN) for n in range(len(outcomes)) for one in models
    ]
    names = [*(network.name for network in networks), *(model.name for model in models)]
    return cells + [
        _measured_cell(name, number, run)
        for number, run in enumerate(runs, len(outcomes))
        for name in names
    ]


def predicted_cell(
    name: str, column: int, outcome: TablePrediction | KitError, today: TableToday | None = None
) -> Cell:
    """The cell of a network that a table predicts, for today if that is known; or why not."""
    if isinstance(outcome, KitError):
        return Cell(network=name, column=column, note=outcome.message)
    table_us = None
    if today is not None:
        table_us, outcome = outcome.estimate.value_us, today.prediction(outcome)
    low_us, high_us = outcome.interval_us
    return Cell(
        network=name,
        column=column,
        latency_us=outcome.estimate.value_us,
        low_us=low_us,
        high_us=high_us,
        note=outcome.note,
        table_us=table_us,
        memory_kb=outcome.memory.value_kb if outcome.memory else None,
        memory_low_kb=outcome.memory.low_kb if outcome.memory else None,
        memory_high_kb=outcome.memory.high_kb if outcome.memory else None,
    )


def _measured_cell(name: str, column: int, run: Run) -> Cell:
    time = run.timing.timed.get(name)
    if time is None:
        return Cell(network=name, column=column, note=run.timing.failed[name])
    footprint = run.footprints.get(name)
    return Cell(
        network=name,
        column=column,
        latency_us=time.centre_us,
        low_us=time.low_us,
        high_us=time.high_us,
        note="; ".join(_measured_notes(name, time, run)),
        stable=time.stable and _as_expected(name, run),
        footprint=footprint,
        memory_kb=footprint.own_kb if footprint else None,
    )


def _measured_notes(name: str, time: NetworkTime, run: Run) -> Iterator[str]:
    if not time.stable:
        yield f"unstable after {time.blocks} blocks"
    if name in run.numbers:
        numbers = run.numbers[name]
        verdict = "as" if numbers.passed else "NOT as"
        yield (
            f"outputs {verdict} {numbers.reference}'s: error {numbers.largest_error:.1e} "
            f"on {numbers.images} {numbers.of}"
        )


def _as_expected(name: str, run: Run) -> bool:
    """False for a model that computes something else than its source."""
    return name not in run.numbers or run.numbers[name].passed


def published_columns(
    networks: Sequence[NamedNetwork], first: int
) -> Iterator[tuple[ComparisonColumn, list[Cell]]]:
    """Figures that authors printed, a column a device, numbered from `first`."""
    figures_by_device: dict[str, list[tuple[str, float, str]]] = {}
    for network in networks:
        if network.published is not None:
            figures = network.published.published
            for device, ms in figures.latency_ms:
                figures_by_device.setdefault(device, []).append(
                    (network.name, ms * 1e3, figures.source)
                )
    for number, (device, rows) in enumerate(figures_by_device.items(), first):
        sources = "; ".join(dict.fromkeys(source for _, _, source in rows))
        yield (
            ComparisonColumn(label=device, kind="published", detail=sources),
            [Cell(network=name, column=number, latency_us=us) for name, us, _ in rows],
        )


def _refuse_nothing(cells: Sequence[Cell], on_device: bool) -> None:
    if any(cell.latency_us is not None for cell in cells):
        return
    reasons = " ".join(list(dict.fromkeys(cell.note for cell in cells))[:3])
    raise (DeviceError if on_device else UsageError)(f"Nothing can be compared: {reasons}")


# --- verdicts


def _verdicts(cells: Sequence[Cell], columns: int) -> Iterator[ComparisonVerdict]:
    for column in range(columns):
        filled = [c for c in cells if c.column == column and c.latency_us is not None]
        if len(filled) < 2:
            continue
        best, *rest = sorted(filled, key=lambda cell: cell.latency_us or 0.0)
        others = tuple(_ratio(cell, best) for cell in rest)
        unknown = any(other.low is None for other in others)
        clear = None if unknown else all((other.low or 0.0) > 1 for other in others)
        yield ComparisonVerdict(column=column, winner=best.network, clear=clear, others=others)


def _ratio(cell: Cell, best: Cell) -> Ratio:
    assert cell.latency_us
    assert best.latency_us
    ratio = cell.latency_us / best.latency_us
    error, best_error = _relative_error(cell), _relative_error(best)
    low = high = None
    if error is not None and best_error is not None:
        reach = math.exp(_Z * math.sqrt(error**2 + best_error**2))
        low, high = ratio / reach, ratio * reach
    return Ratio(network=cell.network, column=cell.column, ratio=ratio, low=low, high=high)


def _relative_error(cell: Cell) -> float | None:
    if cell.low_us is None or cell.high_us is None or not cell.latency_us:
        return None
    return (cell.high_us - cell.low_us) / 2 / _Z / cell.latency_us


def _agreements(
    columns: Sequence[ComparisonColumn],
    cells: Sequence[Cell],
    today: Mapping[int, TableToday],
    pairs: set[tuple[int, int]],
) -> Iterator[Agreement]:
    """Each network's prediction beside its measurement, in the pairs of columns."""
    for cell in cells:
        for other in cells:
            if (cell.column, other.column) in pairs and other.network == cell.network:
                one = today.get(cell.column)
                if one is None or one.state.measured != other.column:
                    yield from _agreement(cell, other, columns[cell.column], columns[other.column])
                elif cell.latency_us and other.latency_us:
                    yield restated_agreement(cell, other, one)


def _agreement(
    predicted: Cell, measured: Cell, table: ComparisonColumn, device: ComparisonColumn
) -> Iterator[Agreement]:
    """The agreement of two cells of one network, if both are filled."""
    if not predicted.latency_us or not measured.latency_us:
        return
    ratio = predicted.latency_us / measured.latency_us
    yield Agreement(
        network=predicted.network,
        predicted=predicted.column,
        measured=measured.column,
        difference=ratio - 1,
        at_clock=ratio * table.clock_khz / device.clock_khz - 1
        if table.clock_khz and device.clock_khz
        else None,
    )


# --- operators that make the difference


def _layers(
    tables: Sequence[Table], predictions: Sequence[Sequence[TablePrediction]]
) -> Iterator[LayerDifference]:
    for column, (table, row) in enumerate(zip(tables, predictions, strict=True)):
        ranked = sorted(row, key=lambda prediction: prediction.estimate.value_us)
        for slower in ranked[1:]:
            yield from layer_differences(table, column, ranked[0].architecture, slower.architecture)


def _relative_costs(
    tables: Sequence[Table], predictions: Sequence[Sequence[TablePrediction]]
) -> Iterator[RelativeCost]:
    for second in range(1, len(tables)):
        for first in range(second):
            networks = [prediction.architecture for prediction in predictions[first]]
            yield from relative_costs(tables[first], tables[second], first, second, networks)
