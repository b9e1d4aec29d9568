"""Exact selection: the best network of a space within a target.

Maximise the sum of scores, subject to cost <= target, one candidate a
layer; both are sums over layers, so this is a multiple-choice knapsack
problem, solved exactly by `search.selection.dynamic_program`. Scores come from a trained
supernet or from probabilities (`search.selection.scores`), costs from any table of
the same space: one search serves many devices and targets. Targets are in the
unit of the costs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.architecture import Architecture
from search.costs.base import Unit
from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.selection.dynamic_program import MOST_STATES, Frontier, enumerate_frontier
from search.selection.knapsack import Array, IntArray, make_problem, require_feasible
from search.selection.scores import Scores
from search.spaces.base import LayeredSpace

# Networks listed one by one where only rounding tells them from the target.
MOST_SETTLED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A selected network: one candidate index a layer.

    `cost` is that of `CostMatrix.cost_of` and never exceeds the target.
    `bound` is a proven upper bound on the score of any network that meets the
    target. `probability` is P(cost <= target), where the target has one.
    """

    choices: tuple[int, ...]
    score: float
    cost: float
    bound: float
    probability: float | None = None

    @property
    def gap(self) -> float:
        """The most that an unseen network might score above it; 0 when proven best."""
        return max(0.0, self.bound - self.score)

    @property
    def optimal(self) -> bool:
        """True when no network that meets the target scores higher."""
        return self.gap == 0

    def architecture(self, space: LayeredSpace, name: str) -> Architecture:
        """The network as its operators."""
        return network_of(space, self.choices, name)


def network_of(space: LayeredSpace, choices: Sequence[int], name: str) -> Architecture:
    """The network of a space that takes these candidate indices."""
    picked = zip(space.layers, choices, strict=True)
    return space.architecture([layer.choices[number].name for layer, number in picked], name)


def select(
    scores: Scores | npt.ArrayLike,
    costs: CostMatrix,
    target: float,
    *,
    most_states: int = MOST_STATES,
) -> Selection:
    """The best network whose cost is at most the target.

    Exact up to the rounding of the scores' sum: no grid, no tolerance on the
    target. Of equal scores the lower cost wins; equal inputs give equal
    networks.

    Scores that follow costs to five digits or more can make more partial
    networks than `most_states`; then the target is still met, and `bound`
    and `gap` state how far from the best the result can be.

    Args:
        scores: Layers x candidates, higher is better, -inf where not legal.
        costs: Of the same space, as from `LatencyModel.cost_matrix`.
        target: The highest cost.
        most_states: Partial networks kept a layer.

    Raises:
        UsageError: Every network costs more (states the lowest cost), or the
            inputs are not usable.
    """
    return select_many(scores, costs, [target], most_states=most_states)[0]


def select_many(
    scores: Scores | npt.ArrayLike,
    costs: CostMatrix,
    targets: Sequence[float],
    *,
    most_states: int = MOST_STATES,
) -> tuple[Selection, ...]:
    """`select` for several targets in one pass, in their order.

    Raises:
        UsageError: As `select`; the lowest target decides.
    """
    require_targets(targets, costs.unit)
    values = score_matrix(scores)
    problem = make_problem(values, costs, max(targets))
    require_feasible(problem, costs, min(targets))
    capacities = [target - problem.cheapest for target in targets]
    frontier = enumerate_frontier(problem, capacities, most_states=most_states)
    return tuple(
        _best(frontier, number, values, costs, target) for number, target in enumerate(targets)
    )


def require_targets(targets: Sequence[float], unit: Unit) -> None:
    """Refuse targets that mean nothing.

    Raises:
        UsageError: There is none, or one is not a number.
    """
    if not len(targets):
        raise UsageError(f"No {unit.cost} target is given.")
    for target in targets:
        if not math.isfinite(target):
            raise UsageError(f"The {unit.cost} target {target} is not a number of {unit.noun}.")


