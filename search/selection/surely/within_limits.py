"""Exact selection under a latency met with a given probability and hard limits beside it.

Limits on counts and on other tables' latencies are sums over layers, known for certain;
the probability is not a sum, but its quantile is convex and has tangents
(`search.selection.surely.latency_quantile`). Outer approximation (Duran and Grossmann,
Mathematical Programming 36, 1986): select within all limits and all tangents so far, by the
knapsack of several limits; if the network found is too unsure, its own tangent shuts it out.
Tangents shut out no network that is sure enough, so the first one found that is, is the best.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from search.costs.joint import JointCosts, Limit, labels_of
from search.errors import UsageError
from search.latency.model import LatencyModel
from search.selection.by_costs import select_many_within
from search.selection.exact import Selection, score_matrix
from search.selection.frontiers import Summable
from search.selection.joint import cheapest_within, require_limits
from search.selection.knapsack import Array, IntArray
from search.selection.scores import Scores
from search.selection.surely.chance_constrained import (
    require_probability,
    select_chance_constrained,
)
from search.selection.surely.latency_quantile import LatencyQuantile
from search.spaces.base import LayeredSpace

# Tangents tried; two to five are usual. The last ones are tightened, so that some network is found.
MOST_TANGENTS, MOST_TIGHTENED = 24, 12
# Of rounding: a tangent that touches the target shuts its own network out.
_CLEARLY = 1e-9


def select_surely(
    scores: Scores | npt.ArrayLike,
    model: LatencyModel,
    space: LayeredSpace,
    target_us: float,
    probability: float,
    limits: Sequence[Limit] = (),
) -> Selection:
    """The best network with P(latency <= target) >= probability, within hard limits.

    Guaranteed as by `select_chance_constrained`, and the network keeps to every limit; where
    the last tangent was tried before the best one was proven, the selection's `gap` says so.

    Raises:
        UsageError: The probability is not in [0.5, 1), or no network is so sure within the
            limits (states the lowest target that one meets).
        TableError, MissingOperator: As `select_chance_constrained`.
    """
    if not limits:
        return select_chance_constrained(scores, model, space, target_us, probability)
    require_probability(probability, target_us)
    values = score_matrix(scores)
    quantile = LatencyQuantile(model, space, values, probability)
    return _Search(quantile, values, target_us, tuple(limits)).run()


def require_sure(
    model: LatencyModel,
    space: LayeredSpace,
    target_us: float,
    probability: float,
    limits: Sequence[Limit] = (),
) -> None:
    """Make sure that some network meets the target so surely within the limits.

    Raises:
        UsageError, TableError, MissingOperator: As `select_surely`.
    """
    legal = model.space_costs(space).legal
    equal = np.where(legal, 0.0, -np.inf)
    if not limits:
        select_chance_constrained(equal, model, space, target_us, probability)
        return
    require_probability(probability, target_us)
    quantile = LatencyQuantile(model, space, equal, probability)
    _Search(quantile, equal, target_us, tuple(limits)).require_reachable()


class _Search:
    """The tangents so far."""

    def __init__(
        self, quantile: LatencyQuantile, values: Array, target_us: float, limits: tuple[Limit, ...]
    ) -> None:
        self._quantile, self._values, self._target_us = quantile, values, target_us
        self._limits, self._tangents = limits, list[Limit]()

    def run(self) -> Selection:
        """The best network; see `select_surely`."""
        self.require_reachable()
        bound, tightening = math.inf, 1.0
        for turn in range(MOST_TANGENTS + MOST_TIGHTENED):
            found = self._select(tightening)
            if turn < MOST_TANGENTS:
                bound = found.bound
            choices = np.array(found.choices)
            if self._quantile.meets(choices, self._target_us):
                return self._selection(found, max(bound, found.score))
            self._tangents.append(self._tangent(choices))
            if turn >= MOST_TANGENTS - 1:
                over = float(self._quantile.of(choices[np.newaxis])[0]) / self._target_us
                tightening *= min(1 / over, 1 - _CLEARLY)
        raise UsageError(
            f"Found no network within {self._names} that is so sure.",
            "Raise the target or a limit, or ask for a lower --probability.",
        )

    @property
    def _names(self) -> str:
        return " and ".join(labels_of(self._limits))

    def _tangent(self, choices: IntArray) -> Limit:
        cut = self._quantile.tangent(choices)
        touches = float(cut.cost_of([choices])[0])
        most = min(self._target_us, touches * (1 - _CLEARLY))
        return Limit(label="ms", costs=cut, most=most)

    def require_reachable(self) -> None:
        """Begin with the tangent at the lowest quantile within the limits.

        Each tangent's cheapest network bounds all quantiles from below.

        Raises:
            UsageError: That quantile is above the target.
        """
        require_limits(self._limits)
        choices, least, low = self._cheapest(self._quantile.costs), math.inf, -math.inf
        seen: set[bytes] = set()
        while choices.tobytes() not in seen:
            seen.add(choices.tobytes())
            least = min(least, float(self._quantile.of(choices[np.newaxis])[0]))
            if least <= self._target_us:
                break
            cut = self._quantile.tangent(choices)
            choices = self._cheapest(cut)
            low = max(low, float(cut.cost_of([choices])[0]))
        self._tangents = [
            Limit(label="ms", costs=self._quantile.tangent(choices), most=self._target_us)
        ]
        if least > self._target_us:
            raise self._hopeless(least, low)

    def _cheapest(self, costs: Summable) -> IntArray:
        """The fastest network by these costs within the limits."""
        choices = cheapest_within(Limit(label="ms", costs=costs, most=math.inf), self._limits)
        assert choices is not None  # the limits were found to be possible
        return choices

    def _select(self, tightening: float) -> Selection:
        """The best network by the tangents, each a little tighter than the target."""
        tight = [
            Limit(label=one.label, costs=one.costs, most=one.most * tightening)
            for one in self._tangents
        ]
        joint = JointCosts(limits=(*tight, *self._limits))
        return select_many_within(joint, self._values, [joint.first.most])[0]

    def _selection(self, found: Selection, bound: float) -> Selection:
        choices = np.array(found.choices)
        return Selection(
            choices=found.choices,
            score=found.score,
            cost=float(self._quantile.costs.cost_of([choices])[0]),
            bound=bound,
            probability=self._quantile.probability(choices, self._target_us),
        )

    def _hopeless(self, least_us: float, low_us: float) -> UsageError:
        # Rounded up, so that the number in the message is itself a possible target.
        least_ms = math.ceil(least_us * 10) / 1e4
        proven = least_us <= low_us * (1 + _CLEARLY)
        return UsageError(
            f"No network within {self._names} meets {self._target_us / 1e3:.4f} ms with a "
            f"probability of {self._quantile.wanted:g}: the lowest target met so surely is "
            f"{'' if proven else 'at most '}{least_ms:.4f} ms.",
            f"Ask for at least {least_ms:.4f} ms, raise a limit, or ask for a lower probability.",
        )
