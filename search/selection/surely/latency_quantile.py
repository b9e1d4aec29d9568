"""The p-quantile of a network's predicted latency, and its tangents.

A calibrated estimate is normal with mean v and deviation d (`search.latency.model`),
both functions of the network's summed features F:

    v = w . y,  d^2 = y' C y + (r v)^2,  y = (1, F)

(where a table lists effects of neighbouring layers, their sum is one more of the features,
whose weight is 1)

so P(latency <= target) >= p means v + z d <= target with z the normal
quantile of p. The left side is not a sum over layers, but for p >= 1/2 it is
convex in F: its tangent at any network is a sum over layers, lies below it
everywhere and touches it there.
"""

import math
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

import numpy as np

from search.errors import TableError
from search.latency.model import LatencyModel, feature_vector
from search.latency.pairs import PairEffects
from search.operators.spec import OperatorSpec
from search.selection.exact import network_of
from search.selection.frontiers import Summable, cheapest_choices, summable, weighted_sum
from search.selection.knapsack import Array, IntArray
from search.spaces.base import LayeredSpace
from search.table.calibration import Calibration


class LatencyQuantile:
    """v + z d of networks, its tangents, and the true probability.

    Raises:
        UsageError: The scores do not fit the space.
        TableError: The calibration's covariance has a negative variance.
        MissingOperator: The table does not cover the space.
    """

    def __init__(
        self, model: LatencyModel, space: LayeredSpace, values: Array, probability: float
    ) -> None:
        self._model, self._space, self.wanted = model, space, probability
        self.costs = summable(model.space_costs(space))
        cheapest_choices(values, self.costs)  # refuses what does not fit
        self._values = values
        self._parts = _features(model, space)
        calibration = model.table.manifest.calibration
        if calibration is not None:
            self._weights = _weights(calibration)
            deviations = calibration.interval_factor / 1.96
            self._root = NormalDist().inv_cdf(probability) * deviations * _root(calibration)
        else:
            self._weights = np.array([0.0, 1.0])
            self._root = np.zeros((1, 2))

    def summed(self, choices: IntArray) -> Array:
        """(1, F) of networks: networks x (1 + features)."""
        features = [part.cost_of(choices) for part in self._parts]
        return np.column_stack([np.ones(len(choices)), *features])

    def of(self, choices: IntArray) -> Array:
        """The quantiles of networks, in microseconds."""
        row = self.summed(choices)
        quantiles: Array = row @ self._weights + np.linalg.norm(row @ self._root.T, axis=1)
        return quantiles

    def tangent(self, choices: IntArray) -> Summable:
        """Costs whose sum is at most the quantile, and equal to it for this network."""
        row = self.summed(choices[np.newaxis])[0]
        pulled = self._root @ row
        length = float(np.linalg.norm(pulled))
        slopes = self._weights + (self._root.T @ pulled / length if length > 0 else 0.0)
        return weighted_sum(self._parts, slopes[1:], float(slopes[0]))

    def probability(self, choices: IntArray, target_us: float) -> float:
        """P(latency <= target) of one network, by the model's own estimate."""
        estimate = self._model.estimate(network_of(self._space, choices.tolist(), "candidate"))
        return estimate.probability_below(target_us)

    def meets(self, choices: IntArray, target_us: float) -> bool:
        """True when one network meets the target with the wanted probability."""
        return self.probability(choices, target_us) >= self.wanted

    def minimise(self, target_us: float) -> "QuantileBound":
        """Walk down the tangents to a network of the lowest quantile.

        Each tangent's cheapest network bounds all quantiles from below; the
        walk ends where it comes back to a network, or below the target.
        """
        choices = cheapest_choices(self._values, self.costs)
        best, least = choices, float(self.of(choices[np.newaxis])[0])
        bound = -math.inf
        seen: set[bytes] = set()
        while choices.tobytes() not in seen and least > target_us:
            seen.add(choices.tobytes())
            cut = self.tangent(choices)
            choices = cheapest_choices(self._values, cut)
            bound = max(bound, float(cut.cost_of([choices])[0]))
            quantile_us = float(self.of(choices[np.newaxis])[0])
            if quantile_us < least:
                best, least = choices, quantile_us
        return QuantileBound(choices=best, quantile_us=least, bound_us=bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileBound:
    """A network of a low quantile, and a lower bound on the quantiles of all."""

    choices: IntArray
    quantile_us: float
    bound_us: float


def _features(model: LatencyModel, space: LayeredSpace) -> list[Summable]:
    """Every feature of the latency model as costs of the space's networks.

    Where neighbouring layers have effects, the last one is their sum.
    """
    calibration = model.table.manifest.calibration
    names = ("steady_us",) if calibration is None else calibration.features
    rows: dict[OperatorSpec, Array] = {}

    def feature(operator: OperatorSpec, number: int) -> float:
        if operator.kind == "skip":
            return 0.0
        if operator not in rows:
            rows[operator] = feature_vector(model.table.lookup(operator), names)
        return float(rows[operator][number])

    parts = [space.costs(partial(feature, number=number)) for number in range(len(names))]
    if calibration is not None and calibration.pairs:
        nothing = space.costs(lambda _: 0.0)
        parts.append(PairEffects(calibration).add_to(nothing, space))
    return [summable(part) for part in parts]


def _weights(calibration: Calibration) -> Array:
    """The weight of each part of (1, F); that of neighbours' effects is 1."""
    of_pairs = (1.0,) if calibration.pairs else ()
    return np.array([calibration.intercept_us, *calibration.slopes, *of_pairs])


def _root(calibration: Calibration) -> Array:
    """R with |R y|^2 = y' C y + (r v)^2."""
    weights = _weights(calibration)
    covariance = np.zeros((len(weights), len(weights)))
    known = 1 + len(calibration.slopes)
    covariance[:known, :known] = calibration.covariance
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    if values.min() < -1e-9 * max(values.max(), 0.0):
        raise TableError(
            "The covariance of the table's calibration has a negative variance.",
            "Measure the table again.",
        )
    spread = np.sqrt(np.maximum(values, 0.0))[:, np.newaxis] * vectors.T
    return np.vstack([spread, calibration.relative_residual * weights])
