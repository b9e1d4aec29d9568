"""Random networks of a band of costs where layers hand a state on.

As `search.selection.sampling`, with the number of ways counted for every layer,
remaining cost and state. A way's cost is counted above the cheapest completion
of the state it starts from, so that no step goes back.
"""

import math

import numpy as np

from search.costs.base import Costs
from search.costs.chain import ChainCosts
from search.errors import UsageError
from search.selection.chain_items import ChainProblem, complete, make_chain_problem
from search.selection.chain_program import enumerate_chain
from search.selection.knapsack import Array, IntArray, Mask, refuse_infeasible
from search.selection.sampling import (
    LEAST_BINS,
    LISTED,
    MOST_BINS,
    draw_inside,
    no_network,
    require_band,
)

# Counters kept, over all layers and states; many states get a coarser grid.
_MOST_COUNTERS, _FEWEST_BINS = 20_000_000, 256
_SMALL = 1e-9


class ChainSampler:
    """Draws networks with low <= cost <= high along a chain; a `Sampler`.

    Args:
        costs: Of the space.
        high: Highest cost.
        low: Lowest cost; None for no limit.
        weights: Layers x candidates, above 0 where legal; networks are drawn
            in proportion to the product of theirs. None draws all equally.
        judged_by: The costs that decide whether a network is inside; the
            chain's own where None.

    Raises:
        UsageError: Every network costs more (states the lowest cost), there
            is provably none in the band, or the weights are not usable.
    """

    def __init__(
        self,
        costs: ChainCosts,
        high: float,
        low: float | None = None,
        weights: Array | None = None,
        *,
        judged_by: Costs | None = None,
    ) -> None:
        require_band(high, low, costs.unit)
        self._costs, self._high = judged_by or costs, high
        self._low = -math.inf if low is None else low
        equal = np.where(costs.legal, 0.0, -np.inf)
        self._problem = problem = make_chain_problem(equal, costs, dominated=True)
        cheapest = complete(problem, math.inf).choices(problem)
        least = float(self._costs.cost_of([cheapest])[0])
        refuse_infeasible(least, high, costs.unit)
        self._bins, self._top, lowest = _on_a_grid(problem, high, self._low)
        ways = _count_ways(problem, self._bins, _unweighted(problem), self._top, lowest)
        self._weights = _unweighted(problem)
        self._list = self._listed() if ways[0][0, -1] <= LISTED else None
        if self._list is not None and not len(self._list):
            raise self._none("lies")
        self._shares: Array | None = None
        if weights is not None:
            self._weigh(weights)
        if weights is not None and self._list is None:
            ways = _count_ways(problem, self._bins, self._weights, self._top, lowest)
        self._ways = ways

    @property
    def listed(self) -> IntArray | None:
        """All networks, networks x layers, where they are few enough to list."""
        return self._list

    def draw(self, number: int, generator: np.random.Generator) -> IntArray:
        """Draw networks independently of each other, with replacement: (number, layers).

        Raises:
            UsageError: Networks of this band are too rare to be drawn.
        """
        if self._list is not None:
            return self._list[generator.choice(len(self._list), number, p=self._shares)]
        return draw_inside(
            lambda wanted: self._draw_from_grid(wanted, generator), self._inside, number, self._none
        )

    def _weigh(self, weights: Array) -> None:
        rows = zip(weights, self._problem.layers, strict=True)
        self._weights = [row[layer.columns] for row, layer in rows]
        if not all(((row > 0) & np.isfinite(row)).all() for row in self._weights):
            raise UsageError("Weights must be numbers above 0.")
        if self._list is not None:
            logs = np.log(weights[np.arange(len(weights)), self._list]).sum(axis=1)
            shares = np.exp(logs - logs.max())
            self._shares = shares / shares.sum()

    def _inside(self, choices: IntArray) -> Mask:
        totals = self._costs.cost_of(choices)
        inside: Mask = (self._low <= totals) & (totals <= self._high)
        return inside

    def _draw_from_grid(self, number: int, generator: np.random.Generator) -> IntArray:
        left, state = np.full(number, self._top), np.zeros(number, dtype=np.intp)
        networks = np.empty((number, len(self._bins)), dtype=np.intp)
        for depth, layer in enumerate(self._problem.layers):
            most = int(np.diff(layer.first).max())
            ways = np.minimum(layer.first[state][:, None] + np.arange(most), len(layer.end) - 1)
            own = layer.start[ways] == state[:, None]
            rest = left[:, None] - self._bins[depth][ways]
            counts = self._ways[depth + 1][layer.end[ways], np.maximum(rest, 0)]
            counts = np.where(own & (rest >= 0), counts * self._weights[depth][ways], 0.0)
            summed = np.cumsum(counts, axis=1)
            # Below the sum even where the product is rounded up to it.
            drawn = np.minimum(generator.random(number), 1 - 1e-15) * summed[:, -1]
            picked = ways[np.arange(number), (summed <= drawn[:, None]).sum(axis=1)]
            networks[:, depth] = layer.columns[picked]
            left, state = left - self._bins[depth][picked], layer.end[picked]
        return networks

    def _listed(self) -> IntArray | None:
        found = enumerate_chain(self._problem, [self._high], floor=-math.inf, dominance=False)
        if found.pruned_bound[0] > -math.inf:  # too many below the band
            return None
        choices = found.choices(np.arange(len(found.costs)))
        return choices[self._inside(choices)]

    def _none(self, verb: str) -> UsageError:
        return no_network(verb, self._low, self._high, self._costs.unit)


