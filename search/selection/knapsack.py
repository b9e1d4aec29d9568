"""A selection as a multiple-choice knapsack problem, checked and normalised."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.costs.base import Unit
from search.costs.matrix import CostMatrix
from search.errors import UsageError

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

# Relative to the largest sums: far above the error of adding a hundred
# floats, far below what any table resolves.
ROUNDING = 1e-12
# Beyond this, products overflow; nothing measured comes near.
LARGEST = 1e100


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerItems:
    """One layer's candidates, by rising cost.

    `costs` count from the layer's cheapest, `scores` from its best (so they
    are at most 0): only differences matter, and they keep their precision
    beside a candidate that is far worse or far more expensive.
    """

    columns: IntArray
    costs: Array
    scores: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class KnapsackProblem:
    """A selection, normalised.

    `cheapest` is the cost of the cheapest network, `highest` the sum of the
    layers' best scores. `cost_slack` and `score_slack` bound the rounding
    errors of sums.
    """

    layers: tuple[LayerItems, ...]
    cheapest: float
    highest: float
    cost_slack: float
    score_slack: float

    def cheapest_choices(self) -> IntArray:
        """The cheapest candidate of every layer."""
        return np.array([layer.columns[0] for layer in self.layers])


def make_problem(
    scores: Array, costs: CostMatrix, capacity: float, *, dominated: bool = False
) -> KnapsackProblem:
    """Check and normalise; candidates that no network within `capacity` can hold are left out.

    Args:
        scores: Layers x candidates, -inf where not legal.
        costs: Their costs, infinite where not legal.
        capacity: The highest cost of interest.
        dominated: Keep candidates for which another one of the layer is
            neither more expensive nor worse. They are never needed for a best
            network, but an enumeration of all networks needs them.

    Raises:
        UsageError: Shapes differ, a value is not a number, or a layer has
            no legal candidate.
    """
    legal = _legal(scores, costs)
    priced = np.where(legal, costs.costs, np.inf)
    least = priced.min(axis=1)
    cheapest = float(least.sum() + costs.fixed)
    magnitude = abs(costs.fixed) + float(np.abs(least).sum())
    if np.isfinite(capacity):
        magnitude += abs(capacity)
    slack = ROUNDING * magnitude
    layers = []
    for row in range(len(scores)):
        within = legal[row] & (priced[row] - least[row] <= capacity - cheapest + slack)
        # The cheapest networks are needed even where the target is below them.
        within |= legal[row] & (priced[row] == least[row])
        columns = np.flatnonzero(within)
        layers.append(_layer(columns, priced[row, columns], scores[row, columns], dominated))
    regret = sum(float(-layer.scores.min()) for layer in layers)
    highest = sum(
        float(row[layer.columns].max()) for row, layer in zip(scores, layers, strict=True)
    )
    return KnapsackProblem(
        layers=tuple(layers),
        cheapest=cheapest,
        highest=highest,
        cost_slack=slack,
        score_slack=ROUNDING * (regret + abs(highest)),
    )


def _layer(columns: IntArray, costs: Array, scores: Array, dominated: bool) -> LayerItems:
    order = np.lexsort((columns, -scores, costs))
    if not dominated:
        order = order[rises(scores[order])]
    return LayerItems(
        columns=columns[order],
        costs=costs[order] - costs.min(),
        scores=scores[order] - scores.max(),
    )


def require_feasible(problem: KnapsackProblem, costs: CostMatrix, target: float) -> None:
    """Make sure that some network meets the target.

    Raises:
        UsageError: There is none; states the lowest cost possible.
    """
    refuse_infeasible(float(costs.cost_of([problem.cheapest_choices()])[0]), target, costs.unit)


def refuse_infeasible(cheapest: float, target: float, unit: Unit) -> None:
    """Make sure that the cheapest network meets the target.

    Raises:
        UsageError: It does not; states its cost.
    """
    if cheapest <= target:
        return
    # Rounded up, so that the number in the message is itself a possible target.
    least = math.ceil(cheapest * 10) / 10
    if not unit.is_time:
        raise UsageError(
            f"No network has as few as {target:.1f} {unit}; the lowest is {least:.1f}.",
            f"Ask for at least {least:.1f}, or search another space.",
        )
    raise UsageError(
        f"No network meets {target / 1e3:.4f} ms ({target:.1f} us): the fastest possible "
        f"latency is {least / 1e3:.4f} ms ({least:.1f} us).",
        f"Ask for at least {least / 1e3:.4f} ms, or search another space.",
    )


def _legal(scores: Array, costs: CostMatrix) -> Mask:
    if scores.shape != costs.costs.shape or scores.ndim != 2 or not scores.size:
        raise UsageError(
            f"Scores of shape {scores.shape} do not fit costs of shape {costs.costs.shape}."
        )
    if not (np.isneginf(scores) | (np.abs(scores) <= LARGEST)).all():
        raise UsageError("A score is not a usable number.", "Use -inf where not legal.")
    if not (np.isposinf(costs.costs) | (np.abs(costs.costs) <= LARGEST)).all():
        raise UsageError("A cost is not a usable number.", "Measure the table again.")
    if not abs(costs.fixed) <= LARGEST:
        raise UsageError(f"The fixed cost is {costs.fixed}, not a usable number.")
    legal: Mask = np.isfinite(scores) & np.isfinite(costs.costs)
    empty = np.flatnonzero(~legal.any(axis=1))
    if empty.size:
        raise UsageError(f"Layer {empty[0]} has no candidate with both a score and a cost.")
    return legal


def rises(values: Array) -> Mask:
    """True for each value that is higher than all before it."""
    highest = np.maximum.accumulate(values)
    mask = np.ones(len(values), dtype=bool)
    mask[1:] = values[1:] > highest[:-1]
    return mask
