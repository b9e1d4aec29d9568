"""Dynamic programme of the exact selection under several limits.

The multi-dimensional knapsack along a chain of states: layer by layer the
partial networks are kept that fit into what is left of every limit, that no
other one in the same state dominates in score and in all costs, and whose
bound reaches the best network already known. The bound is that of Lagrange
with one price a limit; good prices are found by subgradient steps (Held,
Wolfe and Crowder, "Validation of subgradient optimization", Mathematical
Programming 6, 1974). Costs stay real numbers, so that the optimum is proven; if
partial networks have to be left out, a bound states what that may have lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from search.costs.chain import ChainCosts
from search.selection.knapsack import ROUNDING, Array, IntArray, Mask

# Partial networks kept a layer.
MOST_PARTIAL, _FEW = 20_000, 400
_STEPS, _PRICES_KEPT, _SPREAD = 120, 3, 12
# Of one state, so many are compared with each other; and so many times what is kept in all.
_COMPARED, _MANY = 256, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class JointLayer:
    """One layer's ways from state to state: costs are (ways, limits), in shares of the limits."""

    first: IntArray
    end: IntArray
    columns: IntArray
    costs: Array
    scores: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class JointProblem:
    """A selection under several limits.

    `left` is the share of each limit that the layers may use, `last` (states, limits)
    what comes after them.
    """

    layers: tuple[JointLayer, ...]
    left: Array
    last: Array
    cost_slack: float
    score_slack: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JointSolution:
    """Choices and score of the best network, None for none; no unseen one scores above `bound`."""

    choices: IntArray | None
    score: float
    bound: float


def make_joint_problem(
    scores: Sequence[Array], chains: Sequence[ChainCosts], most: Sequence[float]
) -> JointProblem:
    """The ways and what is left.

    Args:
        scores: For every layer (states, candidates), -inf where not legal.
        chains: One a limit, of equal states.
        most: The limits, above 0.
    """
    layers = []
    for number, row in enumerate(scores):
        states, width = chains[0].transitions[number].costs.shape
        start, columns = np.nonzero(np.isfinite(np.broadcast_to(row, (states, width))))
        every = [chain.transitions[number].costs[start, columns] for chain in chains]
        layers.append(
            JointLayer(
                first=np.searchsorted(start, np.arange(states + 1)),
                end=chains[0].transitions[number].next_state[start, columns],
                columns=columns,
                costs=np.stack(every, axis=1) / np.array(most),
                scores=np.broadcast_to(row, (states, width))[start, columns],
            )
        )
    fixed = np.array([chain.fixed for chain in chains]) / np.array(most)
    last = np.stack([chain.last for chain in chains], axis=1) / np.array(most)
    size = 1 + np.abs(fixed).max() + sum(float(np.abs(one.costs).max()) for one in layers)
    return JointProblem(
        layers=tuple(layers),
        left=1.0 - fixed,
        last=last,
        cost_slack=2 * ROUNDING * size,
        score_slack=2 * ROUNDING * sum(float(np.abs(one.scores).max()) for one in layers),
    )


# --- the rest of a network, at prices -------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Completions:
    """From every layer and state the completion of the most score - prices x costs."""

    prices: Array
    values: list[Array]
    costs: list[Array]
    scores: list[Array]


def _complete(problem: JointProblem, prices: Array, gain: float = 1.0) -> _Completions:
    costs, scores = [problem.last], [np.zeros(len(problem.last))]
    values = [-(problem.last @ prices)]
    for layer in reversed(problem.layers):
        value = gain * layer.scores - layer.costs @ prices + values[-1][layer.end]
        start = np.repeat(np.arange(len(layer.first) - 1), np.diff(layer.first))
        best = np.full(len(layer.first) - 1, -np.inf)
        np.maximum.at(best, start, value)
        hits = np.flatnonzero(value == best[start])[::-1]
        way = np.zeros(len(best), dtype=np.intp)
        way[start[hits]] = hits
        costs.append(layer.costs[way] + costs[-1][layer.end[way]])
        scores.append(layer.scores[way] + scores[-1][layer.end[way]])
        values.append(best)
    return _Completions(prices=prices, values=values[::-1], costs=costs[::-1], scores=scores[::-1])


