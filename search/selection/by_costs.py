"""Selection and sampling under a target, each the way that the kind of costs allows.

Both are exact for every kind: of independent layers by one knapsack, of all
others along their chain of states, under several limits by the knapsack of as many
dimensions. A new kind of costs registers its own
functions here.
"""

from collections.abc import Sequence
from functools import singledispatch

import numpy as np

from search.costs.base import Array, Costs, CostTarget, IntArray
from search.costs.chain import ChainCosts
from search.costs.factors import FactorCosts
from search.costs.joint import JointCosts
from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.selection.along_chain import front_along_chain, select_many_along_chain
from search.selection.chain_sampling import ChainSampler
from search.selection.exact import Selection, pareto_front, select_many
from search.selection.joint import JointSampler, select_many_jointly
from search.selection.sampling import FeasibleSampler, Sampler


def select_within(costs: Costs, scores: Array, target: CostTarget) -> tuple[int, ...]:
    """The network of the highest score within a target.

    Args:
        costs: Of a space.
        scores: (layers, widest), higher is better, -inf where not legal.
        target: In the unit of `costs`.

    Raises:
        UsageError: There is no network within the target.
    """
    return select_many_within(costs, scores, [target.value])[0].choices


@singledispatch
def select_many_within(
    costs: Costs,
    scores: Array,  # noqa: ARG001
    targets: Sequence[float],  # noqa: ARG001
) -> tuple[Selection, ...]:
    """The best network under each target, in their order.

    Raises:
        UsageError: There is no network within one of them.
        TypeError: Costs of a kind that is not registered.
    """
    raise _unknown(costs)


@singledispatch
def front_of(costs: Costs, scores: Array) -> tuple[Selection, ...]:  # noqa: ARG001
    """All networks that no other one dominates, from the cheapest to the best.

    Raises:
        UsageError: There are too many partial networks on the way.
        TypeError: Costs of a kind that is not registered.
    """
    raise _unknown(costs)


@singledispatch
def sampler_of(
    costs: Costs,
    high: float,  # noqa: ARG001
    low: float | None = None,  # noqa: ARG001
    weights: Array | None = None,  # noqa: ARG001
) -> Sampler:
    """A source of random networks with low <= cost <= high; arguments as `FeasibleSampler`.

    Raises:
        UsageError: There is no network in the band.
        TypeError: Costs of a kind that is not registered.
    """
    raise _unknown(costs)


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
        number: How many.
        generator: The source of randomness.

    Raises:
        UsageError: There is no network in the band, or they are too rare to be drawn.
    """
    low, high = band
    return sampler_of(costs, high, low, weights).draw(number, generator)


def _unknown(costs: Costs) -> TypeError:
    return TypeError(f"Costs of the type {type(costs).__name__} have no selection.")


# --- independent layers, chains, factors ---------------------------------------


@select_many_within.register(CostMatrix)
def _select_of_matrix(
    costs: CostMatrix, scores: Array, targets: Sequence[float]
) -> tuple[Selection, ...]:
    return select_many(scores, costs, targets)


@select_many_within.register(ChainCosts)
def _select_of_chain(
    costs: ChainCosts, scores: Array, targets: Sequence[float]
) -> tuple[Selection, ...]:
    return select_many_along_chain(scores, costs, targets)


@select_many_within.register(FactorCosts)
def _select_of_factors(
    costs: FactorCosts, scores: Array, targets: Sequence[float]
) -> tuple[Selection, ...]:
    return select_many_along_chain(scores, costs.chain(), targets, judged_by=costs)


@front_of.register(CostMatrix)
def _front_of_matrix(costs: CostMatrix, scores: Array) -> tuple[Selection, ...]:
    return pareto_front(scores, costs)


@front_of.register(ChainCosts)
def _front_of_chain(costs: ChainCosts, scores: Array) -> tuple[Selection, ...]:
    return front_along_chain(scores, costs)


@front_of.register(FactorCosts)
def _front_of_factors(costs: FactorCosts, scores: Array) -> tuple[Selection, ...]:
    return front_along_chain(scores, costs.chain(), judged_by=costs)


@sampler_of.register(CostMatrix)
def _sampler_of_matrix(
    costs: CostMatrix, high: float, low: float | None = None, weights: Array | None = None
) -> Sampler:
    return FeasibleSampler(costs, high, low, weights)


@sampler_of.register(ChainCosts)
def _sampler_of_chain(
    costs: ChainCosts, high: float, low: float | None = None, weights: Array | None = None
) -> Sampler:
    return ChainSampler(costs, high, low, weights)


@sampler_of.register(FactorCosts)
def _sampler_of_factors(
    costs: FactorCosts, high: float, low: float | None = None, weights: Array | None = None
) -> Sampler:
    return ChainSampler(costs.chain(), high, low, weights, judged_by=costs)


# --- several limits ------------------------------------------------------------


@select_many_within.register(JointCosts)
def _select_jointly(
    costs: JointCosts, scores: Array, targets: Sequence[float]
) -> tuple[Selection, ...]:
    return select_many_jointly(scores, costs, targets, select_many_within)


@front_of.register(JointCosts)
def _front_jointly(costs: JointCosts, scores: Array) -> tuple[Selection, ...]:  # noqa: ARG001
    raise UsageError(
        "The whole front under several limits is not listed.", "Give targets along it."
    )


@sampler_of.register(JointCosts)
def _sampler_jointly(
    costs: JointCosts, high: float, low: float | None = None, weights: Array | None = None
) -> Sampler:
    return JointSampler(costs, high, low, weights, sampler_of)
