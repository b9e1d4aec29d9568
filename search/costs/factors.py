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
from search.costs.chain import ChainCosts, Transition


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
        """The lowest cost that any network has."""
        return self.chain().cheapest()

    def dearest(self) -> float:
        """The highest cost that any network has."""
        return self.chain().dearest()

    def chain(self) -> ChainCosts:
        """The same costs along a chain, whose states are what later factors still ask for.

        A state is one combination of options of the variables before it that
        a factor after it depends on; a factor is paid where its last variable
        is chosen.
        """
        last_use = list(range(len(self.widths)))
        for factor in self.factors:
            for variable in factor.variables:
                last_use[variable] = max(last_use[variable], *factor.variables)
        held: tuple[int, ...] = ()
        transitions = []
        for variable in range(len(self.widths)):
            joint = (*held, variable)
            kept = tuple(v for v in joint if last_use[v] > variable)
            transitions.append(self._transition(joint, kept))
            held = kept
        return ChainCosts(
            fixed=self.fixed, transitions=tuple(transitions), last=np.zeros(1), unit=self.unit
        )

    def _transition(self, joint: tuple[int, ...], kept: tuple[int, ...]) -> Transition:
        """The choice of the last of the variables `joint`, after which `kept` matter."""
        shape = tuple(self.widths[variable] for variable in joint)
        options = dict(zip(joint, np.indices(shape), strict=True))
        costs = np.zeros(shape)
        for factor in self.factors:
            if max(factor.variables) == joint[-1]:
                costs += factor.values[tuple(options[v] for v in factor.variables)]
        next_state = np.zeros(shape, dtype=np.int64)
        for variable in kept:
            next_state = next_state * self.widths[variable] + options[variable]
        flat = (-1, shape[-1])
        return Transition(costs=costs.reshape(flat), next_state=next_state.reshape(flat))