def pareto_front(
    scores: Scores | npt.ArrayLike, costs: CostMatrix, *, most_states: int = MOST_STATES
) -> tuple[Selection, ...]:
    """All networks that no other one dominates, from the cheapest to the best.

    Costs and scores both rise strictly. Random tables of 22 x 9 have some
    hundreds to some thousands of such networks.

    Raises:
        UsageError: The front passes through more than `most_states` partial
            networks, or the inputs are not usable.
    """
    values = score_matrix(scores)
    problem = make_problem(values, costs, math.inf)
    costliest = sum(float(layer.costs[-1]) for layer in problem.layers)
    frontier = enumerate_frontier(problem, [costliest], floor=-math.inf, most_states=most_states)
    if frontier.pruned_bound[0] > -math.inf:
        raise UsageError(
            f"The whole front needs more than {most_states} partial networks.",
            "Ask for the best networks under several targets instead.",
        )
    choices = frontier.choices(np.arange(len(frontier.costs)))
    totals = costs.cost_of(choices)
    sums = score_sums(values, choices)
    front: list[Selection] = []
    # Sorted again: the order of addition may swap neighbours in the last digit.
    for place in np.lexsort((-sums, totals)):
        score = float(sums[place])
        if not front or score > front[-1].score:
            front.append(_selection(choices[place], values, float(totals[place]), score))
    return tuple(front)


def score_matrix(scores: Scores | npt.ArrayLike) -> Array:
    """The matrix of scores that are given as either type."""
    return scores.values if isinstance(scores, Scores) else np.asarray(scores, dtype=np.float64)


def score_sums(values: Array, choices: IntArray) -> Array:
    """Scores of many networks, correctly rounded so that equal sums are equal."""
    picked = values[np.arange(values.shape[0]), choices]
    return np.array([math.fsum(row) for row in picked.tolist()])


def _best(
    frontier: Frontier, number: int, values: Array, costs: CostMatrix, target: float
) -> Selection:
    """The best network of the frontier that really meets the target."""
    problem = frontier.problem
    capacity = target - problem.cheapest + problem.cost_slack
    bound = problem.highest + frontier.pruned_bound[number]
    end = int(np.searchsorted(frontier.costs, capacity, side="right"))
    best, missed = None, False
    while end:
        # States rise in cost and in score alike; those that only rounding
        # tells apart are judged together.
        near = frontier.scores[:end] >= frontier.scores[end - 1] - problem.score_slack
        states = np.flatnonzero(near)
        best = _first(frontier.choices(states), values, costs, target)
        if best is not None:
            break
        missed, end = True, int(states[0])
    choices = problem.cheapest_choices() if best is None else best
    if missed:
        choices = _settle(choices, values, costs, target)
    return _selection(choices, values, float(costs.cost_of([choices])[0]), bound)


def _first(choices: IntArray, values: Array, costs: CostMatrix, target: float) -> IntArray | None:
    """Of the networks that meet the target, the best, then the cheapest, then the first."""
    totals = costs.cost_of(choices)
    meets = np.flatnonzero(totals <= target)
    if not meets.size:
        return None
    sums = score_sums(values, choices[meets])
    order = np.lexsort((*choices[meets].T[::-1], totals[meets], -sums))
    first: IntArray = choices[meets[order[0]]]
    return first


def _settle(choices: IntArray, values: Array, costs: CostMatrix, target: float) -> IntArray:
    """The best network where sums lie so near the target that rounding decides.

    What seemed better was over the target by the last digits; what it had
    displaced may be within. All networks that score higher than `choices` are
    listed: they all lie that near, so they are few.
    """
    problem = make_problem(values, costs, target, dominated=True)
    floor = float(score_sums(values, choices[np.newaxis])[0]) - problem.highest
    capacity = target - problem.cheapest
    listed = enumerate_frontier(
        problem, [capacity], floor=floor, dominance=False, most_states=MOST_SETTLED
    )
    every = np.vstack([choices, listed.choices(np.arange(len(listed.costs)))])
    best = _first(every, values, costs, target)
    assert best is not None
    return best


def _selection(choices: IntArray, values: Array, cost: float, bound: float) -> Selection:
    score = float(score_sums(values, choices[np.newaxis])[0])
    return Selection(
        choices=tuple(int(choice) for choice in choices),
        score=score,
        cost=cost,
        bound=max(score, bound),
    )
