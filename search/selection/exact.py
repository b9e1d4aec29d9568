"""Exact selection: the best network of a space within a latency target.

Maximise the sum of scores, subject to latency <= target, one candidate a
layer; both are sums over layers, so this is a multiple-choice knapsack
problem, solved exactly by `search.selection.dynamic_program`. Scores come from a trained
supernet or from probabilities (`search.selection.scores`), latencies from any table of
the same space: one search serves many devices and targets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.architecture import Architecture
from search.errors import UsageError
from search.latency.model import CostMatrix
from search.selection.dynamic_program import MOST_STATES, Frontier, enumerate_frontier
from search.selection.knapsack import Array, IntArray, make_problem, require_feasible
from search.selection.scores import Scores
from search.spaces.base import LayeredSpace

# Networks listed one by one where only rounding tells them from the target.
MOST_SETTLED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A selected network: one candidate index a layer.

    `latency_us` is what `CostMatrix.price` says and never exceeds the target.
    `bound` is a proven upper bound on the score of any network that meets the
    target. `probability` is P(latency <= target), where it was asked for.
    """

    choices: tuple[int, ...]
    score: float
    latency_us: float
    bound: float
    probability: float | None = None

    @property
    def gap(self) -> float:
        """How much better an unseen network might score; 0 when proven best."""
        return max(0.0, self.bound - self.score)

    @property
    def optimal(self) -> bool:
        """True when no network that meets the target scores higher."""
        return self.gap == 0

    def architecture(self, space: LayeredSpace, name: str) -> Architecture:
        """The network itself."""
        return network_of(space, self.choices, name)


def network_of(space: LayeredSpace, choices: Sequence[int], name: str) -> Architecture:
    """The network of a space that takes these candidate indices."""
    picked = zip(space.layers, choices, strict=True)
    return space.architecture([layer.choices[number].name for layer, number in picked], name)


def select(
    scores: Scores | npt.ArrayLike,
    costs: CostMatrix,
    target_us: float,
    *,
    most_states: int = MOST_STATES,
) -> Selection:
    """The best network whose latency is at most the target.

    Exact up to the rounding of the scores' sum: no grid, no tolerance on the
    target. Of equal scores the lower latency wins; equal inputs give equal
    networks.

    Scores that follow costs to five digits or more can make more partial
    networks than `most_states`; then the target is still met, and `bound`
    and `gap` say how far from the best the result can be.

    Args:
        scores: Layers x candidates, higher is better, -inf where not legal.
        costs: What a network costs, from `LatencyModel.cost_matrix`.
        target_us: The latency target in microseconds.
        most_states: Partial networks kept a layer.

    Raises:
        UsageError: No network is that fast (says how fast the fastest is),
            or the inputs are not usable.
    """
    return select_many(scores, costs, [target_us], most_states=most_states)[0]


def select_many(
    scores: Scores | npt.ArrayLike,
    costs: CostMatrix,
    targets_us: Sequence[float],
    *,
    most_states: int = MOST_STATES,
) -> tuple[Selection, ...]:
    """`select` for several targets in one pass, in their order.

    Raises:
        UsageError: As `select`; the lowest target decides.
    """
    if not len(targets_us):
        raise UsageError("No latency target is given.")
    for target_us in targets_us:
        if not math.isfinite(target_us):
            raise UsageError(f"The latency target {target_us} is not a number of microseconds.")
    values = score_matrix(scores)
    problem = make_problem(values, costs, max(targets_us))
    require_feasible(problem, costs, min(targets_us))
    budgets = [target_us - problem.cheapest_us for target_us in targets_us]
    explored = enumerate_frontier(problem, budgets, most_states=most_states)
    return tuple(
        _best(explored, number, values, costs, target_us)
        for number, target_us in enumerate(targets_us)
    )


