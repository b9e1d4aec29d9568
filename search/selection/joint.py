"""Exact selection and sampling under several limits at once."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np

from search.costs.as_chain import along_one_chain, chain_of
from search.costs.base import Array, Costs, IntArray, Mask
from search.costs.joint import JointCosts, Limit, labels_of
from search.errors import UsageError
from search.selection.exact import Selection, require_targets, score_sums
from search.selection.joint_program import JointSolution, make_joint_problem, solve
from search.selection.sampling import Sampler, draw_inside, no_network, require_band

_PROBES, _CLEARLY, _CLOSE = 512, 1e-9, 1e-5


Select = Callable[[Costs, Array, Sequence[float]], tuple[Selection, ...]]


def select_many_jointly(
    scores: Array, costs: JointCosts, targets: Sequence[float], select: Select
) -> tuple[Selection, ...]:
    """The best network whose joint cost is at most each target: within all limits, scaled.

    Args:
        scores: (layers, widest), -inf where not legal.
        costs: The limits.
        targets: In the unit of the first limit.
        select: The same under one limit.

    Raises:
        UsageError: There is none within one of them; names the lowest of each limit.
    """
    require_targets(targets, costs.unit)
    return tuple(_select(scores, costs, target, select) for target in targets)


def _select(scores: Array, costs: JointCosts, target: float, select: Select) -> Selection:
    share = target / costs.first.most
    refuse_single_limits(costs.limits, share)
    alone = [select(one.costs, scores, [share * one.most])[0] for one in costs.limits]
    for one in alone:  # one limit may be all that matters
        cost = float(costs.cost_of([one.choices])[0])
        if cost <= target:
            return replace(one, cost=cost)
    selected = _select_together(scores, costs, target, share)
    # No network within all limits is better than the best within one of them.
    return replace(selected, bound=min(selected.bound, *(one.bound for one in alone)))


def _select_together(scores: Array, costs: JointCosts, target: float, share: float) -> Selection:
    found = _solve(costs.limits, scores, share)
    if found.choices is not None and costs.cost_of([found.choices])[0] > target:
        # Above a limit by rounding alone: what is clearly inside.
        found = _solve(costs.limits, scores, share * (1 - _CLEARLY))
    if found.choices is None:
        refuse_limits(costs.limits, share)
    assert found.choices is not None
    score = float(score_sums(scores, np.array([found.choices]))[0])
    return Selection(
        choices=tuple(int(choice) for choice in found.choices),
        score=score,
        cost=float(costs.cost_of([found.choices])[0]),
        bound=max(score, found.bound) if found.bound > found.score else score,
    )


def require_limits(limits: Sequence[Limit]) -> None:
    """Make sure that some network keeps to all limits.

    Raises:
        UsageError: There is none; states the lowest of each that the others leave.
    """
    refuse_single_limits(limits, 1.0)
    first, *others = limits
    least = least_cost(first, others)
    if least is None or least > first.most:
        refuse_limits(limits, 1.0)


def refuse_single_limits(limits: Sequence[Limit], share: float) -> None:
    """Say which limit no network keeps to, whatever the others.

    Raises:
        UsageError: There is one; states the lowest that can be met.
    """
    for together in _by_label(limits):
        limit = together[0]
        least = max(one.costs.cheapest() for one in together)
        if not least <= share * limit.most < math.inf:
            least = _lowest(together, (), share) or least
            raise UsageError(
                f"No network keeps to {limit.label}: the lowest is {_amount(limit, least)}.",
                "Raise that limit, or search another space.",
            )


def refuse_limits(limits: Sequence[Limit], share: float) -> NoReturn:
    """Say of limits that no network keeps to all of how low each can be within the others.

    Raises:
        UsageError: Always.
    """
    refuse_single_limits(limits, share)
    lowest = []
    for together in _by_label(limits):
        others = [one for one in limits if one.label != together[0].label]
        least = _lowest(together, others, share)
        if least is None or least <= share * together[0].most:
            continue
        names = " and ".join(labels_of(others))
        lowest.append(f"within {names} the lowest is {_amount(together[0], least)}")
    names = " and ".join(labels_of(limits))
    if not lowest:
        raise UsageError(f"No network was found that keeps to {names} together.", "Raise them.")
    raise UsageError(
        f"No network keeps to {names} together: {'; '.join(lowest)}.",
        "Raise one of the limits to that, or search another space.",
    )


def _by_label(limits: Sequence[Limit]) -> list[list[Limit]]:
    """Limits that were asked for as one."""
    return [[one for one in limits if one.label == label] for label in labels_of(limits)]


def _lowest(together: Sequence[Limit], others: Sequence[Limit], share: float) -> float | None:
    """The lowest that the largest of some costs can be within the other limits; None for none.

    Within the others no network has less than each cost alone; between that and
    the highest the lowest is found by halving.
    """
    alone = [least_cost(one, others, share) for one in together]
    if None in alone:
        return None
    first, *rest = together
    low = max(one for one in alone if one is not None)

    def within(most: float) -> bool:
        bounds = [*others, *(replace(one, most=most / share) for one in rest)]
        found = least_cost(first, bounds, share)
        return found is not None and found <= most

    if not rest or within(low * (1 + _CLEARLY)):
        return low
    high = max(one.costs.dearest() for one in together)
    while high - low > _CLOSE * high:
        middle = (low + high) / 2
        low, high = (low, middle) if within(middle) else (middle, high)
    return high


def least_cost(limit: Limit, others: Sequence[Limit], share: float = 1.0) -> float | None:
    """The lowest cost of one kind of all networks within the other limits; None for none."""
    if not others:
        return limit.costs.cheapest()
    choices = cheapest_within(limit, others, share)
    return None if choices is None else float(limit.costs.cost_of([choices])[0])


def cheapest_within(limit: Limit, others: Sequence[Limit], share: float = 1.0) -> IntArray | None:
    """The network of the lowest cost of one kind within the other limits; None for none.

    Args:
        limit: What is to be low; whatever the most of it.
        others: One at least.
        share: Of the other limits that may be used.
    """
    chain, *chains = along_one_chain([chain_of(one.costs) for one in (limit, *others)])
    scores = [-transition.costs for transition in chain.transitions]
    # What comes after the last layer is paid with it.
    after = chain.transitions[-1].next_state
    scores[-1] = scores[-1] - chain.last[after]
    return solve(make_joint_problem(scores, chains, [share * one.most for one in others])).choices


def _amount(limit: Limit, cost: float) -> str:
    """A cost in the limit's own words, rounded up so that it can itself be asked for."""
    name, _, _ = limit.label.rpartition("=")
    scale = 1e3 if limit.costs.unit.is_time else 1e6
    return f"{name}={math.ceil(cost / scale * 1e4) / 1e4:.4f}"


