"""What a search is asked for, checked before any work: table, space, target."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from search.errors import GateFailed, TableError, UsageError
from search.latency import CostMatrix, LatencyModel
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space
from search.table import Table, profile_command, read_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Waivers:
    """Doubts that the user has set aside; they are recorded in every result."""

    unexamined: bool = False
    simulated: bool = False

    def as_words(self) -> tuple[str, ...]:
        """The flags that were given, as they are typed."""
        given = {"--allow-unexamined": self.unexamined, "--allow-simulated": self.simulated}
        return tuple(word for word, on in given.items() if on)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One device's side of a search: costs in microseconds and the target.

    `target_us` is None where the search has no latency target (FBNet's
    product loss).
    """

    table: Table
    space: LayeredSpace
    model: LatencyModel
    costs: CostMatrix
    target_us: float | None
    waivers: Waivers

    @property
    def facts(self) -> Mapping[str, str]:
        """What a checkpoint must agree on to be continued with this task."""
        return {"space": self.space.spec, "table": self.table.manifest.table_id}


def load_task(folder: Path, target_ms: float | None, waivers: Waivers) -> Task:
    """Read a table and check that it can carry a search to this target.

    Raises:
        TableError: Not a table, or operators are missing.
        GateFailed: A table that was not examined, is below its bar or was
            not measured, without the flag that allows it.
        UsageError: A target that no network of the space can meet.
    """
    table = read_table(folder)
    check_trust(table, waivers)
    space = parse_space(table.manifest.space.spec)
    if space.sha256 != table.manifest.space.sha256:
        raise TableError(
            f"{table.label} was measured for another definition of {space.spec}.",
            f"Measure it again: {profile_command(table.manifest)}",
        )
    model = LatencyModel(table)
    costs = model.cost_matrix(space)
    target_us = None if target_ms is None else target_ms * 1000
    if target_us is not None:
        _check_target(target_us, costs, table)
    return Task(
        table=table, space=space, model=model, costs=costs, target_us=target_us, waivers=waivers
    )


def check_trust(table: Table, waivers: Waivers) -> None:
    """Refuse a table whose predictions nobody should build a network on.

    Raises:
        GateFailed: No exam, an exam below the bar, or times that were not
            measured, unless waived.
    """
    manifest = table.manifest
    if manifest.source != "measured" and not waivers.simulated:
        raise GateFailed(
            f"{table.label} is {manifest.source}, not measured on a device.",
            "Measure one, or add --allow-simulated (it is recorded in the result).",
        )
    if waivers.unexamined:
        return
    exam = manifest.exam
    if exam is None:
        raise GateFailed(
            f"{table.label} has no exam: its predictions were compared with nothing.",
            f"Measure it whole: {profile_command(manifest)}; or add --allow-unexamined.",
        )
    if not exam.passed:
        raise GateFailed(
            f"The exam of {table.label} is below the bar: MAPE {exam.mape.value:.2%} "
            f"(at most {exam.bar_mape:.0%}), Spearman {exam.spearman.value:.3f} "
            f"(at least {exam.bar_spearman:g}).",
            f"Measure it again: {profile_command(manifest)}; or add --allow-unexamined.",
        )


def _check_target(target_us: float, costs: CostMatrix, table: Table) -> None:
    if not 0 < target_us < float("inf"):
        raise UsageError("--target-ms must be positive.")
    fastest = costs.fastest_us()
    if target_us < fastest:
        raise UsageError(
            f"No network of the space is as fast as {target_us / 1e3:.4g} ms by {table.label}.",
            f"The fastest takes {fastest / 1e3:.4g} ms; give --target-ms at least that.",
        )


def check_classes(space: LayeredSpace, classes: int, table: Table) -> None:
    """The data must have as many classes as the table's networks.

    Raises:
        UsageError: They differ; names the command that measures the right one.
    """
    wanted = space.after[-1].out_channels
    if classes != wanted:
        preset = space.spec.partition("-r")[0]
        device = table.manifest.device.kind
        raise UsageError(
            f"The data have {classes} classes, the networks of {table.label} have {wanted}.",
            f"Measure a table for them: python -m profiler --device {device} --space {preset} "
            f"--classes {classes}; or choose that many with --classes {wanted}.",
        )
