"""The latency model: a network's latency as a sum over its operators.

    latency(network) = intercept + sum over operators of slopes . features

which is additive over layers, so it is also a cost matrix layers x candidates; where a table
lists effects of neighbouring layers (`search.latency.pairs`), these are added, and the costs of
a space are a matrix and some pairs of layers.
Without a calibration it is the sum of centres (FBNet, arXiv 1812.03443,
equation 3, plus the fixed parts).
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.architecture import Architecture
from search.costs.base import Costs
from search.costs.matrix import CostMatrix
from search.costs.pairs import independent_costs
from search.errors import TableError
from search.latency.pairs import PairEffects
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space
from search.table.calibration import Calibration
from search.table.columns import AGAIN
from search.table.entries import Entry
from search.table.store import Table

Array = npt.NDArray[np.float64]
_Z = 1.96


def _first_extra(entry: Entry) -> float:
    first = entry.first_call
    return 0.0 if first is None else first.centre_us - entry.known_time.centre_us


def _in_network(entry: Entry) -> float:
    if entry.in_network_us is None:
        raise TableError(f"Row {entry.key} states no time inside networks.", AGAIN)
    return entry.in_network_us


FEATURES: Mapping[str, Callable[[Entry], float]] = {
    "steady_us": lambda entry: entry.known_time.centre_us,
    "first_extra_us": _first_extra,
    "in_network_us": _in_network,
    "operators": lambda _: 1.0,
    "weight_mb": lambda entry: entry.counts.weight_bytes / 1e6,
    "moved_mb": lambda entry: (entry.counts.input_bytes + entry.counts.output_bytes) / 1e6,
}


def feature_vector(entry: Entry, names: Sequence[str]) -> Array:
    """An operator's features in this order."""
    return np.array([FEATURES[name](entry) for name in names])


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A predicted latency in microseconds, with its 95 % interval."""

    value_us: float
    low_us: float
    high_us: float

    def probability_below(self, target_us: float) -> float:
        """P(latency <= target), taking the interval as normal."""
        deviation = (self.high_us - self.low_us) / 2 / 1.96
        if deviation <= 0:
            return float(self.value_us <= target_us)
        return 0.5 * (1 + math.erf((target_us - self.value_us) / deviation / math.sqrt(2)))


class LatencyModel:
    """Predicts latencies of networks by a table, in microseconds.

    Raises:
        MissingOperator: An operator asked for has no row.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        origin = table.manifest.origin
        constant_us = 0.0 if origin is None else origin.constant_us or 0.0
        self._covered = frozenset(() if origin is None else origin.covered)
        self._calibration = table.manifest.calibration or _plain_sum(constant_us)
        self._pairs = PairEffects(self._calibration)

    def operator_us(self, operator: OperatorSpec) -> float:
        """The latency that one operator adds to a network.

        0 for a skip, and for what the constant of an imported table covers.
        """
        if self.costs_nothing(operator):
            return 0.0
        features = feature_vector(self.table.lookup(operator), self._calibration.features)
        return float(features @ np.asarray(self._calibration.slopes))

    def layers_us(self, operators: Sequence[OperatorSpec]) -> list[float]:
        """What each operator of a network adds to its latency, the effect of its neighbour in it.

        With the intercept they add up to the latency.
        """
        effects = self._pairs.along(operators)
        return [
            self.operator_us(one) + effect for one, effect in zip(operators, effects, strict=True)
        ]

    def estimate(self, architecture: Architecture) -> Estimate:
        """Predict the latency of one network, with interval."""
        names = self._calibration.features
        rows = [
            feature_vector(self.table.lookup(operator), names)
            for operator in architecture.operators
            if not self.costs_nothing(operator)
        ]
        total = sum(rows, start=np.zeros(len(names)))
        pairs_us = sum(self._pairs.along(architecture.operators))
        wide_us = self._wide_us(architecture)
        return estimate_from_features(total, self._calibration, wide_us, pairs_us)

    def _wide_us(self, architecture: Architecture) -> float:
        """Standard deviation that wide rows add; what usual rows do, the calibration knows."""
        uses = Counter(o for o in architecture.operators if not self.costs_nothing(o))
        wide = [
            number * entry.known_time.width_us / 2 / _Z
            for operator, number in uses.items()
            if (entry := self.table.lookup(operator)).status == "unstable" and entry.has_interval
        ]
        return math.hypot(*wide)

    def costs_nothing(self, operator: OperatorSpec) -> bool:
        """True for a skip, and for what the constant of an imported table covers."""
        return operator.kind == "skip" or operator.key in self._covered

    def space_costs(self, space: LayeredSpace) -> Costs:
        """Latencies of all networks of a space."""
        costs = space.costs(self.operator_us, self._calibration.intercept_us)
        return self._pairs.add_to(costs, space)

    def cost_matrix(self, space: LayeredSpace | None = None) -> CostMatrix:
        """Latencies of every candidate of every layer of a space (default: the table's).

        Without what neighbouring layers cost together, where the table tells it; `space_costs`
        has that too.

        Raises:
            UsageError: The layers of the space are not independent.
        """
        space = space or parse_space(self.table.manifest.space.spec)
        return independent_costs(self.space_costs(space), space.label)


def estimate_from_features(
    features: Array, calibration: Calibration, further_us: float = 0.0, pairs_us: float = 0.0
) -> Estimate:
    """Predict the latency of a network from its summed features.

    `further_us` is a standard deviation in microseconds that the calibration knows nothing of,
    `pairs_us` the sum of the effects of neighbouring layers.
    """
    value = calibration.intercept_us + float(features @ np.asarray(calibration.slopes)) + pairs_us
    row = np.concatenate([[1.0], features])
    spread = float(row @ np.asarray(calibration.covariance) @ row)
    residual = calibration.relative_residual * value
    deviation = math.sqrt(max(spread, 0.0) + residual**2 + further_us**2)
    reach = calibration.interval_factor * deviation
    return Estimate(value_us=value, low_us=value - reach, high_us=value + reach)


def _plain_sum(constant_us: float) -> Calibration:
    return Calibration(
        features=("steady_us",),
        slopes=(1.0,),
        intercept_us=constant_us,
        covariance=((0.0, 0.0), (0.0, 0.0)),
        networks=0,
        relative_residual=0.0,
        interval_factor=1.96,
        cross_validated_mape=0.0,
        raw_sum_mape=0.0,
        method="sum of centres, not calibrated",
    )
