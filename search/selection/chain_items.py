"""A chain of costs with its scores as a selection problem: the ways from state to state.

What a layer costs, and what may follow it, depends on the state that the
layers before it leave (a width). A way is one candidate in one state.
"""

import math
from dataclasses import dataclass

import numpy as np

from search.costs.chain import ChainCosts, Transition
from search.errors import UsageError
from search.selection.knapsack import LARGEST, ROUNDING, Array, IntArray, Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWays:
    """One layer's ways, by the state that they start from.

    `first` holds, for each state, the number of its first way, and in the end
    the number of all: state `s` has the ways `first[s]` to `first[s + 1]`.
    """

    first: IntArray
    start: IntArray
    end: IntArray
    columns: IntArray
    costs: Array
    scores: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainProblem:
    """A selection along a chain, checked.

    `fixed` and `last` are those of the costs; `cost_slack` and `score_slack`
    bound the rounding errors of sums.
    """

    layers: tuple[LayerWays, ...]
    fixed: float
    last: Array
    cost_slack: float
    score_slack: float


def make_chain_problem(
    scores: Array, costs: ChainCosts, *, dominated: bool = False
) -> ChainProblem:
    """Check, and list the ways; those that can be in no best network are left out.

    Args:
        scores: Layers x candidates, -inf where not legal.
        costs: Of the same space.
        dominated: Keep ways for which another one between the same states is
            neither more expensive nor worse; an enumeration of all networks
            needs them.

    Raises:
        UsageError: Shapes differ, a value is not a number, or a layer has no
            legal candidate.
    """
    _check(scores, costs)
    layers = []
    for row, transition in zip(scores, costs.transitions, strict=True):
        layers.append(_ways(row[: transition.costs.shape[1]], transition, dominated))
    magnitude = abs(costs.fixed) + float(np.abs(costs.last).max())
    magnitude += sum(float(np.abs(layer.costs).max()) for layer in layers)
    regret = sum(float(np.abs(layer.scores).max()) for layer in layers)
    return ChainProblem(
        layers=tuple(layers),
        fixed=costs.fixed,
        last=costs.last,
        cost_slack=2 * ROUNDING * magnitude,
        score_slack=2 * ROUNDING * regret,
    )


def _check(scores: Array, costs: ChainCosts) -> None:
    if scores.shape != costs.legal.shape:
        raise UsageError(
            f"Scores of shape {scores.shape} do not fit costs of shape {costs.legal.shape}."
        )
    if not (np.isneginf(scores) | (np.abs(scores) <= LARGEST)).all():
        raise UsageError("A score is not a usable number.", "Use -inf where not legal.")
    empty = np.flatnonzero(~(np.isfinite(scores) & costs.legal).any(axis=1))
    if empty.size:
        raise UsageError(f"Layer {empty[0]} has no candidate with both a score and a cost.")
    every = [costs.last, *(transition.costs for transition in costs.transitions)]
    if not all((np.abs(values) <= LARGEST).all() for values in every):
        raise UsageError("A cost is not a usable number.", "Measure the table again.")
    if not abs(costs.fixed) <= LARGEST:
        raise UsageError(f"The fixed cost is {costs.fixed}, not a usable number.")


def _ways(row: Array, transition: Transition, dominated: bool) -> LayerWays:
    states, width = transition.costs.shape
    legal = np.isfinite(row)
    start, columns = np.divmod(np.flatnonzero(np.tile(legal, states)), width)
    ends, way_costs = transition.next_state[start, columns], transition.costs[start, columns]
    way_scores = row[columns]
    order = np.lexsort((columns, -way_scores, way_costs, ends, start))
    if not dominated:
        pairs = start[order] * (int(ends.max()) + 1) + ends[order]
        order = order[rises_within(pairs, way_scores[order])]
    start = start[order]
    return LayerWays(
        first=np.searchsorted(start, np.arange(states + 1)),
        start=start,
        end=ends[order],
        columns=columns[order],
        costs=way_costs[order],
        scores=way_scores[order],
    )


def rises_within(groups: IntArray, values: Array) -> Mask:
    """True for each value that is higher than all before it in its group; groups ascend."""
    if not len(values):
        return np.zeros(0, dtype=bool)
    _, rank = np.unique(values, return_inverse=True)
    key = groups.astype(np.int64) * (int(rank.max()) + 1) + rank
    mask = np.ones(len(values), dtype=bool)
    mask[1:] = key[1:] > np.maximum.accumulate(key)[:-1]
    return mask


# --- the rest of a network, from every state -----------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Completions:
    """From every layer and state, the completion of the most score - price * cost.

    Per layer, (states,): the value, and the cost and the score of that very
    completion. The price infinity means the cheapest one, whose value is
    minus its cost. A state that nothing completes has the value -inf.
    """

    price: float
    values: tuple[Array, ...]
    costs: tuple[Array, ...]
    scores: tuple[Array, ...]
    ways: tuple[IntArray, ...]

    def choices(self, problem: ChainProblem) -> IntArray:
        """The whole network that begins in the first state: (layers,)."""
        picked, state = [], 0
        for layer, ways in zip(problem.layers, self.ways, strict=True):
            way = int(ways[state])
            picked.append(int(layer.columns[way]))
            state = int(layer.end[way])
        return np.array(picked, dtype=np.intp)


def complete(problem: ChainProblem, price: float) -> Completions:
    """Best completions at a price of cost in score, by one walk from the end."""
    cheapest = math.isinf(price)
    weight, gain = (1.0, 0.0) if cheapest else (price, 1.0)
    costs, scores, values = [problem.last], [np.zeros(len(problem.last))], [-weight * problem.last]
    every: list[IntArray] = []
    for layer in reversed(problem.layers):
        value = gain * layer.scores - weight * layer.costs + values[0][layer.end]
        best = np.full(len(layer.first) - 1, -np.inf)
        np.maximum.at(best, layer.start, value)
        hits = np.flatnonzero(value == best[layer.start])[::-1]
        way = np.zeros(len(best), dtype=np.intp)
        way[layer.start[hits]] = hits
        values.insert(0, best)
        costs.insert(0, layer.costs[way] + costs[0][layer.end[way]])
        scores.insert(0, layer.scores[way] + scores[0][layer.end[way]])
        every.insert(0, way)
    return Completions(
        price=price,
        values=tuple(values),
        costs=tuple(costs),
        scores=tuple(scores),
        ways=tuple(every),
    )
