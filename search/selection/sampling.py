"""Random networks within a latency target or band, uniformly or by a distribution.

Drawing layer by layer and rejecting what is too slow takes for ever at tight
targets. Here costs are rounded down to a fine grid, a dynamic programme
counts how many ways lead from each partial network to a whole one within the
grid's limits, and networks are drawn by these counts: exactly uniformly over
a set that contains every network of the band and little else. The few others
are rejected by their true price, so that what is left is uniform over the
band, whatever the grid. With weights a network counts for the product of its
candidates' weights instead of one.
"""

import math

import numpy as np
import numpy.typing as npt

from search.errors import UsageError
from search.latency.model import CostMatrix
from search.selection.knapsack import Array, IntArray, make_problem, require_feasible

LEAST_BINS, MOST_BINS = 4096, 65_536
# Up to so many networks are listed instead of drawn: the list is exact.
LISTED = 20_000
BATCH = 65_536
# A band is given up where, after so many draws, fewer than one in so many is inside.
MOST_VAIN, RAREST = 200_000, 10_000
_SMALL = 1e-9


class FeasibleSampler:
    """Draws networks with low <= latency <= target.

    Args:
        costs: Prices of the space; its legal candidates are those with a
            finite cost.
        target_us: Highest latency.
        low_us: Lowest latency; None for no limit.
        weights: Layers x candidates, above 0 where legal; networks are drawn
            in proportion to the product of theirs. None draws all equally.

    Raises:
        UsageError: No network is that fast (says how fast the fastest is),
            provably none lies in the band, or weights that are none.
    """

    def __init__(
        self,
        costs: CostMatrix,
        target_us: float,
        low_us: float | None = None,
        weights: Array | None = None,
    ) -> None:
        for limit in (target_us, low_us or 0.0):
            if not math.isfinite(limit):
                raise UsageError(f"The latency {limit} is not a number of microseconds.")
        if low_us is not None and low_us > target_us:
            raise UsageError(f"The band from {low_us:.1f} us to {target_us:.1f} us is empty.")
        self._costs, self._target_us = costs, target_us
        self._low_us = -math.inf if low_us is None else low_us
        scores = np.where(np.isfinite(costs.costs), 0.0, -np.inf)
        problem = make_problem(scores, costs, target_us, dominated=True)
        require_feasible(problem, costs, target_us)
        self._columns = [layer.columns for layer in problem.layers]
        room_us = target_us - problem.cheapest_us + problem.cost_slack
        low_room_us = self._low_us - problem.cheapest_us - problem.cost_slack
        steps = [layer.costs for layer in problem.layers]
        self._bins, self._top, lowest = _on_a_grid(steps, room_us, low_room_us)
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
        """How many networks there are to draw from: exact where few, else an upper estimate."""
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
        found = [np.empty((0, len(self._bins)), dtype=np.intp)]
        have = tried = 0
        while have < number:
            drawn = self._draw_from_grid(min(max(256, 2 * (number - have)), BATCH), generator)
            tried += len(drawn)
            found.append(drawn[self._inside(drawn)])
            have += len(found[-1])
            if tried > MOST_VAIN and have * RAREST < tried:
                raise self._none("was found")
        return np.concatenate(found)[:number]

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

    def _inside(self, choices: IntArray) -> npt.NDArray[np.bool_]:
        latencies = self._costs.price(choices)
        inside: npt.NDArray[np.bool_] = (self._low_us <= latencies) & (latencies <= self._target_us)
        return inside

    def _draw_from_grid(self, number: int, generator: np.random.Generator) -> IntArray:
        left = np.full(number, self._top)
        found = np.empty((number, len(self._bins)), dtype=np.intp)
        for depth, bins in enumerate(self._bins):
            rest = left - bins[:, np.newaxis]
            ways = np.where(rest >= 0, self._ways[depth + 1][np.maximum(rest, 0)], 0.0)
            ways *= self._weights[depth][:, np.newaxis]
            summed = np.cumsum(ways, axis=0)
            # Below the sum even where the product is rounded up to it.
            drawn = np.minimum(generator.random(number), 1 - 1e-15) * summed[-1]
            picked = (summed <= drawn).sum(axis=0)
            found[:, depth] = self._columns[depth][picked]
            left = rest[picked, np.arange(number)]
        return found

    def _listed(self) -> IntArray:
        left = np.array([self._top])
        found = np.empty((1, 0), dtype=np.intp)
        for depth, bins in enumerate(self._bins):
            rest = np.subtract.outer(left, bins)
            open_ = (rest >= 0) & (self._ways[depth + 1][np.maximum(rest, 0)] > 0)
            parents, picked = np.nonzero(open_)
            found = np.hstack([found[parents], self._columns[depth][picked, np.newaxis]])
            left = rest[parents, picked]
        return found[self._inside(found)]

    def _none(self, verb: str) -> UsageError:
        return UsageError(
            f"No network {verb} between {self._low_us:.1f} us and {self._target_us:.1f} us.",
            "Widen the band.",
        )


def feasible_sampler(
    costs: CostMatrix,
    target_us: float,
    low_us: float | None = None,
    weights: Array | None = None,
) -> FeasibleSampler:
    """A sampler of random networks of equal latency: between low and target.

    Raises:
        UsageError: As `FeasibleSampler`.
    """
    return FeasibleSampler(costs, target_us, low_us, weights)


def _on_a_grid(
    steps: list[Array], room_us: float, low_us: float
) -> tuple[list[IntArray], int, int]:
    """Costs in bins, rounded down; highest and lowest sum of bins that may lie in the band."""
    room_us = min(room_us, sum(float(step[-1]) for step in steps))
    band_us = min(room_us - low_us, room_us)
    wanted = 4 * len(steps) * room_us / band_us if band_us > 0 else math.inf
    number = int(min(max(wanted, LEAST_BINS), MOST_BINS))
    width_us = max(room_us, 1e-200) / number
    bins = [np.minimum(step / width_us * (1 - 1e-12), number + 1).astype(np.intp) for step in steps]
    # Each layer's rounding down loses less than one bin.
    lowest = math.floor(min(max(low_us, 0.0) / width_us, 2.0 * number)) - len(steps) - 1
    return bins, number, max(lowest, 0)


def _count_ways(bins: list[IntArray], weights: list[Array], top: int, lowest: int) -> list[Array]:
    """For every layer and room left: the weight of all choices of it and behind it that fit.

    They fit when the sum of all layers' bins is in the end from `lowest` to
    `top`, that is, when at most `top - lowest` are left over. Counts are
    floats: their relative error is that of adding, 1e-15. Drawing needs one
    layer's ratios alone, so that layers of small weights are scaled up.
    """
    ways = (np.arange(top + 1) <= top - lowest).astype(np.float64)
    found = [ways]
    for layer, weight in zip(reversed(bins), reversed(weights), strict=True):
        ways = np.zeros(top + 1)
        places, owners = np.unique(layer, return_inverse=True)
        for bin_, times in zip(places, np.bincount(owners, weight), strict=True):
            if bin_ <= top:
                ways[bin_:] += times * found[-1][: top + 1 - bin_]
        most = ways.max()
        found.append(ways / most if 0 < most < _SMALL else ways)
    return found[::-1]
