"""Costs of layers that are independent but for what neighbours cost together."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from search.costs.base import Array, Costs
from search.costs.factors import Factor, FactorCosts
from search.costs.matrix import CostMatrix, require_matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedCosts(FactorCosts):
    """Costs of layers, and of pairs of layers that follow each other.

    `independent` are those without the pairs: an approximation, for what needs a matrix.
    """

    independent: CostMatrix


def paired_costs(matrix: CostMatrix, pairs: Mapping[int, Array]) -> CostMatrix | PairedCosts:
    """The costs of a matrix, and what pairs cost beside; the matrix itself where none does.

    Args:
        matrix: Of independent layers.
        pairs: By layer what it and the next one cost together beyond the sum:
            (candidates of this layer, candidates of the next one), in the matrix's unit.
    """
    widths = tuple(int(legal.sum()) for legal in matrix.legal)
    alone = [
        Factor(variables=(layer,), values=matrix.costs[layer, :width])
        for layer, width in enumerate(widths)
    ]
    together = [
        Factor(variables=(layer, layer + 1), values=values)
        for layer, values in sorted(pairs.items())
        if np.any(values)
    ]
    if not together:
        return matrix
    return PairedCosts(
        widths=widths,
        fixed=matrix.fixed,
        factors=(*alone, *together),
        unit=matrix.unit,
        independent=matrix,
    )


def independent_costs(costs: Costs, space: str) -> CostMatrix:
    """The costs of layers as a matrix, without what pairs of them cost together.

    Raises:
        UsageError: As `require_matrix`.
    """
    return costs.independent if isinstance(costs, PairedCosts) else require_matrix(costs, space)
