"""Dynamic programme of the exact selection along a chain of states.

A knapsack over (state, cost): layer by layer, in each state, the partial
networks that no other one in the same state dominates are kept, less those
that cannot reach the best network already known. The bound is that of
Lagrange: at any price of cost, no completion within what is left of the target
has a higher score than the best completion at that price, plus the price of
what is left (Handler and Zang, "A dual algorithm for the constrained shortest
path problem", Networks 10, 1980).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.selection.chain_items import ChainProblem, Completions, complete, rises_within
from search.selection.dynamic_program import MOST_STATES
from search.selection.knapsack import Array, IntArray, Mask

_MOST_PRICES = 30
# Away from the first layer what is left differs, and another price bounds better.
_NEARBY = (0.5, 0.8, 1.25, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFrontier:
    """Whole networks that remain after the last layer, by rising cost.

    `pruned_bound` holds, for each target, the highest score that a network
    lost to the limit on states could have had; -inf where nothing was lost.
    """

    costs: Array
    scores: Array
    pruned_bound: tuple[float, ...]
    trail: tuple[tuple[IntArray, IntArray], ...]

    def choices(self, numbers: npt.ArrayLike) -> IntArray:
        """Networks x layers: the candidates of these networks."""
        states = np.atleast_1d(np.asarray(numbers, dtype=np.intp))
        choices = np.empty((len(states), len(self.trail)), dtype=np.intp)
        for depth in reversed(range(len(self.trail))):
            parents, columns = self.trail[depth]
            choices[:, depth] = columns[states]
            states = parents[states]
        return choices


def prices_of(problem: ChainProblem, target: float) -> list[Completions]:
    """Completions at the prices that bound the score within a target best, and near them."""
    best, cheapest = complete(problem, 0.0), complete(problem, math.inf)
    found, over, under = [best, cheapest], best, cheapest
    left = target - problem.fixed
    if not best.costs[0][0] > left:
        return found
    price = 0.0
    for _ in range(_MOST_PRICES):
        cost = float(over.costs[0][0] - under.costs[0][0])
        gain = float(over.scores[0][0] - under.scores[0][0])
        if not (cost > 0 and gain > 0) or not math.isfinite(gain / cost):
            break
        price = gain / cost
        middle = complete(problem, price)
        found.append(middle)
        line = float(under.scores[0][0] - price * under.costs[0][0])
        if middle.values[0][0] <= line + abs(line) * 1e-12:
            break
        if middle.costs[0][0] > left:
            over = middle
        else:
            under = middle
    return found + [complete(problem, price * factor) for factor in _NEARBY if price > 0]


class _Bounds:
    """Bounds on the score that partial networks can reach, for several targets at once."""

    def __init__(
        self, problem: ChainProblem, targets: Sequence[float], floor: float | None
    ) -> None:
        self._problem, self._rising = problem, floor is None
        self._left = [target - problem.fixed for target in targets]
        # Of the whole front nothing is pruned: no prices are needed.
        whole = floor is not None and math.isinf(floor)
        self._completions = (
            [[complete(problem, 0.0), complete(problem, math.inf)]] * len(targets)
            if whole
            else [prices_of(problem, target) for target in targets]
        )
        self._best = [-np.inf if floor is None else floor] * len(targets)
        self.pruned_bound = [-np.inf] * len(targets)

    def useful(self, depth: int, states: IntArray, costs: Array, scores: Array) -> Mask:
        """True for partial networks that may still become a best one for some target."""
        keep = np.zeros(len(costs), dtype=bool)
        for number in range(len(self._left)):
            if self._rising:
                lower = self._lower(number, depth, states, costs, scores)
                self._best[number] = max(self._best[number], lower)
            upper = self._upper(number, depth, states, costs, scores)
            floor = self._best[number] - self._problem.score_slack
            keep |= (upper >= floor) & (upper > -np.inf)
        return keep

    def _upper(
        self, number: int, depth: int, states: IntArray, costs: Array, scores: Array
    ) -> Array:
        """The most that these partial networks can reach; -inf where none fits."""
        left = self._left[number] - costs + self._problem.cost_slack
        upper, fits = np.full(len(costs), np.inf), np.ones(len(costs), dtype=bool)
        for one in self._completions[number]:
            if math.isinf(one.price):
                fits = (one.costs[depth][states] <= left) & (one.values[depth][states] > -np.inf)
            else:
                np.minimum(upper, one.values[depth][states] + one.price * left, out=upper)
        return np.where(fits, scores + upper, -np.inf)

    def _lower(
        self, number: int, depth: int, states: IntArray, costs: Array, scores: Array
    ) -> float:
        # Strictly inside the target: a network that rounding puts above it
        # must not displace one that meets it.
        left = self._left[number] - costs - self._problem.cost_slack
        highest = -np.inf
        for one in self._completions[number]:
            fits = (one.costs[depth][states] <= left) & (one.values[depth][states] > -np.inf)
            reached = (scores + one.scores[depth][states])[fits]
            highest = max(highest, float(reached.max(initial=-np.inf)))
        return highest

    def thin(
        self, depth: int, states: IntArray, costs: Array, scores: Array, most: int
    ) -> IntArray:
        """The partial networks to keep, those of the highest bounds; records that of the others."""
        uppers = [
            self._upper(number, depth, states, costs, scores) for number in range(len(self._left))
        ]
        order = np.argsort(-np.maximum.reduce(uppers), kind="stable")
        for number, upper in enumerate(uppers):
            highest = float(upper[order[most:]].max(initial=self.pruned_bound[number]))
            self.pruned_bound[number] = highest
        return np.sort(order[:most])


def enumerate_chain(
    problem: ChainProblem,
    targets: Sequence[float],
    *,
    floor: float | None = None,
    dominance: bool = True,
    most_states: int = MOST_STATES,
) -> ChainFrontier:
    """Walk over the layers.

    Args:
        problem: From `make_chain_problem`.
        targets: The highest costs, one or several.
        floor: Networks with a lower score are of no interest; -inf keeps
            the whole front. None: the best score known to be possible is the
            floor, so that only best networks remain.
        dominance: False lists every network above the floor, dominated ones
            too.
        most_states: Beyond this, partial networks of the lowest bounds are
            left out, and `pruned_bound` states what that may have lost.
    """
    bounds, trail = _Bounds(problem, targets, floor), []
    states, costs, scores = np.zeros(1, dtype=np.intp), np.zeros(1), np.zeros(1)
    for depth, layer in enumerate(problem.layers, start=1):
        parents, ways = _extend(states, layer.first)
        states = layer.end[ways]
        costs, scores = costs[parents] + layer.costs[ways], scores[parents] + layer.scores[ways]
        kept = np.flatnonzero(bounds.useful(depth, states, costs, scores))
        if dominance:
            kept = kept[np.lexsort((-scores[kept], costs[kept], states[kept]))]
            kept = kept[rises_within(states[kept], scores[kept])]
        if len(kept) > most_states:
            kept = kept[bounds.thin(depth, states[kept], costs[kept], scores[kept], most_states)]
        trail.append((parents[kept], layer.columns[ways[kept]]))
        states, costs, scores = states[kept], costs[kept], scores[kept]
    return _finished(problem, states, costs, scores, bounds, trail, dominance)


def _extend(states: IntArray, first: IntArray) -> tuple[IntArray, IntArray]:
    """Every partial network with every way that leaves its state: their numbers."""
    counts = first[states + 1] - first[states]
    parents = np.repeat(np.arange(len(states)), counts)
    begun = np.cumsum(counts) - counts
    ways = first[states][parents] + np.arange(len(parents)) - begun[parents]
    return parents, ways


def _finished(
    problem: ChainProblem,
    states: IntArray,
    costs: Array,
    scores: Array,
    bounds: _Bounds,
    trail: list[tuple[IntArray, IntArray]],
    dominance: bool,
) -> ChainFrontier:
    """Whole networks, with what comes after the layers, by rising cost."""
    totals = costs + problem.last[states] + problem.fixed
    order = np.lexsort((-scores, totals))
    if dominance:
        order = order[rises_within(np.zeros(len(order), dtype=np.intp), scores[order])]
    if trail:
        parents, columns = trail[-1]
        trail[-1] = (parents[order], columns[order])
    return ChainFrontier(
        costs=totals[order],
        scores=scores[order],
        pruned_bound=tuple(bounds.pruned_bound),
        trail=tuple(trail),
    )
