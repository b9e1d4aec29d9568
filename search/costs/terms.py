"""Costs of networks whose variables touch each other: sums of small tensors.

A block's cost depends on its own choice and on the channels of its
neighbours, so it is a tensor over a few variables; a network's cost is the
sum of one entry of each. Under weights of the options it is multilinear: exact
for a discrete network, and the exact mean for independent distributions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.costs.matrix import CostMatrix
from search.errors import UsageError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Factor:
    """A cost over some variables: axis `k` is indexed by the option of `variables[k]`."""

    variables: tuple[int, ...]
    values: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorCosts(CostMatrix):
    """Costs in microseconds as a sum of terms.

    `costs`, the matrix of independent layers, is 0 where an option is legal:
    no option has a cost of its own here, and exact selection cannot be used.
    """

    terms: tuple[Factor, ...]

    def price(self, choices: npt.ArrayLike) -> Array:
        """Costs of many networks at once: (networks, variables) to (networks,).

        Raises:
            UsageError: Another number of variables, or an index out of range.
        """
        picked = np.asarray(choices)
        if picked.ndim != 2 or picked.shape[1] != len(self.costs):
            raise UsageError(f"Choices of shape {picked.shape} do not fit this space.")
        widths = np.isfinite(self.costs).sum(axis=1)
        if picked.size and not ((picked >= 0) & (picked < widths)).all():
            raise UsageError("A choice lies outside the options of its variable.")
        total = np.full(len(picked), self.fixed_us)
        for term in self.terms:
            total += term.values[tuple(picked[:, variable] for variable in term.variables)]
        return total

    def fastest_us(self) -> float:
        """The lowest cost that descent over single variables reaches."""
        choices = [0] * len(self.costs)
        return float(self.price([self.descend(choices)])[0])

    def descend(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Change one variable at a time for the cheaper until none helps."""
        best = np.array(choices)
        price = float(self.price([best])[0])
        while True:
            trials = self.neighbours(best)
            prices = self.price(trials)
            if not prices.min() < price:
                return tuple(int(choice) for choice in best)
            best, price = trials[int(prices.argmin())], float(prices.min())

    def neighbours(self, choices: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """All networks that differ in one variable."""
        own = np.asarray(choices, dtype=np.int64)
        found = []
        for variable, row in enumerate(self.costs):
            for option in range(int(np.isfinite(row).sum())):
                other = own.copy()
                other[variable] = option
                found.append(other)
        return np.array(found)
