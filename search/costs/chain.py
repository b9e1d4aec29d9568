"""Costs of networks whose layers hand a width on: a chain of small matrices.

A layer's cost depends on its own choice and on the channels that come in,
which the layers before it decide. Costs, the cheapest network and the mean
under independent distributions are exact, each by one walk along the chain.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.costs.base import Array, IntArray, Mask, Unit, legal_options, require_options


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transition:
    """One layer: (inputs, candidates) costs, and the input of the next layer each leads to."""

    costs: Array
    next_state: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainCosts:
    """Costs along a chain; the first layer has one input.

    `last` is the cost of what comes after the layers, by the last width;
    `fixed` is the cost that every network has.
    """

    fixed: float
    transitions: tuple[Transition, ...]
    last: Array
    unit: Unit = Unit.US

    @property
    def widths(self) -> tuple[int, ...]:
        """The number of candidates of each layer."""
        return tuple(transition.costs.shape[1] for transition in self.transitions)

    @property
    def legal(self) -> Mask:
        """(layers, widest): where a layer has a candidate."""
        return legal_options(self.widths)

    def cost_of(self, choices: npt.ArrayLike) -> Array:
        """Costs of many networks at once: (networks, layers) to (networks,).

        Raises:
            UsageError: Another number of layers, or an index out of range.
        """
        picked = require_options(choices, self.widths)
        total = np.full(len(picked), self.fixed)
        state = np.zeros(len(picked), dtype=np.int64)
        for transition, column in zip(self.transitions, picked.T, strict=True):
            total += transition.costs[state, column]
            state = transition.next_state[state, column]
        costs: Array = total + self.last[state]
        return costs

    def cheapest(self) -> float:
        """The lowest cost that any network has."""
        least = self.last
        for transition in reversed(self.transitions):
            least = (transition.costs + least[transition.next_state]).min(axis=1)
        return float(least[0] + self.fixed)

    def dearest(self) -> float:
        """The highest cost that any network has."""
        most = self.last
        for transition in reversed(self.transitions):
            most = (transition.costs + most[transition.next_state]).max(axis=1)
        return float(most[0] + self.fixed)
