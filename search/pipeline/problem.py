"""Problem of a search, checked before any work: table, space, costs, target, waivers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from search.costs.matrix import COSTS, LATENCY
from search.errors import GateFailed, TableError, UsageError
from search.latency.model import CostMatrix, Estimate, LatencyModel
from search.latency.space_costs import counted_costs
from search.selection.chance_constrained import select_chance_constrained
from search.spaces.base import LayeredSpace
from search.spaces.registry import DEPENDENT, parse_space
from search.table.manifest import exam_doubt
from search.table.store import Table, profile_command, read_table

# A network that is much faster than asked for has paid for it with accuracy.
# Shared weights hide that (small networks inherit the best trained ones), so
# candidates that use at least this share of the target go first.
TARGET_UTILISATION = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Waivers:
    """Doubts that the user has waived; they are recorded in every result."""

    unexamined: bool = False
    simulated: bool = False
    imported: bool = False
    predicted: bool = False

    def allow(self, source: str) -> bool:
        """True if a table of this source, which is not "measured", may be used."""
        return bool(getattr(self, source, False))

    def as_flags(self) -> tuple[str, ...]:
        """The flags that were given, as they are typed."""
        flags = {f"--allow-{field.name}": getattr(self, field.name) for field in fields(self)}
        return tuple(flag for flag, given in flags.items() if given)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProblem:
    """A space, the costs of its networks on one device, and the target.

    `target_us` is None where the search has no latency target (FBNet's
    product loss). `probability` is that of meeting it, by the table's
    intervals; None asks for the predicted latency alone. Where FLOPs or
    parameters are weighed instead, `costs` holds those, `most` is their
    target, and the table only predicts the latency of the chosen network.
    """

    table: Table
    space: LayeredSpace
    model: LatencyModel
    costs: CostMatrix
    target_us: float | None
    waivers: Waivers
    probability: float | None = None
    most: float | None = None

    @property
    def limit(self) -> float | None:
        """The target in the unit of `costs`; None where there is none."""
        return self.target_us if self.costs.unit == "us" else self.most

    def met_by(self, cost: float, estimate: Estimate) -> bool:
        """True when a network meets the target as the exact selection understands it.

        Args:
            cost: By the cost matrix.
            estimate: By the model; of a latency, the same up to rounding, with its interval.
        """
        if self.limit is None:
            return True
        if self.probability is None or self.target_us is None:
            return cost <= self.limit
        return estimate.probability_below(self.target_us) >= self.probability

    def used_by(self, cost: float) -> bool:
        """True when a network that costs so much uses nearly all of the target."""
        return self.limit is not None and cost >= TARGET_UTILISATION * self.limit


def load_problem(
    folder: Path, target_ms: float | None, waivers: Waivers, probability: float | None = None
) -> SearchProblem:
    """Read a table and check that it can carry a search to this target.

    Raises:
        TableError: Not a table, or operators are missing.
        GateFailed: A table that was not examined, is below its bar or was
            not measured, without the flag that allows it.
        UsageError: A target that no network of the space can meet, or none
            so surely.
    """
    table = read_table(folder)
    check_table(table, waivers)
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
        check_target(target_us, costs, table)
    problem = SearchProblem(
        table=table,
        space=space,
        model=model,
        costs=costs,
        target_us=target_us,
        waivers=waivers,
        probability=probability,
    )
    _check_probability(problem)
    return problem


def weigh(
    problem: SearchProblem,
    cost: str,
    *,
    target_mflops: float | None = None,
    target_mparams: float | None = None,
) -> SearchProblem:
    """The same problem with another cost than latency, if one is asked for.

    Args:
        problem: Of latency.
        cost: latency, flops or params.
        target_mflops, target_mparams: In millions; None means no target.

    Raises:
        UsageError: An unknown cost, a target of another cost, or one that no
            network meets.
    """
    if cost not in COSTS:
        raise UsageError(f"Unknown --cost {cost!r}.", f"Known: {', '.join(COSTS)}.")
    targets = {"flops": target_mflops, "params": target_mparams}
    for name, value in (*targets.items(), (LATENCY, problem.target_us)):
        if value is not None and name != cost:
            option = "--target-ms" if name == LATENCY else f"--target-m{name}"
            raise UsageError(f"{option} is no target of --cost {cost}.", f"Give --cost {name}.")
    if cost == LATENCY:
        return problem
    costs, most_m = counted_costs(problem.space, cost), targets[cost]
    least_m = math.ceil(costs.fastest_us() / 1e2) / 1e4
    if most_m is not None and not least_m <= most_m < math.inf:
        raise UsageError(
            f"No network of {problem.space.spec} has as few as {most_m:g}M {cost}.",
            f"The smallest found has {least_m:.4f}M; give --target-m{cost} at least that.",
        )
    return replace(problem, costs=costs, most=None if most_m is None else most_m * 1e6)


def check_table(table: Table, waivers: Waivers) -> None:
    """Refuse a table whose predictions are not proven.

    Raises:
        GateFailed: No exam, an exam below the bar, or times that were not
            measured, unless waived.
    """
    manifest = table.manifest
    if manifest.source != "measured" and not waivers.allow(manifest.source):
        raise GateFailed(
            f"{table.label} is {manifest.source}, not measured on a device.",
            f"Measure one, or add --allow-{manifest.source} (it is recorded in the result).",
        )
    if waivers.unexamined:
        return
    if doubt := exam_doubt(manifest.exam):
        how = "again" if manifest.exam else "whole"
        raise GateFailed(
            f"{table.label} has {doubt}.",
            f"Measure it {how}: {profile_command(manifest)}; or add --allow-unexamined.",
        )


def check_target(target_us: float, costs: CostMatrix, table: Table) -> None:
    """Refuse a target that no network meets.

    Raises:
        UsageError: None does (the message names the fastest), or the target
            is not a positive number.
    """
    if not 0 < target_us < float("inf"):
        raise UsageError(
            f"A latency target of {target_us / 1e3:g} ms means nothing.",
            "Give --target-ms a positive number.",
        )
    fastest = costs.fastest_us()
    if target_us < fastest:
        # Rounded up, so that the number in the message is itself a possible target.
        least_ms = math.ceil(fastest * 10) / 1e4
        raise UsageError(
            f"No network of the space is as fast as {target_us / 1e3:.4g} ms by {table.label}.",
            f"The fastest takes {least_ms:.4f} ms; give --target-ms at least that.",
        )


def _check_probability(problem: SearchProblem) -> None:
    """Select once before any training, which fails where no network is that certain."""
    if problem.probability is None:
        return
    if problem.target_us is None:
        raise UsageError("--probability is that of meeting a latency target.", "Give --target-ms.")
    anything = np.where(np.isfinite(problem.costs.costs), 0.0, -np.inf)
    select_chance_constrained(
        anything, problem.model, problem.space, problem.target_us, problem.probability
    )


def check_independent(problems: Iterable[SearchProblem]) -> None:
    """Refuse tables of spaces that the exact selection does not know.

    Raises:
        UsageError: One is of such a space.
    """
    for problem in problems:
        if isinstance(problem.space, DEPENDENT):
            raise UsageError(
                f"{problem.table.label} is of {problem.space.spec}, "
                "whose layers are not independent.",
                "Search each table on its own.",
            )


def check_classes(space: LayeredSpace, classes: int, table: Table) -> None:
    """The data must have as many classes as the table's networks.

    Raises:
        UsageError: They differ; names the command that measures the right one.
    """
    wanted = space.after[-1].out_channels
    if classes == wanted:
        return
    spec = space.spec.replace(f"-c{wanted}-", f"-c{classes}-")
    info = table.manifest.space.model_copy(update={"spec": spec})
    command = profile_command(table.manifest.model_copy(update={"space": info}))
    fewer = f"; or choose {wanted} of them with --classes {wanted}" if classes > wanted else ""
    raise UsageError(
        f"The data have {classes} classes, the networks of {table.label} have {wanted}.",
        f"Measure a table for them: {command}{fewer}.",
    )
