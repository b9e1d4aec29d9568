"""The problem of a search, checked before any work: table, space, costs, target."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from search.architecture import Architecture
from search.costs.base import COSTS, LATENCY, Costs, CostTarget, Unit
from search.costs.joint import Limit
from search.costs.matrix import CostMatrix, require_matrix
from search.errors import TableError, UsageError
from search.latency.model import Estimate, LatencyModel
from search.latency.peak_memory import MemoryEstimate, estimate_memory
from search.latency.priced_table import PricedTable
from search.latency.space_costs import counted_costs, recounted
from search.latency.table_checks import Waivers as Waivers
from search.latency.table_checks import check_source, check_trust
from search.latency.table_checks import check_table as check_table
from search.selection.exact import network_of
from search.selection.surely.within_limits import require_sure
from search.spaces.base import LayeredSpace
from search.spaces.classes import classes_of, network_with_classes, space_with_classes
from search.spaces.registry import is_spec, make_space, parse_space
from search.table.store import Table, profile_command, read_table

# A network that is much cheaper than its target has paid for it with accuracy.
# Shared weights hide that (small networks inherit the best trained ones), so
# candidates that use at least this share of the target go first.
TARGET_UTILISATION = 0.9
# The option that gives the target of each cost.
TARGET_OPTIONS = {
    LATENCY: "--target-ms",
    "flops": "--target-mflops",
    "params": "--target-mparams",
    "memory": "--target-mb",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProblem:
    """A table, what networks of its space cost, and the most that one may cost.

    `target` is None where the search has none (FBNet's product loss).
    `probability` is that of meeting it, by the table's intervals; None asks
    for the predicted latency alone. Where FLOPs, parameters or memory are weighed
    instead, `costs` and `target` hold those, and the table only predicts the
    latency of the networks found; such a problem may have no table, but a space.
    `limits` are kept to beside the target.

    `classes` is how many the networks found tell apart, where that differs from the
    table: its rows then still price them, with the classifier of the table's own classes
    where it has no row of theirs.
    """

    priced: PricedTable | None
    costs: Costs
    target: CostTarget | None
    waivers: Waivers
    probability: float | None = None
    without_table: LayeredSpace | None = None
    limits: tuple[Limit, ...] = ()
    classes: int | None = None

    def with_classes(self, classes: int) -> "SearchProblem":
        """The same problem, whose networks tell that many classes apart.

        What is counted is counted with the new classifier; what was measured stays, unless
        the table holds the new classifier's row too.

        Raises:
            UsageError: The space cannot be made for them.
        """
        space = space_with_classes(self.space, classes)
        cost = self.costs.unit.cost
        priced = None if self.priced is None else self.priced.with_classes(classes)
        latencies = self.costs if priced is self.priced or priced is None else priced.costs
        return replace(
            self,
            classes=classes,
            priced=priced,
            costs=latencies if self.weighs_latency else counted_costs(space, cost),
            limits=tuple(recounted(limit, space) for limit in self.limits),
            without_table=space if self.priced is None else None,
        )

    def network(self, choices: Sequence[int], name: str) -> Architecture:
        """The network of these choices, with as many classes as the problem asks for."""
        network = network_of(self.space, tuple(choices), name)
        return network_with_classes(network, self.classes or network.classes)

    @property
    def prices_other_classes(self) -> bool:
        """True where latencies are those of networks of another class count than is written."""
        own = classes_of(self.space)
        return self.priced is not None and (self.classes or own) != own

    @property
    def table(self) -> Table:
        """The table.

        Raises:
            UsageError: There is none.
        """
        return self._priced.table

    @property
    def space(self) -> LayeredSpace:
        """The space of the table, or the one without a table."""
        return self.without_table or self._priced.space

    @property
    def model(self) -> LatencyModel:
        """The latency model of the table.

        Raises:
            UsageError: There is no table.
        """
        return self._priced.model

    @property
    def latencies(self) -> Costs:
        """Latencies of the space's networks, whatever is weighed.

        Raises:
            UsageError: There is no table.
        """
        return self._priced.costs

    @property
    def _priced(self) -> PricedTable:
        if self.priced is None:
            raise UsageError("No latency table is given.", "Add --table tables/<device>/<name>.")
        return self.priced

    @property
    def table_id(self) -> str:
        """That of the table; of a problem without one, the hash of its space."""
        return self.space.sha256 if self.priced is None else self.table.manifest.table_id

    @property
    def origin(self) -> str:
        """What the costs come from, as text."""
        return (
            f"the {self.costs.unit} of {self.space.label}"
            if self.priced is None
            else self.table.label
        )

    def estimate(self, network: Architecture) -> Estimate | None:
        """The predicted latency of a network; None without a table.

        It is priced with the classifier of the problem's classes, or else of the table's own.
        """
        if self.priced is None:
            return None
        return self.model.estimate(network_with_classes(network, classes_of(self.space)))

    def estimate_memory(self, network: Architecture) -> MemoryEstimate | None:
        """The predicted own peak memory of a network; None where no table tells it."""
        memory = None if self.priced is None else self.table.manifest.memory
        return None if memory is None else estimate_memory(memory, network.operators)

    @property
    def weighs_latency(self) -> bool:
        """False where FLOPs, parameters or memory are weighed."""
        return self.costs.unit.is_time

    @property
    def target_us(self) -> float | None:
        """The latency to meet; None without one, or where something else is weighed."""
        return None if self.target is None or not self.weighs_latency else self.target.value

    @property
    def counted_target(self) -> float | None:
        """The most FLOPs, parameters or bytes; None without, or where latency is weighed."""
        return None if self.target is None or self.weighs_latency else self.target.value

    @property
    def matrix(self) -> CostMatrix:
        """The costs of independent layers.

        Raises:
            UsageError: The layers are not independent.
        """
        return require_matrix(self.costs, self.space.label)

    def met_by(self, cost: float, estimate: Estimate | None) -> bool:
        """True when a network keeps to the target as the selection understands it.

        Args:
            cost: By what the search weighs.
            estimate: By the model; of a latency, the same up to rounding, with its interval.
                None without a table.
        """
        if self.target is None:
            return True
        if self.probability is None or estimate is None:
            return self.target.met_by(cost)
        if self.limits and not self.target.met_by(cost):
            return False
        return estimate.probability_below(self.target.value) >= self.probability

    def used_by(self, cost: float) -> bool:
        """True when a network of this cost uses nearly all of the target."""
        return self.target is not None and cost >= TARGET_UTILISATION * self.target.value


def load_problem(
    folder: Path,
    target_ms: float | None,
    waivers: Waivers,
    probability: float | None = None,
    target_share: float | None = None,
) -> SearchProblem:
    """Read a table and check that it can carry a search to this target.

    `target_share` stands for a target: that share of the way from the latency of the space's
    fastest network to that of its slowest.

    Raises:
        TableError: Not a table, or operators are missing.
        GateFailed: A table that was not examined, is below its bar or was
            not measured, without the flag that allows it.
        UsageError: A target that no network of the space can meet, or none
            with that probability.
    """
    table = read_table(folder)
    check_source(table, waivers)
    priced = PricedTable(table)
    space = priced.space
    if space.sha256 != table.manifest.space.sha256:
        raise TableError(
            f"{table.label} was measured for another definition of {space.label}.",
            f"Measure it again: {profile_command(table.manifest)}",
        )
    costs = priced.costs  # names the first operator that is missing or failed
    check_trust(table, waivers)
    target_us = None if target_ms is None else target_ms * 1000
    if target_share is not None:
        target_us = _between(costs.cheapest(), costs.dearest(), target_share)
    if target_us is not None:
        check_target(target_us, costs, table)
    target = None if target_us is None else CostTarget(value=target_us, unit=Unit.US)
    problem = SearchProblem(priced=priced, costs=costs, target=target, waivers=waivers)
    return with_probability(problem, probability)


def _between(low_us: float, high_us: float, share: float) -> float:
    """A point between two latencies, with three figures and not below the lower one."""
    exact = low_us + share * (high_us - low_us)
    return max(low_us, float(f"{exact:.3g}"))


def untimed_problem(name: str, classes: int | None, cost: str, waivers: Waivers) -> SearchProblem:
    """A problem without a table, of a cost that is counted; its target comes from `weigh`.

    Args:
        name: Of a space, the path of its file, or its whole spec.
        classes: Of a space that is given by its name; None means its default.
        cost: flops, params or memory.
        waivers: As given.

    Raises:
        UsageError: An unknown space or cost, or latency, which needs a table.
    """
    if cost == LATENCY:
        raise UsageError(
            "A latency is known from a table alone.",
            "Add --table tables/<device>/<name>, or --cost flops, params or memory.",
        )
    space = parse_space(name) if is_spec(name) else make_space(name, classes=classes)
    return SearchProblem(
        priced=None,
        costs=counted_costs(space, cost),
        target=None,
        waivers=waivers,
        without_table=space,
    )


def weigh(
    problem: SearchProblem,
    cost: str,
    *,
    target_mflops: float | None = None,
    target_mparams: float | None = None,
    target_mb: float | None = None,
) -> SearchProblem:
    """The same problem with another cost than latency, where `cost` names one.

    Args:
        problem: Of a table.
        cost: latency, flops, params or memory.
        target_mflops, target_mparams, target_mb: In millions; None means no target.

    Raises:
        UsageError: An unknown cost, a target of another cost, or one that no
            network meets.
    """
    if cost not in COSTS:
        raise UsageError(f"Unknown --cost {cost!r}.", f"Known: {', '.join(COSTS)}.")
    targets = {"flops": target_mflops, "params": target_mparams, "memory": target_mb}
    for name, value in (*targets.items(), (LATENCY, problem.target_us)):
        if value is not None and name != cost:
            raise UsageError(
                f"{TARGET_OPTIONS[name]} is no target of --cost {cost}.", f"Give --cost {name}."
            )
    if cost == LATENCY:
        return problem
    if problem.probability is not None:
        raise UsageError("--probability is that of meeting a latency target.", "Leave it out.")
    costs, target_m = counted_costs(problem.space, cost), targets[cost]
    least_m = math.ceil(costs.cheapest() / 1e2) / 1e4
    if target_m is not None and not least_m <= target_m < math.inf:
        raise UsageError(
            f"No network of {problem.space.label} has as few as {target_m:g}M {costs.unit.noun}.",
            f"The smallest has {least_m:.4f}M; give {TARGET_OPTIONS[cost]} at least that.",
        )
    target = None if target_m is None else CostTarget(value=target_m * 1e6, unit=costs.unit)
    return replace(problem, costs=costs, target=target)


def check_target(target_us: float, costs: Costs, table: Table) -> None:
    """Some network must meet a target.

    Raises:
        UsageError: There is none (states the fastest one's latency), or the
            target means nothing.
    """
    if not 0 < target_us < float("inf"):
        raise UsageError(
            f"A latency target of {target_us / 1e3:g} ms means nothing.",
            "Give --target-ms a positive number.",
        )
    fastest = costs.cheapest()
    if target_us < fastest:
        # Rounded up, so that the number in the message is itself a possible target.
        least_ms = math.ceil(fastest * 10) / 1e4
        raise UsageError(
            f"No network of the space is as fast as {target_us / 1e3:.4g} ms by {table.label}.",
            f"The fastest takes {least_ms:.4f} ms; give --target-ms at least that.",
        )


def with_probability(problem: SearchProblem, probability: float | None) -> SearchProblem:
    """The same problem, its target to be met with this probability.

    Raises:
        UsageError: No latency target, or no network that is so sure.
    """
    if probability is None:
        return problem
    if problem.target_us is None:
        raise UsageError("--probability is that of meeting a latency target.", "Give --target-ms.")
    problem = replace(problem, probability=probability)
    require_surely(problem)
    return problem


def require_surely(problem: SearchProblem) -> None:
    """Make sure that some network meets the target as surely as is asked, within all limits.

    Raises:
        UsageError: There is none; states the lowest target that one meets.
    """
    if problem.probability is None or problem.target_us is None:
        return
    wanted = problem.target_us, problem.probability
    require_sure(problem.model, problem.space, *wanted, problem.limits)
