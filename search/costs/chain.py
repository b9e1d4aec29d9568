"""Costs of networks whose layers hand a width on: a chain of small matrices.

What a layer costs depends on its own choice and on the channels that come in,
which the layers in front decide. Prices, the cheapest network and the mean
under independent distributions are exact, each by one walk along the chain.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.costs.terms import Array, FactorCosts

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transition:
    """One layer: (inputs, candidates) costs, and which input of the next layer each leads to."""

    us: Array
    follow: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainCosts(FactorCosts):
    """Costs in microseconds along a chain; the first layer has one input.

    `last_us` is what stands behind the layers, by the width that is left.
    `costs`, the matrix of independent layers, is 0 where a candidate is legal,
    and there are no terms.
    """

    links: tuple[Transition, ...]
    last_us: Array

    def price(self, choices: npt.ArrayLike) -> Array:
        """Costs of many networks at once: (networks, layers) to (networks,).

        Raises:
            UsageError: Another number of layers, or an index out of range.
        """
        # The parent checks the indices; without terms its price is the fixed cost.
        total = FactorCosts.price(self, choices)
        picked = np.asarray(choices)
        place = np.zeros(len(picked), dtype=np.int64)
        for link, column in zip(self.links, picked.T, strict=True):
            total += link.us[place, column]
            place = link.follow[place, column]
        priced: Array = total + self.last_us[place]
        return priced

    def fastest_us(self) -> float:
        """The lowest cost that any network has."""
        least = self.last_us
        for link in reversed(self.links):
            least = (link.us + least[link.follow]).min(axis=1)
        return float(least[0] + self.fixed_us)
