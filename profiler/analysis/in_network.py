"""What operators cost inside networks: their own times, corrected by what networks say.

An operator alone finds its weights in the cache and its input where it left it; inside
a network it does not. How much that costs differs by image size, by kind of block, and
from operator to operator. The latency of a network is taken as

    intercept + sum over operators of steady (1 + slope + effects) + further features
              + effects of neighbouring layers

where the effects (of the image size, of the block's groups, and the operator's own) are
random with small prior variances, so that networks correct an operator as far as they
speak of it, and what they leave open stays with the operator's own time. Neighbours have
effects of their own only where networks clearly say so (`profiler.analysis.layer_pairs`).
"""

import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from profiler.analysis.arrays import Array
from profiler.analysis.layer_pairs import Layers, solve_with_pairs
from profiler.analysis.mixed_model import MixedModel
from search.latency.model import FEATURES
from search.latency.pairs import Pair
from search.operators.spec import OperatorSpec
from search.table.entries import Entry

# Prior deviations of effects, as shares of an operator's time: 5 % by image size, 2 % by
# each finer group, 3 % of its own.
_BY_SIZE, _BY_GROUP, _OWN = 0.05, 0.02, 0.03
# Features common to all operators: prior mean of the weight, and its deviation as a share
# of a typical network's latency that the whole sum may take.
_COMMON = {
    "steady_us": (1.0, 0.3),
    "first_extra_us": (0.5, 0.1),
    "operators": (0.0, 0.03),
    "weight_mb": (0.0, 0.03),
    "moved_mb": (0.0, 0.03),
}
_INTERCEPT = 0.3

Group = Callable[[OperatorSpec], Hashable]
_GROUPS: Sequence[tuple[float, Group]] = (
    (_BY_SIZE, lambda o: ("size", o.height)),
    (_BY_GROUP, lambda o: ("stride", o.height, o.stride)),
    (_BY_GROUP, lambda o: ("form", o.height, o.groups, o.residual)),
    (_BY_GROUP, lambda o: ("expansion", o.height, o.mid_channels // max(o.in_channels, 1))),
    (_OWN, lambda o: ("own", o.key)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InNetworkModel:
    """A fitted model; `errors` (N,) are relative, of each network predicted from the others.

    `weights` are those of the common features, `effects` by group: shares of an
    operator's own time. `pairs` are microseconds of neighbouring layers.
    """

    intercept_us: float
    weights: Mapping[str, float]
    effects: Mapping[Hashable, float]
    errors: Array
    pairs: Mapping[Pair, float]

    def cost_us(self, entry: Entry) -> float:
        """What an operator adds to a network's latency, in microseconds."""
        common = sum(weight * FEATURES[name](entry) for name, weight in self.weights.items())
        share = sum(self.effects.get(group(entry.operator), 0.0) for _, group in _GROUPS)
        return float(common + share * entry.known_time.centre_us)


def fit_in_network(
    networks: Sequence[Sequence[Entry]],
    measured_us: Sequence[float],
    layers: Sequence[Layers] = (),
) -> InNetworkModel:
    """Fit the model to whole networks: rows of their operators, and their latencies.

    `layers` are all of each network, skips among them; without them no neighbours have effects.
    """
    measured = np.asarray(measured_us, dtype=np.float64)
    columns = _Columns(networks, measured)
    best = solve_with_pairs(columns.model, layers, measured)
    intercept_us, *weights = best.solution.weights.tolist()
    common, groups = len(_COMMON), len(columns.groups)
    return InNetworkModel(
        intercept_us=intercept_us,
        weights=dict(zip(_COMMON, weights[:common], strict=True)),
        effects=dict(zip(columns.groups, weights[common : common + groups], strict=True)),
        errors=best.solution.errors,
        pairs=dict(zip(best.pairs, weights[common + groups :], strict=True)),
    )


class _Columns:
    """The design matrix: networks x (intercept, common features, groups), over the latency.

    Rows are divided by the measured latency, so that errors are relative.
    """

    def __init__(self, networks: Sequence[Sequence[Entry]], measured_us: Array) -> None:
        typical_us = float(np.median(measured_us))
        common = np.array([[self._sum(n, name) for name in _COMMON] for n in networks])
        size = np.abs(common).mean(axis=0)
        shares = np.array([share for _, share in _COMMON.values()])
        # A weight may move the sum by so much; without any of it, it has nothing to move.
        deviations = np.divide(shares * typical_us, size, out=np.zeros(len(size)), where=size > 0)
        grouped, random = self._grouped(networks)
        design = np.hstack([np.ones((len(common), 1)), common, grouped]) / measured_us[:, None]
        means = np.zeros(design.shape[1])
        means[1 : 1 + len(_COMMON)] = [mean for mean, _ in _COMMON.values()]
        variances = np.concatenate([[_INTERCEPT * typical_us], deviations, random]) ** 2
        self.model = MixedModel(design=design, means=means, variances=variances)

    @staticmethod
    def _sum(network: Sequence[Entry], name: str) -> float:
        return sum(FEATURES[name](entry) for entry in network)

    def _grouped(self, networks: Sequence[Sequence[Entry]]) -> tuple[Array, Array]:
        """Time of each network by group, and the groups' prior deviations."""
        deviations: dict[Hashable, float] = {}
        times: list[dict[Hashable, float]] = []
        for network in networks:
            own: dict[Hashable, float] = {}
            for (deviation, group), entry in itertools.product(_GROUPS, network):
                name = group(entry.operator)
                deviations[name] = deviation
                own[name] = own.get(name, 0.0) + entry.known_time.centre_us
            times.append(own)
        self.groups = tuple(deviations)
        matrix = np.array([[own.get(name, 0.0) for name in self.groups] for own in times])
        return matrix, np.array(list(deviations.values()))
