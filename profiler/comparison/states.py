"""Tables beside runs of their own setting: predictions restated for the machine as it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from deploy.artefact import ExportSpec
from profiler.analysis.machine_factor import MachineFactor
from profiler.anchors.machine import TableAnchors, for_today, machine_now
from profiler.comparison.model import Agreement, Cell, ComparisonColumn, MachineState, Run
from profiler.tables.predict import TablePrediction
from search.table.manifest import DeviceInfo
from search.table.processors import compare_devices
from search.table.store import Table
from search.zoo.resolve import NamedNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class TableToday:
    """A table's machine as a run found it."""

    factor: MachineFactor
    state: MachineState

    def prediction(self, outcome: TablePrediction) -> TablePrediction:
        """A prediction restated for today."""
        return replace(outcome, estimate=for_today(outcome.estimate, self.factor))

    def column(self, column: ComparisonColumn) -> ComparisonColumn:
        """The table's column, at the clock that it is restated for."""
        known = self.factor.clock_factor is not None
        return replace(column, clock_khz=self.factor.clock_khz if known else column.clock_khz)


def setting_label(
    device: str, dtype: str, backend: str, threads: int | None, batch: int = 1
) -> str:
    """A column's name: the same for a table of the burst and for a run on its device."""
    images = "" if batch == 1 else f" b{batch}"
    return f"{device} {dtype} {backend} t{'?' if threads is None else threads}{images}"


_SUSTAINED = " sustained"


def table_label(table: Table) -> str:
    """The name of a table's column."""
    manifest = table.manifest
    label = setting_label(
        manifest.device.id,
        manifest.protocol.dtype,
        manifest.runtime.backend,
        manifest.protocol.threads,
        table.batch,
    )
    return label + (_SUSTAINED if manifest.load_state == "sustained" else "")


def is_setting_of(table: Table, label: str, device: DeviceInfo | None) -> bool:
    """Whether a run's setting is a table's; a table that does not know its machine may be of it.

    Args:
        table: The table.
        label: The setting of the run.
        device: The device of the run, where it is known.
    """
    own, known = table_label(table), table.manifest.device
    if device is None:
        return own == label
    if own.removeprefix(known.id) != label.removeprefix(device.id):
        return False
    return compare_devices(known, device).verdict != "different"


def is_sustained_setting_of(table: Table, run: Run) -> bool:
    """Whether the minutes of a run are of the setting of a table of the sustained state."""
    return run.sustained is not None and is_setting_of(table, run.label + _SUSTAINED, run.device)


def anchors_of(table: Table, networks: Sequence[NamedNetwork]) -> TableAnchors:
    """The anchors of a table among what these networks use."""
    dtype = table.manifest.protocol.dtype
    own = [network.with_dtype(dtype).with_batch(table.batch) for network in networks]
    return TableAnchors.of(table, [network.architecture for network in own])


def anchors_to_time(
    tables: Sequence[Table], networks: Sequence[NamedNetwork], label: str, device: DeviceInfo
) -> tuple[ExportSpec, ...]:
    """Anchors of all tables of one setting, each once."""
    exports = {
        export.name: export
        for table in tables
        if is_setting_of(table, label, device)
        for export in anchors_of(table, networks).exports
    }
    return tuple(exports.values())


def machine_states(
    tables: Sequence[Table], networks: Sequence[NamedNetwork], runs: Sequence[Run]
) -> Iterator[tuple[MachineState, MachineFactor | None]]:
    """The machine of each table by the first run of its setting; columns count tables first."""
    for column, table in enumerate(tables):
        own = [n for n, run in enumerate(runs) if is_setting_of(table, run.label, run.device)]
        anchors = anchors_of(table, networks)
        if not own or (anchors.rows and not _has_anchors(runs[own[0]])):
            continue
        factor, notes = anchors.factor_in(runs[own[0]].timing)
        machine = machine_now(factor, table.manifest) if factor else None
        measured = len(tables) + own[0]
        yield (
            MachineState(predicted=column, measured=measured, machine=machine, notes=notes),
            factor,
        )


def _has_anchors(run: Run) -> bool:
    return bool(run.timing.anchors or run.timing.failed_anchors)


def tables_today(
    states: Sequence[tuple[MachineState, MachineFactor | None]],
) -> Mapping[int, TableToday]:
    """Tables whose machine is known today, by column."""
    return {
        state.predicted: TableToday(factor=factor, state=state)
        for state, factor in states
        if factor is not None
    }


def sustained_agreements(
    tables: Sequence[Table], runs: Sequence[Run], cells: Sequence[Cell]
) -> Iterator[Agreement]:
    """Predictions of the sustained state beside the last minute of runs of their setting."""
    for column, table in enumerate(tables):
        for number, run in enumerate(runs, len(tables)):
            if run.sustained is None or not is_sustained_setting_of(table, run):
                continue
            minute = run.sustained.last
            for cell in cells:
                us = minute.latency_us.get(cell.network)
                if cell.column == column and cell.latency_us and us:
                    within = None
                    if cell.low_us is not None and cell.high_us is not None:
                        within = cell.low_us <= us <= cell.high_us
                    yield Agreement(
                        network=cell.network,
                        predicted=column,
                        measured=number,
                        difference=cell.latency_us / us - 1,
                        at_clock=None,
                        within=within,
                        minute=minute.number,
                    )


def restated_agreement(predicted: Cell, measured: Cell, today: TableToday) -> Agreement:
    """The agreement of a prediction restated for today with its measurement."""
    assert predicted.latency_us
    assert predicted.table_us
    assert measured.latency_us
    clock, within = today.factor.clock_factor, None
    if predicted.low_us is not None and predicted.high_us is not None:
        within = predicted.low_us <= measured.latency_us <= predicted.high_us
    return Agreement(
        network=predicted.network,
        predicted=predicted.column,
        measured=measured.column,
        difference=predicted.latency_us / measured.latency_us - 1,
        at_clock=predicted.table_us / measured.latency_us * clock - 1 if clock else None,
        within=within,
    )
