"""Dynamic programme of the exact selection.

Choosing one candidate a layer, highest sum of scores, sum of costs within a
capacity, is the multiple-choice knapsack problem. Layer by layer, the partial
networks that no other one dominates are kept (costs stay real numbers,
nothing is rounded to a grid), less those that cannot reach the best network
already known: the bound is the exact optimum of the rest's linear relaxation
(Sinha and Zoltners, "The Multiple-Choice Knapsack Problem", Operations
Research 27, 1979; Kellerer, Pferschy and Pisinger, "Knapsack Problems", 2004,
chapter 11).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from search.selection.knapsack import Array, IntArray, KnapsackProblem, LayerItems, Mask, rises

# Partial networks kept a layer; random tables of 22 x 9 need some hundreds.
MOST_STATES = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """Best score of some layers by capacity, candidates taken in fractions.

    Piecewise linear through (`costs`, `scores`); each of these points is also
    a real choice of candidates.
    """

    costs: Array
    scores: Array

    def upper(self, capacities: Array) -> Array:
        """No choice within these capacities has a higher score."""
        upper: Array = np.interp(capacities, self.costs, self.scores)
        return upper

    def lower(self, capacities: Array) -> Array:
        """Some choice within these capacities has this score; -inf below the cheapest."""
        corner = np.searchsorted(self.costs, capacities, side="right") - 1
        return np.where(corner >= 0, self.scores[corner], -np.inf)


def relaxations(problem: KnapsackProblem) -> list[Relaxation]:
    """For every layer, the relaxation of it and all after it; then an empty one."""
    owners, steps = [], []
    for number, layer in enumerate(problem.layers):
        corners = _corners(layer)
        for low, high in pairwise(corners):
            cost = layer.costs[high] - layer.costs[low]
            gain = layer.scores[high] - layer.scores[low]
            with np.errstate(over="ignore"):  # a gain at next to no cost: infinitely steep
                steps.append((-gain / cost, cost, gain))
            owners.append(number)
    order = sorted(range(len(steps)), key=lambda i: steps[i][0])
    owner = np.array([owners[i] for i in order], dtype=int)
    step = np.array([steps[i][1:] for i in order]).reshape(-1, 2)
    by_layer = []
    for number in range(len(problem.layers) + 1):
        rest = step[owner >= number]
        start = sum(layer.scores[0] for layer in problem.layers[number:])
        by_layer.append(
            Relaxation(
                costs=np.concatenate([[0.0], np.cumsum(rest[:, 0])]),
                scores=start + np.concatenate([[0.0], np.cumsum(rest[:, 1])]),
            )
        )
    return by_layer


def _corners(layer: LayerItems) -> list[int]:
    """Candidates on the concave upper hull of a layer, by rising cost and score."""
    hull: list[int] = []
    for new in np.flatnonzero(rises(layer.scores)).tolist():
        while len(hull) > 1 and not _turns_down(layer, hull[-2], hull[-1], new):
            hull.pop()
        hull.append(new)
    return hull


def _turns_down(layer: LayerItems, first: int, middle: int, last: int) -> bool:
    rise = (layer.scores[middle] - layer.scores[first]) * (layer.costs[last] - layer.costs[middle])
    later = (layer.scores[last] - layer.scores[middle]) * (layer.costs[middle] - layer.costs[first])
    return bool(rise > later)


# --- the walk over the layers ------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Whole networks that remain after the last layer, by rising cost.

    `costs` and `scores` count as in `LayerItems`. `pruned_bound` holds, for each
    capacity, the highest score that a network lost to the limit on states could
    have had; -inf where nothing was lost.
    """

    costs: Array
    scores: Array
    pruned_bound: tuple[float, ...]
    trail: tuple[tuple[IntArray, int], ...]
    problem: KnapsackProblem

    def choices(self, numbers: npt.ArrayLike) -> IntArray:
        """Networks x layers: the candidates of these networks."""
        states = np.atleast_1d(np.asarray(numbers, dtype=np.intp))
        choices = np.empty((len(states), len(self.problem.layers)), dtype=np.intp)
        for depth in reversed(range(len(self.problem.layers))):
            kept, width = self.trail[depth]
            columns = self.problem.layers[depth].columns
            choices[:, depth] = columns[kept[states] // width]
            states = kept[states] % width
        return choices


class _Bounds:
    """Bounds on the score that partial networks can reach, for several capacities at once."""

    def __init__(
        self, problem: KnapsackProblem, capacities: Sequence[float], floor: float | None
    ) -> None:
        self._problem = problem
        self._relaxed = relaxations(problem)
        self._capacities = capacities
        self._rising = floor is None
        self._best = [-np.inf if floor is None else floor] * len(capacities)
        self.pruned_bound = [-np.inf] * len(capacities)

    def useful(self, depth: int, costs: Array, scores: Array) -> Mask:
        """True for partial networks that may still become a best one for some capacity."""
        keep = np.zeros(len(costs), dtype=bool)
        for number, capacity in enumerate(self._capacities):
            left = capacity - costs
            if self._rising:
                self._raise(number, depth, left, scores)
            upper = self._upper(depth, left, scores)
            keep |= upper >= self._best[number] - self._problem.score_slack
        return keep

    def _upper(self, depth: int, left: Array, scores: Array) -> Array:
        """The most that these partial networks can reach; NaN where none fits."""
        slack = self._problem.cost_slack
        upper = scores + self._relaxed[depth].upper(left + slack)
        return np.where(left >= -slack, upper, np.nan)

    def _raise(self, number: int, depth: int, left: Array, scores: Array) -> None:
        lower = self._lower(depth, left, scores)
        self._best[number] = max(self._best[number], float(lower.max(initial=-np.inf)))

    def _lower(self, depth: int, left: Array, scores: Array) -> Array:
        # Strictly inside the capacity: a network that rounding puts above the
        # target must not displace one that meets it.
        return scores + self._relaxed[depth].lower(left - self._problem.cost_slack)

    def thin(self, depth: int, costs: Array, scores: Array, most: int) -> IntArray:
        """The states to keep: evenly along the cost, and those that set the floors.

        Records the bound of the others.
        """
        spared = np.linspace(0, len(costs) - 1, most).astype(np.intp)
        if self._rising:
            tops = [
                np.argmax(self._lower(depth, capacity - costs, scores))
                for capacity in self._capacities
            ]
            spared = np.union1d(spared, tops)
        lost = np.delete(np.arange(len(costs)), spared)
        for number, capacity in enumerate(self._capacities):
            upper = self._upper(depth, capacity - costs[lost], scores[lost])
            highest = np.fmax.reduce(upper, initial=self.pruned_bound[number])
            self.pruned_bound[number] = float(highest)
        return spared


def enumerate_frontier(
    problem: KnapsackProblem,
    capacities: Sequence[float],
    *,
    floor: float | None = None,
    dominance: bool = True,
    most_states: int = MOST_STATES,
) -> Frontier:
    """Walk over the layers.

    Args:
        problem: From `make_problem`.
        capacities: Costs above the cheapest network, one or several.
        floor: Networks with a lower score are of no interest; -inf keeps
            the whole front. None: the best score known to be possible is the
            floor, so that only best networks remain.
        dominance: False lists every network above the floor, dominated ones
            too.
        most_states: Beyond this, states are thinned evenly along the cost,
            and `pruned_bound` states what that may have lost.
    """
    bounds, trail = _Bounds(problem, capacities, floor), []
    costs, scores = np.zeros(1), np.zeros(1)
    for depth, layer in enumerate(problem.layers, start=1):
        width = len(costs)
        costs = np.add.outer(layer.costs, costs).ravel()
        scores = np.add.outer(layer.scores, scores).ravel()
        kept = np.flatnonzero(bounds.useful(depth, costs, scores))
        kept = kept[np.argsort(costs[kept], kind="stable")]
        if dominance:
            kept = kept[_efficient(costs[kept], scores[kept])]
        if len(kept) > most_states:
            kept = kept[bounds.thin(depth, costs[kept], scores[kept], most_states)]
        trail.append((kept, width))
        costs, scores = costs[kept], scores[kept]
    return Frontier(
        costs=costs,
        scores=scores,
        pruned_bound=tuple(bounds.pruned_bound),
        trail=tuple(trail),
        problem=problem,
    )


def _efficient(costs: Array, scores: Array) -> Mask:
    """True for states that no other one dominates; costs are sorted, ties keep the best score."""
    keep = rises(scores)
    kept = np.flatnonzero(keep)
    same = costs[kept[1:]] == costs[kept[:-1]]
    keep[kept[:-1][same]] = False
    return keep