def _unweighted(problem: ChainProblem) -> list[Array]:
    return [np.ones(len(layer.columns)) for layer in problem.layers]


def _on_a_grid(problem: ChainProblem, high: float, low: float) -> tuple[list[IntArray], int, int]:
    """Ways' costs in bins, rounded down; highest and lowest sum of bins in the band."""
    least = complete(problem, math.inf).costs
    steps = [
        np.maximum(layer.costs + after[layer.end] - before[layer.start], 0.0)
        for layer, before, after in zip(problem.layers, least[:-1], least[1:], strict=True)
    ]
    cheapest = float(least[0][0]) + problem.fixed
    capacity = high - cheapest + problem.cost_slack
    capacity = min(capacity, sum(float(step.max()) for step in steps))
    floor = low - cheapest - problem.cost_slack
    band = min(capacity - floor, capacity)
    wanted = 4 * len(steps) * capacity / band if band > 0 else math.inf
    states = sum(len(layer.first) - 1 for layer in problem.layers) + len(problem.last)
    most = min(MOST_BINS, max(_FEWEST_BINS, _MOST_COUNTERS // states))
    number = int(min(max(wanted, LEAST_BINS), most))
    width = max(capacity, 1e-200) / number
    bins = [np.minimum(step / width * (1 - 1e-12), number + 1).astype(np.intp) for step in steps]
    # Each layer's rounding down loses less than one bin.
    lowest = math.floor(min(max(floor, 0.0) / width, 2.0 * number)) - len(steps) - 1
    return bins, number, max(lowest, 0)


def _count_ways(
    problem: ChainProblem, bins: list[IntArray], weights: list[Array], top: int, lowest: int
) -> list[Array]:
    """For every layer, (states, remaining bins): the weight of all completions that fit."""
    fits = (np.arange(top + 1) <= top - lowest).astype(np.float64)
    by_layer = [np.tile(fits, (len(problem.last), 1))]
    for layer, steps, weight in zip(
        reversed(problem.layers), reversed(bins), reversed(weights), strict=True
    ):
        # Equal ways are counted together.
        ways = np.stack([layer.start, layer.end, steps])[:, steps <= top]
        unique, owners = np.unique(ways, axis=1, return_inverse=True)
        times = np.bincount(owners.ravel(), weight[steps <= top], unique.shape[1])
        counts = np.zeros((len(layer.first) - 1, top + 1))
        for (start, end, step), number in zip(unique.T.tolist(), times.tolist(), strict=True):
            counts[start, step:] += number * by_layer[-1][end, : top + 1 - step]
        most = counts.max()
        # Only a layer's ratios matter: small weights are scaled up.
        by_layer.append(counts / most if 0 < most < _SMALL else counts)
    return by_layer[::-1]
