"""Selection and sampling under a target, each the way that the kind of costs allows.

Independent layers: exactly. Any other costs: by local search, and by drawing
and rejecting. A new kind of costs registers its own functions here, or takes
these.
"""

from functools import singledispatch

import numpy as np

from search.costs.base import Array, Costs, CostTarget, IntArray
from search.costs.matrix import CostMatrix
from search.selection.exact import select
from search.selection.local_search import local_search, sample_by_rejection
from search.selection.sampling import FeasibleSampler


@singledispatch
def select_within(costs: Costs, scores: Array, target: CostTarget) -> tuple[int, ...]:
    """A network of the highest score within a target, or of a high one.

    Args:
        costs: Of a space.
        scores: (layers, widest), higher is better, -inf where not legal.
        target: In the unit of `costs`.

    Raises:
        UsageError: There is no network within the target, or none is found.
    """
    return local_search(scores, costs, target.value)


@select_within.register(CostMatrix)
def _select_exactly(costs: CostMatrix, scores: Array, target: CostTarget) -> tuple[int, ...]:
    return select(scores, costs, target.value).choices


@singledispatch
def sample_between(
    costs: Costs,
    weights: Array,
    band: tuple[float, float],
    number: int,
    generator: np.random.Generator,
) -> IntArray:
    """Random networks of a band of costs, by a distribution of each layer: (networks, layers).

    Args:
        costs: Of a space.
        weights: (layers, widest), above 0 where a candidate is legal.
        band: Lowest and highest cost.
        number: How many; fewer, or none, where they are rare and layers interact.
        generator: The source of randomness.

    Raises:
        UsageError: There is no network in the band, or they are too rare to be drawn.
    """
    return sample_by_rejection(weights, costs, band, number, generator)


@sample_between.register(CostMatrix)
def _sample_exactly(
    costs: CostMatrix,
    weights: Array,
    band: tuple[float, float],
    number: int,
    generator: np.random.Generator,
) -> IntArray:
    low, high = band
    return FeasibleSampler(costs, high, low, weights).draw(number, generator)
