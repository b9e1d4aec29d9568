"""Networks tried one by one: what selections with a probability must agree with."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from search.latency.model import FEATURES, LatencyModel
from search.selection.exact import network_of
from search.spaces.base import LayeredSpace
from search.table.calibration import Calibration

Array = npt.NDArray[np.float64]


# Of one block of the small space, so that each feature can matter as much as the time.
SUMMED = tuple(name for name in FEATURES if name != "in_network_us")
TYPICAL = {
    "steady_us": 250.0,
    "first_extra_us": 10.0,
    "in_network_us": 260.0,
    "operators": 1.0,
    "weight_mb": 0.02,
    "moved_mb": 0.1,
}


def made_up_calibration(
    seed: int, features: Sequence[str], spread_us: float = 20.0, residual: float = 0.1
) -> Calibration:
    generator = np.random.default_rng(seed)
    typical = np.array([1.0, *(TYPICAL[name] for name in features)])
    root = spread_us / typical[:, np.newaxis] * generator.normal(size=(len(typical), len(typical)))
    return Calibration(
        features=tuple(features),
        slopes=tuple(generator.uniform(0.5, 1.5, len(features))),
        intercept_us=-25.0,
        covariance=tuple(map(tuple, root @ root.T)),
        networks=10,
        relative_residual=residual,
        interval_factor=2.5,
        cross_validated_mape=0.01,
        raw_sum_mape=0.1,
        method="made up",
    )


def few_scores(space: LayeredSpace, seed: int, a_layer: int) -> Array:
    """Scores of some candidates only, so that all networks can be tried."""
    generator = np.random.default_rng(seed)
    widths = [len(layer.choices) for layer in space.layers]
    scores = np.full((len(widths), max(widths)), -math.inf)
    for row, width in enumerate(widths):
        columns = generator.choice(width, min(a_layer, width), replace=False)
        scores[row, columns] = generator.normal(size=len(columns))
    return scores


class Brute:
    """Every network with its score and its probability, by the model's own estimate."""

    def __init__(self, scores: Array, model: LatencyModel, space: LayeredSpace) -> None:
        legal = [np.flatnonzero(np.isfinite(row)).tolist() for row in scores]
        self.networks = list(itertools.product(*legal))
        self.scores = [
            math.fsum(scores[row, choice] for row, choice in enumerate(network))
            for network in self.networks
        ]
        self.estimates = [
            model.estimate(network_of(space, network, "any")) for network in self.networks
        ]

    def best(self, target_us: float, probability: float) -> float | None:
        sure = [
            score
            for score, estimate in zip(self.scores, self.estimates, strict=True)
            if estimate.probability_below(target_us) >= probability
        ]
        return max(sure, default=None)
