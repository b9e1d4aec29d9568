"""Costs of networks whose variables interact: sums of small tensors.

A block's cost depends on its own choice and on the channels of its
neighbours, so it is a tensor over a few variables; a network's cost is the
sum of one entry of each. Under weights of the options it is multilinear: exact
for a discrete network, and the exact mean for independent distributions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.costs.base import Array, Mask, Unit, legal_options, require_options
from search.costs.descent import descend


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Factor:
    """A cost over some variables: axis `k` is indexed by the option of `variables[k]`."""

    variables: tuple[int, ...]
    values: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorCosts:
    """Costs as a sum of factors.

    `widths` is the number of options of each variable; `fixed` is the cost
    that every network has.
    """

    widths: tuple[int, ...]
    fixed: float
    factors: tuple[Factor, ...]
    unit: Unit = Unit.US

    @property
    def legal(self) -> Mask:
        """(variables, widest): the options that a variable has."""
        return legal_options(self.widths)

    def cost_of(self, choices: npt.ArrayLike) -> Array:
        """Costs of many networks at once: (networks, variables) to (networks,).

        Raises:
            UsageError: Another number of variables, or an index out of range.
        """
        picked = require_options(choices, self.widths)
        total = np.full(len(picked), self.fixed)
        for factor in self.factors:
            total += factor.values[tuple(picked[:, variable] for variable in factor.variables)]
        return total

    def cheapest(self) -> float:
        """The lowest cost that descent over single variables reaches."""
        return float(self.cost_of([descend(self, [0] * len(self.widths))])[0])