def _priced(problem: JointProblem) -> list[_Completions]:
    """Completions at the prices that bound a whole network's score best, and without any."""
    limits = len(problem.left)
    free = _complete(problem, np.zeros(limits))
    tried: list[tuple[float, _Completions]] = [(float(free.values[0][0]), free)]
    span = sum(float(np.ptp(layer.scores)) for layer in problem.layers)
    prices, stuck, scale = np.zeros(limits), 0, 1.0
    lowest, at_lowest, reached = np.inf, prices, -np.inf
    for _ in range(_STEPS):
        one = _complete(problem, prices)
        excess = one.costs[0][0] - problem.left
        value = float(one.values[0][0] + prices @ problem.left)
        tried.append((value, one))
        if (excess <= 0).all():
            reached = max(reached, float(one.scores[0][0]))
        if value < lowest - 1e-12 * abs(lowest):
            lowest, at_lowest, stuck = value, prices, 0
        else:
            stuck += 1
            if stuck == 6:
                scale, stuck, prices = scale / 2, 0, at_lowest
                continue
        size = float(excess @ excess)
        if size == 0:
            break
        aim = reached if np.isfinite(reached) else lowest - span / 4
        step = scale * max(value - aim, 1e-9 * span) / size
        prices = np.maximum(prices + step * excess, 0.0)
    tried.sort(key=lambda pair: pair[0])
    best = [one for _, one in (*tried[:_PRICES_KEPT], *tried[_PRICES_KEPT::_SPREAD])]
    near = [_complete(problem, best[0].prices * factor) for factor in (0.5, 0.8, 1.25, 2.0)]
    alone = [_complete(problem, best[0].prices * row) for row in np.eye(limits)]
    return [free, *best, *near, *alone]


# --- the walk over the layers ----------------------------------------------------


class _Bounds:
    """What partial networks can reach, and the best score known to be reached."""

    def __init__(self, problem: JointProblem) -> None:
        self._problem = problem
        self._priced = _priced(problem)
        self._cheapest = [_complete(problem, row, 0.0) for row in np.eye(len(problem.left))]
        self.best, self.lost = -np.inf, -np.inf

    def uppers(self, depth: int, states: IntArray, costs: Array, scores: Array) -> Array:
        """The most that these can reach; -inf where they do not fit."""
        left = self._problem.left - costs + self._problem.cost_slack
        fits = np.ones(len(states), dtype=bool)
        for limit, one in enumerate(self._cheapest):
            fits &= (one.costs[depth][states, limit] <= left[:, limit]) & (
                one.values[depth][states] > -np.inf
            )
        upper = np.full(len(states), np.inf)
        for one in self._priced:
            np.minimum(upper, one.values[depth][states] + left @ one.prices, out=upper)
        return np.where(fits, scores + upper, -np.inf)

    def raise_best(self, depth: int, states: IntArray, costs: Array, scores: Array) -> None:
        """Note the best whole network that a known completion makes of these."""
        # Strictly inside: a network that rounding puts above a limit must displace none.
        left = self._problem.left - costs - self._problem.cost_slack
        for one in (*self._priced, *self._cheapest):
            fits = (one.costs[depth][states] <= left).all(axis=1)
            reached = (scores + one.scores[depth][states])[fits]
            self.best = max(self.best, float(reached.max(initial=-np.inf)))

    def thin(self, kept: IntArray, uppers: Array, most: int) -> IntArray:
        """Those of the highest bounds; notes that of the others."""
        if len(kept) <= most:
            return kept
        order = np.argsort(-uppers[kept], kind="stable")
        self.lost = max(self.lost, float(uppers[kept[order[most]]]))
        return np.sort(kept[order[:most]])

    def useful(self, uppers: Array) -> Mask:
        """True for what may still become the best network."""
        mask: Mask = (uppers >= self.best - self._problem.score_slack) & (uppers > -np.inf)
        return mask