def pareto_front(
    scores: Scores | npt.ArrayLike, costs: CostMatrix, *, most_states: int = MOST_STATES
) -> tuple[Selection, ...]:
    """All networks that no other one dominates, from the fastest to the best.

    Latencies and scores both rise strictly. Random tables of 22 x 9 have some
    hundreds to some thousands of such networks.

    Raises:
        UsageError: The front passes through more than `most_states` partial
            networks, or the inputs are not usable.
    """
    values = score_matrix(scores)
    problem = make_problem(values, costs, math.inf)
    dearest = sum(float(layer.costs[-1]) for layer in problem.layers)
    explored = enumerate_frontier(problem, [dearest], floor=-math.inf, most_states=most_states)
    if explored.dropped[0] > -math.inf:
        raise UsageError(
            f"The whole front needs more than {most_states} partial networks.",
            "Ask for the best networks under several targets instead.",
        )
    choices = explored.choices(np.arange(len(explored.costs)))
    latencies = costs.price(choices)
    totals = score_sums(values, choices)
    found: list[Selection] = []
    # Sorted anew: the order of addition may swap neighbours in the last digit.
    for place in np.lexsort((-totals, latencies)):
        score = float(totals[place])
        if not found or score > found[-1].score:
            found.append(_selection(choices[place], values, float(latencies[place]), score))
    return tuple(found)


def score_matrix(scores: Scores | npt.ArrayLike) -> Array:
    """The matrix of either form that scores are given in."""
    return scores.values if isinstance(scores, Scores) else np.asarray(scores, dtype=np.float64)


def score_sums(values: Array, choices: IntArray) -> Array:
    """Scores of many networks, correctly rounded so that equal sums are equal."""
    picked = values[np.arange(values.shape[0]), choices]
    return np.array([math.fsum(row) for row in picked.tolist()])


def _best(
    explored: Frontier, number: int, values: Array, costs: CostMatrix, target_us: float
) -> Selection:
    """The best of the networks left that really meets the target."""
    problem = explored.problem
    budget = target_us - problem.cheapest_us + problem.cost_slack
    dropped = problem.highest + explored.dropped[number]
    end = int(np.searchsorted(explored.costs, budget, side="right"))
    found, missed = None, False
    while end:
        # States rise in cost and in score alike; those that only rounding
        # tells apart are judged together.
        near = explored.scores[:end] >= explored.scores[end - 1] - problem.score_slack
        places = np.flatnonzero(near)
        found = _first(explored.choices(places), values, costs, target_us)
        if found is not None:
            break
        missed, end = True, int(places[0])
    choices = problem.fastest() if found is None else found
    if missed:
        choices = _settle(choices, values, costs, target_us)
    return _selection(choices, values, float(costs.price([choices])[0]), dropped)


def _first(
    choices: IntArray, values: Array, costs: CostMatrix, target_us: float
) -> IntArray | None:
    """Of the networks that meet the target, the best, then the fastest, then the first."""
    latencies = costs.price(choices)
    meets = np.flatnonzero(latencies <= target_us)
    if not meets.size:
        return None
    totals = score_sums(values, choices[meets])
    order = np.lexsort((*choices[meets].T[::-1], latencies[meets], -totals))
    first: IntArray = choices[meets[order[0]]]
    return first


def _settle(choices: IntArray, values: Array, costs: CostMatrix, target_us: float) -> IntArray:
    """The best network where sums lie so near the target that rounding decides.

    What seemed better was over the target by the last digits; what it had
    displaced may be within. All networks that score higher than what is left
    are listed: they all lie that near, so they are few.
    """
    problem = make_problem(values, costs, target_us, dominated=True)
    floor = float(score_sums(values, choices[np.newaxis])[0]) - problem.highest
    budget = target_us - problem.cheapest_us
    listed = enumerate_frontier(
        problem, [budget], floor=floor, dominance=False, most_states=MOST_SETTLED
    )
    every = np.vstack([choices, listed.choices(np.arange(len(listed.costs)))])
    found = _first(every, values, costs, target_us)
    assert found is not None
    return found


def _selection(choices: IntArray, values: Array, latency_us: float, bound: float) -> Selection:
    score = float(score_sums(values, choices[np.newaxis])[0])
    return Selection(
        choices=tuple(int(choice) for choice in choices),
        score=score,
        latency_us=latency_us,
        bound=max(score, bound),
    )
