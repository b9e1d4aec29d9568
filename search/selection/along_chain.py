"""Exact selection where a width, or another state, passes from layer to layer.

The same promises as `search.selection.exact` gives for independent layers.
"""

import math
from collections.abc import Sequence

import numpy as np

from search.costs.base import Costs
from search.costs.chain import ChainCosts
from search.errors import UsageError
from search.selection.chain_items import ChainProblem, complete, make_chain_problem
from search.selection.chain_program import ChainFrontier, enumerate_chain
from search.selection.dynamic_program import MOST_STATES
from search.selection.exact import Selection, require_targets, score_sums
from search.selection.knapsack import Array, IntArray, refuse_infeasible


def select_many_along_chain(
    scores: Array,
    costs: ChainCosts,
    targets: Sequence[float],
    *,
    judged_by: Costs | None = None,
    most_states: int = MOST_STATES,
) -> tuple[Selection, ...]:
    """The best network whose cost is at most each target, in their order.

    `judged_by` are the costs that decide whether a network meets a target;
    the chain's own where None.

    Raises:
        UsageError: As `search.selection.exact.select_many`.
    """
    require_targets(targets, costs.unit)
    problem, judge = make_chain_problem(scores, costs), judged_by or costs
    cheapest = complete(problem, math.inf).choices(problem)
    refuse_infeasible(float(judge.cost_of([cheapest])[0]), min(targets), costs.unit)
    frontier = enumerate_chain(problem, targets, most_states=most_states)
    return tuple(
        _best(problem, frontier, number, scores, judge, target, cheapest)
        for number, target in enumerate(targets)
    )


def front_along_chain(
    scores: Array,
    costs: ChainCosts,
    *,
    judged_by: Costs | None = None,
    most_states: int = MOST_STATES,
) -> tuple[Selection, ...]:
    """All networks that no other one dominates, from the cheapest to the best.

    Raises:
        UsageError: As `search.selection.exact.pareto_front`.
    """
    problem, judge = make_chain_problem(scores, costs), judged_by or costs
    costliest = problem.fixed + float(problem.last.max()) + problem.cost_slack
    costliest += sum(float(layer.costs.max()) for layer in problem.layers)
    frontier = enumerate_chain(problem, [costliest], floor=-math.inf, most_states=most_states)
    if frontier.pruned_bound[0] > -math.inf:
        raise UsageError(
            f"The whole front needs more than {most_states} partial networks.",
            "Ask for the best networks under several targets instead.",
        )
    choices = frontier.choices(np.arange(len(frontier.costs)))
    totals, sums = judge.cost_of(choices), score_sums(scores, choices)
    front: list[Selection] = []
    for place in np.lexsort((-sums, totals)):
        if not front or sums[place] > front[-1].score:
            front.append(_selection(choices[place], scores, judge, float(sums[place])))
    return tuple(front)


def _best(
    problem: ChainProblem,
    frontier: ChainFrontier,
    number: int,
    scores: Array,
    costs: Costs,
    target: float,
    cheapest: IntArray,
) -> Selection:
    """The best network of the frontier that really meets the target."""
    end = int(np.searchsorted(frontier.costs, target + problem.cost_slack, side="right"))
    bound = frontier.pruned_bound[number]
    if end:
        bound = max(bound, float(frontier.scores[:end].max()))
    while end:
        # Costs and scores rise alike; those that only rounding tells apart go together.
        near = frontier.scores[:end] >= frontier.scores[end - 1] - problem.score_slack
        numbers = np.flatnonzero(near)
        choices = frontier.choices(numbers)
        totals = costs.cost_of(choices)
        meets = np.flatnonzero(totals <= target)
        if meets.size:
            sums = score_sums(scores, choices[meets])
            order = np.lexsort((*choices[meets].T[::-1], totals[meets], -sums))
            best = choices[meets[order[0]]]
            return _selection(best, scores, costs, bound, problem.score_slack)
        end = int(numbers[0])
    return _selection(cheapest, scores, costs, bound, problem.score_slack)


def _selection(
    choices: IntArray, scores: Array, costs: Costs, bound: float, slack: float = 0.0
) -> Selection:
    score = float(score_sums(scores, choices[np.newaxis])[0])
    # The walk adds in another order than `score_sums` does.
    near = abs(bound - score) <= slack
    return Selection(
        choices=tuple(int(choice) for choice in choices),
        score=score,
        cost=float(costs.cost_of([choices])[0]),
        bound=score if near else max(score, bound),
    )
