"""Effects of neighbouring layers on a network's latency.

A sum over operators takes each as it runs alone. Inside a network an operator finds in the
cache what the one before it left there: two neighbours that both spread large images over
many channels use the same memory, and warm it once. `profiler.analysis.layer_pairs` fits how
much that is, by image size and by both expansions.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from search.costs.base import Array, Costs
from search.costs.matrix import CostMatrix
from search.costs.pairs import paired_costs
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace
from search.table.calibration import Calibration

# Rows of the image that the second layer reads, and both expansions.
Pair = tuple[int, int | None, int | None]


def expansion_of(operator: OperatorSpec) -> int | None:
    """Middle channels over those that come in; 0 without any, None for a skip."""
    if operator.kind == "skip":
        return None
    return operator.mid_channels // max(operator.in_channels, 1)


def pair_of(first: OperatorSpec, second: OperatorSpec) -> Pair:
    """What two operators have in common with others that follow each other."""
    return second.height, expansion_of(first), expansion_of(second)


class PairEffects:
    """The effects of a calibration, in microseconds."""

    def __init__(self, calibration: Calibration) -> None:
        self._effects = {pair.key: pair.effect_us for pair in calibration.pairs}

    def of(self, first: OperatorSpec, second: OperatorSpec) -> float:
        """What two operators that follow each other cost beside what each costs."""
        return self._effects.get(pair_of(first, second), 0.0)

    def along(self, operators: Sequence[OperatorSpec]) -> list[float]:
        """What each operator of a network costs more for the one before it; the first nothing."""
        neighbours = itertools.pairwise(operators)
        return [0.0, *(self.of(first, second) for first, second in neighbours)][: len(operators)]

    def add_to(self, costs: Costs, space: LayeredSpace) -> Costs:
        """The costs of a space with the effects in them.

        Tables of spaces whose layers depend on each other list no effects.
        """
        if not self._effects or not isinstance(costs, CostMatrix):
            return costs
        layers = [[choice.operator for choice in layer.choices] for layer in space.layers]
        matrix = CostMatrix(
            costs=costs.costs + self._at_the_ends(costs.costs.shape, layers, space),
            fixed=costs.fixed + sum(self.along(space.before)) + sum(self.along(space.after)),
            unit=costs.unit,
        )
        pairs = {number: self._between(*layers[number : number + 2]) for number in _inner(layers)}
        return paired_costs(matrix, pairs)

    def _between(self, first: Sequence[OperatorSpec], second: Sequence[OperatorSpec]) -> Array:
        return np.array([[self.of(one, other) for other in second] for one in first])

    def _at_the_ends(
        self,
        shape: tuple[int, ...],
        layers: Sequence[Sequence[OperatorSpec]],
        space: LayeredSpace,
    ) -> Array:
        """Effects of the first and last layers with what every network begins and ends with."""
        added = np.zeros(shape)
        if layers and space.before:
            added[0, : len(layers[0])] += self._between(space.before[-1:], layers[0])[0]
        if layers and space.after:
            added[-1, : len(layers[-1])] += self._between(layers[-1], space.after[:1])[:, 0]
        return added


def _inner(layers: Sequence[object]) -> range:
    """Numbers of the layers that another one follows."""
    return range(max(len(layers) - 1, 0))
