"""Exact selection under a latency target that is met with a given probability.

The probability depends on the whole network, not on its layers one by one.
But tangents of the latency's quantile (`search.selection.surely.latency_quantile`) are
sums over layers and never above it: selecting under a tangent is a knapsack
problem whose optimum bounds the true one from above.
"""

import math

import numpy as np
import numpy.typing as npt

from search.errors import UsageError
from search.latency.model import LatencyModel
from search.selection.dynamic_program import MOST_STATES
from search.selection.exact import Selection, score_matrix, score_sums
from search.selection.frontiers import Networks, Summable, networks_within
from search.selection.knapsack import Array, IntArray
from search.selection.scores import Scores
from search.selection.surely.latency_quantile import LatencyQuantile, QuantileBound
from search.spaces.base import LayeredSpace

# Tangents tried before the remaining networks are enumerated; two or three are enough.
MOST_TANGENTS = 8
# Networks checked one by one to close the gap between result and bound.
MOST_NETWORKS = 20_000
BLOCK = 2048


def select_chance_constrained(
    scores: Scores | npt.ArrayLike,
    model: LatencyModel,
    space: LayeredSpace,
    target_us: float,
    probability: float,
    *,
    most_networks: int = MOST_NETWORKS,
) -> Selection:
    """The best network with P(latency <= target) >= probability.

    Guaranteed: `model.estimate(network).probability_below(target_us)` of the
    returned network is at least `probability`, and `bound` is at least the
    score of every network of which that is true. Where `optimal` is true the
    network is therefore the best one (up to rounding, 1e-12 of the sums);
    that is so unless more than `most_networks` networks score higher, meet
    the target under a tangent and all miss it in truth.

    Three steps: (1) search the whole front under a tangent of the quantile and
    keep the best network on it that meets the target; this is the bisection
    of a tightened target, with every breakpoint tried. (2) Move the tangent
    there, repeat while it helps. (3) List all networks above the best so far
    that the last tangent allows, and check each.

    Raises:
        UsageError: The probability is not in [0.5, 1), or no network is that
            sure (states the lowest target that one meets).
        TableError: The calibration's covariance has a negative variance.
        MissingOperator: The table does not cover the space.
    """
    require_probability(probability, target_us)
    values = score_matrix(scores)
    quantile = LatencyQuantile(model, space, values, probability)
    return _Search(quantile, values, target_us, most_networks).run()


def require_probability(probability: float, target_us: float) -> None:
    """Refuse a probability or a target that means nothing.

    Raises:
        UsageError: It does.
    """
    if not 0.5 <= probability < 1:
        raise UsageError(
            f"The probability must be at least 0.5 and below 1, not {probability}.",
            "At 0.5 a network meets the target on average, as without a probability.",
        )
    if not math.isfinite(target_us):
        raise UsageError(f"The latency target {target_us} is not a number of microseconds.")


class _Search:
    """The best network so far, and the bound on all others."""

    def __init__(
        self, quantile: LatencyQuantile, values: Array, target_us: float, most_networks: int
    ) -> None:
        self._quantile, self._values, self._target_us = quantile, values, target_us
        self._most_networks = most_networks
        self._best: IntArray | None = None
        self._score = self._bound = -math.inf

    def run(self) -> Selection:
        """All three steps of `select_chance_constrained`."""
        start = self._quantile.minimise(self._target_us)
        self._consider(start.choices[np.newaxis])
        cut = self._quantile.tangent(start.choices)
        self._bound = math.inf
        for _ in range(MOST_TANGENTS):
            improved = self._walk_front(cut)
            if not improved or self._bound <= self._score:
                break
            assert self._best is not None
            cut = self._quantile.tangent(self._best)
        if self._bound > self._score:
            self._list_all(cut)
        if self._best is None:
            raise self._hopeless(start)
        return self._selection(self._best)

    def _walk_front(self, cut: Summable) -> bool:
        """Look for a better network on the front under a tangent; lower the bound."""
        found = self._networks(cut, dominance=True, most=MOST_STATES)
        states = np.arange(len(found.scores))[::-1]
        top = score_sums(self._values, found.choices(states[:1]))
        self._lower_bound(found, float(top.max(initial=-math.inf)))
        return self._consider_all(found, states)

    def _list_all(self, cut: Summable) -> None:
        """Check every network above the best one that a tangent allows."""
        found = self._networks(cut, dominance=False, most=self._most_networks)
        self._consider_all(found, np.argsort(-found.scores, kind="stable"))
        self._lower_bound(found, self._score)

    def _networks(self, cut: Summable, *, dominance: bool, most: int) -> Networks:
        return networks_within(
            cut,
            self._values,
            self._target_us,
            floor=self._score,
            dominance=dominance,
            most_states=most,
        )

    def _lower_bound(self, found: Networks, seen: float) -> None:
        self._bound = min(self._bound, max(seen, found.pruned_bound, self._score))

    def _consider_all(self, found: Networks, states: IntArray) -> bool:
        blocks = (states[i : i + BLOCK] for i in range(0, len(states), BLOCK))
        return any(self._consider(found.choices(block)) for block in blocks)

    def _consider(self, choices: IntArray) -> bool:
        """Take the first of these that meets the target, if it is better; scores fall."""
        quantiles_us = self._quantile.of(choices)
        # The quantile is judged generously here, and exactly by `meets`.
        for place in np.flatnonzero(quantiles_us <= self._target_us * (1 + 1e-9)):
            score = float(score_sums(self._values, choices[place : place + 1])[0])
            if score <= self._score:
                return False
            if self._quantile.meets(choices[place], self._target_us):
                self._best, self._score = choices[place], score
                return True
        return False

    def _selection(self, choices: IntArray) -> Selection:
        return Selection(
            choices=tuple(choices.tolist()),
            score=self._score,
            cost=float(self._quantile.costs.cost_of([choices])[0]),
            bound=self._bound,
            probability=self._quantile.probability(choices, self._target_us),
        )

    def _hopeless(self, start: QuantileBound) -> UsageError:
        # Rounded up, so that the number in the message is itself a possible target.
        least_us = math.ceil(start.quantile_us * 10) / 10
        proven = start.quantile_us <= start.bound_us * (1 + 1e-9)
        return UsageError(
            f"{'Found no network that' if self._bound > -math.inf else 'No network'} meets "
            f"{self._target_us / 1e3:.4f} ms ({self._target_us:.1f} us) with a probability of "
            f"{self._quantile.wanted:g}: the lowest target met so surely is "
            f"{'' if proven else 'at most '}{least_us / 1e3:.4f} ms ({least_us:.1f} us).",
            f"Ask for at least {least_us / 1e3:.4f} ms, or for a lower probability.",
        )
