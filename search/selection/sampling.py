"""Random networks within a target or a band of costs, uniformly or by a distribution.

Drawing layer by layer and rejecting what costs too much takes for ever at
tight targets. Here costs are rounded down to a fine grid, a dynamic programme
counts how many ways lead from each partial network to a whole one within the
grid's limits, and networks are drawn by these counts: exactly uniformly over
a set that contains every network of the band and little else. The few others
are rejected by their true cost, so that the remainder is uniform over the
band, whatever the grid. With weights a network counts for the product of its
candidates' weights instead of one.
"""

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from search.costs.base import Unit
from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.selection.knapsack import Array, IntArray, Mask, make_problem, require_feasible

LEAST_BINS, MOST_BINS = 4096, 65_536
# Up to so many networks are listed instead of drawn: the list is exact.
LISTED = 20_000
BATCH = 65_536
# A band is given up where, after so many draws, fewer than one in so many is inside.
MOST_VAIN, RAREST = 200_000, 10_000
_SMALL = 1e-9


class Sampler(Protocol):
    """A source of random networks of a band of costs."""

    @property
    def listed(self) -> IntArray | None:
        """All networks, networks x layers, where they are few enough to list."""
        ...

    def draw(self, number: int, generator: np.random.Generator) -> IntArray:
        """Draw networks independently of each other, with replacement: (number, layers).

        Raises:
            UsageError: Networks of this band are too rare to be drawn.
        """
        ...


def require_band(high: float, low: float | None, unit: Unit) -> None:
    """Refuse a band of costs that means nothing.

    Raises:
        UsageError: A limit that is not a number, or an empty band.
    """
    for limit in (high, low or 0.0):
        if not math.isfinite(limit):
            raise UsageError(f"The {unit.cost} {limit} is not a number of {unit.noun}.")
    if low is not None and low > high:
        raise UsageError(f"The band from {low:.1f} {unit} to {high:.1f} {unit} is empty.")


def no_network(verb: str, low: float, high: float, unit: Unit) -> UsageError:
    """The error of a band in which there is no network."""
    return UsageError(
        f"No network {verb} between {low:.1f} {unit} and {high:.1f} {unit}.", "Widen the band."
    )


def draw_inside(
    propose: Callable[[int], IntArray],
    inside: Callable[[IntArray], Mask],
    number: int,
    none: Callable[[str], UsageError],
) -> IntArray:
    """So many proposed networks that are inside, (number, layers).

    Args:
        propose: Draws so many networks.
        inside: Which of them count.
        number: How many.
        none: The error where they are too rare, by a verb.

    Raises:
        UsageError: Too few of the proposed ones are inside.
    """
    networks: list[IntArray] = []
    have = tried = 0
    while have < number or not networks:
        drawn = propose(min(max(256, 2 * (number - have)), BATCH))
        tried += len(drawn)
        networks.append(drawn[inside(drawn)])
        have += len(networks[-1])
        if tried > MOST_VAIN and have * RAREST < tried:
            raise none("was found")
    return np.concatenate(networks)[:number]