def _solve(limits: Sequence[Limit], scores: Array, share: float) -> JointSolution:
    chains = along_one_chain([chain_of(limit.costs) for limit in limits])
    rows = [
        row[: transition.costs.shape[1]]
        for row, transition in zip(scores, chains[0].transitions, strict=True)
    ]
    return solve(make_joint_problem(rows, chains, [share * limit.most for limit in limits]))


class JointSampler:
    """Draws networks of a band of joint costs; a `Sampler`.

    Networks within the limit that rejects most are drawn as for that limit
    alone, and those outside the band rejected: what remains is exactly as likely
    as among all networks of the band.

    Args:
        costs: Of the space.
        high: Highest joint cost.
        low: Lowest joint cost; None for no limit.
        weights: As `search.selection.sampling.FeasibleSampler`.
        sampler_of: A sampler within one limit.

    Raises:
        UsageError: No network keeps to a limit.
    """

    def __init__(
        self,
        costs: JointCosts,
        high: float,
        low: float | None,
        weights: Array | None,
        sampler_of: Callable[..., Sampler],
    ) -> None:
        require_band(high, low, costs.unit)
        self._costs, self._high = costs, high
        self._low = -math.inf if low is None else low
        share = high / costs.first.most
        samplers = [sampler_of(one.costs, share * one.most, None, weights) for one in costs.limits]
        self._list, self._shares = self._listed(samplers, weights)
        probe = np.random.default_rng(0)
        hits = [self._inside(one.draw(_PROBES, probe)).sum() for one in samplers]
        self._sampler = samplers[int(np.argmax(hits))]
        if self._list is not None and not len(self._list):
            raise self._none("lies")

    @property
    def listed(self) -> IntArray | None:
        """All networks, networks x layers, where they are few enough to list."""
        return self._list

    def draw(self, number: int, generator: np.random.Generator) -> IntArray:
        """Draw networks independently of each other, with replacement: (number, layers).

        Raises:
            UsageError: Networks of this band are too rare to be drawn.
        """
        if self._list is not None:
            return self._list[generator.choice(len(self._list), number, p=self._shares)]
        return draw_inside(
            lambda wanted: self._sampler.draw(wanted, generator), self._inside, number, self._none
        )

    def _listed(
        self, samplers: Sequence[Sampler], weights: Array | None
    ) -> tuple[IntArray | None, Array | None]:
        for sampler in samplers:
            if sampler.listed is not None:
                networks = sampler.listed[self._inside(sampler.listed)]
                if weights is None or not len(networks):
                    return networks, None
                logs = np.log(weights[np.arange(len(weights)), networks]).sum(axis=1)
                shares = np.exp(logs - logs.max())
                return networks, shares / shares.sum()
        return None, None

    def _inside(self, choices: IntArray) -> Mask:
        totals = self._costs.cost_of(choices)
        inside: Mask = (self._low <= totals) & (totals <= self._high)
        return inside

    def _none(self, verb: str) -> UsageError:
        return no_network(verb, self._low, self._high, self._costs.unit)