def solve(problem: JointProblem, most_partial: int = MOST_PARTIAL) -> JointSolution:
    """The network of the highest score within all limits.

    A walk that keeps a few partial networks comes first: its network lets the
    walk that proves leave out nearly everything.
    """
    bounds = _Bounds(problem)
    first = _walk(problem, bounds, _FEW)
    if first.choices is not None:
        bounds.best = max(bounds.best, first.score - problem.score_slack)
    bounds.lost = -np.inf
    found = _walk(problem, bounds, most_partial)
    if found.choices is None or found.score < first.score:
        return replace(first, bound=max(first.score, found.bound))
    return found


def _walk(problem: JointProblem, bounds: _Bounds, most_partial: int) -> JointSolution:
    trail = []
    states, scores = np.zeros(1, dtype=np.intp), np.zeros(1)
    costs = np.zeros((1, len(problem.left)))
    for depth, layer in enumerate(problem.layers, start=1):
        parents, ways = _extend(states, layer.first)
        states, scores = layer.end[ways], scores[parents] + layer.scores[ways]
        costs = costs[parents] + layer.costs[ways]
        bounds.raise_best(depth, states, costs, scores)
        uppers = bounds.uppers(depth, states, costs, scores)
        kept = np.flatnonzero(bounds.useful(uppers))
        if len(kept) > _MANY * most_partial:  # too many to compare with each other
            kept = bounds.thin(kept, uppers, _MANY * most_partial)
        kept = kept[_undominated(states[kept], costs[kept], scores[kept], uppers[kept])]
        kept = bounds.thin(kept, uppers, most_partial)
        trail.append((parents[kept], layer.columns[ways[kept]]))
        states, costs, scores = states[kept], costs[kept], scores[kept]
    return _best(problem, states, costs, scores, trail, bounds.lost)


def _extend(states: IntArray, first: IntArray) -> tuple[IntArray, IntArray]:
    """Every partial network with every way that leaves its state: their numbers."""
    counts = first[states + 1] - first[states]
    parents = np.repeat(np.arange(len(states)), counts)
    begun = np.cumsum(counts) - counts
    return parents, first[states][parents] + np.arange(len(parents)) - begun[parents]


def _undominated(states: IntArray, costs: Array, scores: Array, uppers: Array) -> IntArray:
    """Places of those that none of the most promising ones of their state dominates."""
    order = np.lexsort((-uppers, states))
    edges = np.flatnonzero(np.diff(states[order], prepend=-1))
    kept = []
    for group in np.split(order, edges[1:]) if len(order) else []:
        rivals = group[:_COMPARED]
        for block in np.split(group, range(_COMPARED, len(group), _COMPARED)):
            better = scores[rivals][:, None] >= scores[block]
            for limit in range(costs.shape[1]):
                better &= costs[rivals, limit][:, None] <= costs[block, limit]
            # Of equal ones the first stays.
            same = better & (scores[rivals][:, None] == scores[block])
            for limit in range(costs.shape[1]):
                same &= costs[rivals, limit][:, None] == costs[block, limit]
            later = rivals[:, None] >= block
            kept.append(block[~(better & ~(same & later)).any(axis=0)])
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, dtype=np.intp)


def _best(
    problem: JointProblem,
    states: IntArray,
    costs: Array,
    scores: Array,
    trail: list[tuple[IntArray, IntArray]],
    lost: float,
) -> JointSolution:
    shares = costs + problem.last[states]
    inside = np.flatnonzero((shares <= problem.left + problem.cost_slack).all(axis=1))
    if not len(inside):
        return JointSolution(choices=None, score=-np.inf, bound=lost)
    # Of equal scores, what uses less of its fullest limit.
    fullest = (shares[inside] - problem.left).max(axis=1)
    place = inside[np.lexsort((fullest, -scores[inside]))[0]]
    score, choices = float(scores[place]), np.empty(len(trail), dtype=np.intp)
    for depth in reversed(range(len(trail))):
        parents, columns = trail[depth]
        choices[depth], place = columns[place], parents[place]
    return JointSolution(choices=choices, score=score, bound=max(score, lost))
