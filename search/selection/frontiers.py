"""Weighted sums of costs, and the networks above a score within a cost, of either form.

Costs are used in one of two forms: a matrix where layers are independent, else
a chain of states.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from search.costs.as_chain import along_one_chain, chain_of
from search.costs.base import Costs
from search.costs.chain import ChainCosts, Transition
from search.costs.factors import FactorCosts
from search.costs.matrix import CostMatrix
from search.selection.chain_items import complete, make_chain_problem
from search.selection.chain_program import enumerate_chain
from search.selection.dynamic_program import enumerate_frontier
from search.selection.knapsack import Array, IntArray, make_problem

Summable = CostMatrix | ChainCosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Networks by rising cost.

    `choices` turns their numbers into networks x layers. `pruned_bound` is the highest
    score that a network which was left out could have; -inf where none was.
    """

    scores: Array
    pruned_bound: float
    choices: Callable[[IntArray], IntArray]


def summable(costs: Costs) -> Summable:
    """The same costs as a matrix or a chain.

    Raises:
        TypeError: Costs of another kind.
    """
    if isinstance(costs, FactorCosts):
        return costs.chain()
    if isinstance(costs, CostMatrix | ChainCosts):
        return costs
    raise TypeError(f"Costs of the type {type(costs).__name__} are neither matrix nor chain.")


def weighted_sum(parts: Sequence[Summable], weights: Array, fixed: float) -> Summable:
    """sum of weight * part, and `fixed`; all parts are of one space."""
    if any(isinstance(part, ChainCosts) for part in parts):
        parts = along_one_chain([chain_of(part) for part in parts])
    fixed += sum(float(weight) * part.fixed for weight, part in zip(weights, parts, strict=True))
    chains = [part for part in parts if isinstance(part, ChainCosts)]
    if not chains:
        matrices = [part for part in parts if isinstance(part, CostMatrix)]
        legal = matrices[0].legal
        finite = (np.where(legal, matrix.costs, 0.0) for matrix in matrices)
        return CostMatrix(costs=np.where(legal, _added(finite, weights), np.inf), fixed=fixed)
    layers = zip(*(chain.transitions for chain in chains), strict=True)
    return ChainCosts(
        fixed=fixed,
        transitions=tuple(
            Transition(
                costs=_added((transition.costs for transition in layer), weights),
                next_state=layer[0].next_state,
            )
            for layer in layers
        ),
        last=_added((chain.last for chain in chains), weights),
    )


def _added(arrays: Iterable[Array], weights: Array) -> Array:
    total: Array = sum(weight * array for weight, array in zip(weights, arrays, strict=True))
    return total


def cheapest_choices(scores: Array, costs: Summable) -> IntArray:
    """The cheapest network whose candidates all have a score: (layers,).

    Raises:
        UsageError: Scores of another shape, a value that is not a number, or a
            layer without a legal candidate.
    """
    if isinstance(costs, CostMatrix):
        make_problem(scores, costs, math.inf)  # refuses what does not fit
        choices: IntArray = np.where(np.isfinite(scores), costs.costs, np.inf).argmin(axis=1)
        return choices
    problem = make_chain_problem(np.where(np.isfinite(scores), 0.0, scores), costs)
    return complete(problem, math.inf).choices(problem)


def networks_within(
    costs: Summable,
    scores: Array,
    target: float,
    *,
    floor: float,
    dominance: bool,
    most_states: int,
) -> Networks:
    """Networks that cost at most `target` (up to rounding) and score at least `floor`.

    With `dominance` those suffice that no other one dominates.
    """
    if isinstance(costs, ChainCosts):
        problem = make_chain_problem(scores, costs, dominated=not dominance)
        chain = enumerate_chain(
            problem, [target], floor=floor, dominance=dominance, most_states=most_states
        )
        within = int(np.searchsorted(chain.costs, target + problem.cost_slack, side="right"))
        return Networks(
            scores=chain.scores[:within],
            pruned_bound=chain.pruned_bound[0],
            choices=chain.choices,
        )
    independent = make_problem(scores, costs, target, dominated=not dominance)
    frontier = enumerate_frontier(
        independent,
        [target - independent.cheapest],
        floor=floor - independent.highest,
        dominance=dominance,
        most_states=most_states,
    )
    return Networks(
        scores=frontier.scores,
        pruned_bound=independent.highest + frontier.pruned_bound[0],
        choices=frontier.choices,
    )