class FeasibleSampler:
    """Draws networks with low <= cost <= high.

    Args:
        costs: Of the space; its legal candidates are those with a finite cost.
        high: Highest cost.
        low: Lowest cost; None for no limit.
        weights: Layers x candidates, above 0 where legal; networks are drawn
            in proportion to the product of theirs. None draws all equally.

    Raises:
        UsageError: Every network costs more (states the lowest cost), there
            is provably none in the band, or the weights are not usable.
    """

    def __init__(
        self,
        costs: CostMatrix,
        high: float,
        low: float | None = None,
        weights: Array | None = None,
    ) -> None:
        require_band(high, low, costs.unit)
        self._costs, self._high = costs, high
        self._low = -math.inf if low is None else low
        scores = np.where(costs.legal, 0.0, -np.inf)
        problem = make_problem(scores, costs, high, dominated=True)
        require_feasible(problem, costs, high)
        self._columns = [layer.columns for layer in problem.layers]
        capacity = high - problem.cheapest + problem.cost_slack
        least = self._low - problem.cheapest - problem.cost_slack
        steps = [layer.costs for layer in problem.layers]
        self._bins, self._top, lowest = _on_a_grid(steps, capacity, least)
        self._weights = [np.ones(len(columns)) for columns in self._columns]
        self._ways = _count_ways(self._bins, self._weights, self._top, lowest)
        self._networks = float(self._ways[0][-1])
        self._list = self._listed() if self._networks <= LISTED else None
        if self._list is not None and not len(self._list):
            raise self._none("lies")
        self._shares: Array | None = None
        if weights is not None:
            self._weigh(weights, lowest)

    @property
    def networks(self) -> float:
        """The number of networks to draw from: exact where few, else an upper estimate."""
        return self._networks if self._list is None else float(len(self._list))

    @property
    def listed(self) -> IntArray | None:
        """All networks, networks x layers, where they are few enough to list."""
        return self._list

    def draw(self, number: int, generator: np.random.Generator) -> IntArray:
        """Draw networks independently of each other, with replacement.

        Returns:
            Candidate indices, number x layers.

        Raises:
            UsageError: Networks of this band are too rare to be drawn.
        """
        if self._list is not None:
            return self._list[generator.choice(len(self._list), number, p=self._shares)]
        return draw_inside(
            lambda wanted: self._draw_from_grid(wanted, generator), self._inside, number, self._none
        )

    def _weigh(self, weights: Array, lowest: int) -> None:
        if weights.shape != self._costs.costs.shape:
            raise UsageError(
                f"Weights of shape {weights.shape} do not fit a space of "
                f"{self._costs.costs.shape} candidates."
            )
        self._weights = [row[columns] for row, columns in zip(weights, self._columns, strict=True)]
        if not all(((row > 0) & np.isfinite(row)).all() for row in self._weights):
            raise UsageError("Weights must be numbers above 0.")
        if self._list is None:
            self._ways = _count_ways(self._bins, self._weights, self._top, lowest)
        else:
            logs = np.log(weights[np.arange(len(weights)), self._list]).sum(axis=1)
            shares = np.exp(logs - logs.max())
            self._shares = shares / shares.sum()

    def _inside(self, choices: IntArray) -> Mask:
        totals = self._costs.cost_of(choices)
        inside: Mask = (self._low <= totals) & (totals <= self._high)
        return inside

    def _draw_from_grid(self, number: int, generator: np.random.Generator) -> IntArray:
        left = np.full(number, self._top)
        networks = np.empty((number, len(self._bins)), dtype=np.intp)
        for depth, bins in enumerate(self._bins):
            rest = left - bins[:, np.newaxis]
            ways = np.where(rest >= 0, self._ways[depth + 1][np.maximum(rest, 0)], 0.0)
            ways *= self._weights[depth][:, np.newaxis]
            summed = np.cumsum(ways, axis=0)
            # Below the sum even where the product is rounded up to it.
            drawn = np.minimum(generator.random(number), 1 - 1e-15) * summed[-1]
            picked = (summed <= drawn).sum(axis=0)
            networks[:, depth] = self._columns[depth][picked]
            left = rest[picked, np.arange(number)]
        return networks

    def _listed(self) -> IntArray:
        left = np.array([self._top])
        networks = np.empty((1, 0), dtype=np.intp)
        for depth, bins in enumerate(self._bins):
            rest = np.subtract.outer(left, bins)
            open_ = (rest >= 0) & (self._ways[depth + 1][np.maximum(rest, 0)] > 0)
            parents, picked = np.nonzero(open_)
            networks = np.hstack([networks[parents], self._columns[depth][picked, np.newaxis]])
            left = rest[parents, picked]
        return networks[self._inside(networks)]

    def _none(self, verb: str) -> UsageError:
        return no_network(verb, self._low, self._high, self._costs.unit)


def _on_a_grid(
    steps: list[Array], capacity: float, least: float
) -> tuple[list[IntArray], int, int]:
    """Costs in bins, rounded down; highest and lowest sum of bins that may lie in the band."""
    capacity = min(capacity, sum(float(step[-1]) for step in steps))
    band = min(capacity - least, capacity)
    wanted = 4 * len(steps) * capacity / band if band > 0 else math.inf
    number = int(min(max(wanted, LEAST_BINS), MOST_BINS))
    width = max(capacity, 1e-200) / number
    bins = [np.minimum(step / width * (1 - 1e-12), number + 1).astype(np.intp) for step in steps]
    # Each layer's rounding down loses less than one bin.
    lowest = math.floor(min(max(least, 0.0) / width, 2.0 * number)) - len(steps) - 1
    return bins, number, max(lowest, 0)


def _count_ways(bins: list[IntArray], weights: list[Array], top: int, lowest: int) -> list[Array]:
    """For every layer and remaining capacity: the weight of all choices from it on that fit.

    They fit when the sum of all layers' bins is in the end from `lowest` to
    `top`, that is, when at most `top - lowest` are left over. Counts are
    floats: their relative error is that of adding, 1e-15. Drawing needs one
    layer's ratios alone, so that layers of small weights are scaled up.
    """
    ways = (np.arange(top + 1) <= top - lowest).astype(np.float64)
    by_layer = [ways]
    for layer, weight in zip(reversed(bins), reversed(weights), strict=True):
        ways = np.zeros(top + 1)
        places, owners = np.unique(layer, return_inverse=True)
        for bin_, times in zip(places, np.bincount(owners, weight), strict=True):
            if bin_ <= top:
                ways[bin_:] += times * by_layer[-1][: top + 1 - bin_]
        most = ways.max()
        by_layer.append(ways / most if 0 < most < _SMALL else ways)
    return by_layer[::-1]
