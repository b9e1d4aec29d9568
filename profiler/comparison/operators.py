"""The operators that make the difference between networks, and between devices.

The paper's Figure 5 (FBNet, arXiv 1812.03443) as a table: where two networks
differ, and which operators are relatively cheap on one device and expensive on
another.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import median

from search.architecture import Architecture
from search.errors import MissingOperator
from search.latency.model import LatencyModel
from search.operators.spec import OperatorSpec
from search.table.store import Table

# Channels in and out, size and stride.
Shape = tuple[int, int, int, int]

# Of a network's time; below it a ratio of two small numbers means little.
_LEAST_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDifference:
    """A pair of operators in which two networks differ, and what each of them costs.

    `column` names the table. A key is empty where one network has no such
    operator. Costs are what operators add to a network, in microseconds.
    """

    column: int
    faster: str
    slower: str
    faster_key: str
    slower_key: str
    faster_us: float
    slower_us: float

    @property
    def difference_us(self) -> float:
        """What the slower network's operator costs more."""
        return self.slower_us - self.faster_us


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeCost:
    """An operator of the networks on two tables.

    `relative` is its cost in the second over that in the first, divided by
    the median of that ratio over all operators: above 1, the second device is
    worse at this operator than it usually is.
    """

    first: int
    second: int
    key: str
    first_us: float
    second_us: float
    relative: float


def layer_differences(
    table: Table, column: int, faster: Architecture, slower: Architecture
) -> list[LayerDifference]:
    """Operators in which two networks differ, the largest difference first.

    Layers of one shape may stand in any order: only what one network has
    more of is paired, the costliest of one with the costliest of the other.
    """
    model = LatencyModel(table)
    faster_layers, slower_layers = _by_shape(faster), _by_shape(slower)
    differences: list[LayerDifference] = []
    for shape in dict.fromkeys((*faster_layers, *slower_layers)):
        fast, slow = Counter(faster_layers.get(shape, ())), Counter(slower_layers.get(shape, ()))
        pairs = zip_longest(_costliest(model, fast - slow), _costliest(model, slow - fast))
        differences += [
            LayerDifference(
                column=column,
                faster=faster.name,
                slower=slower.name,
                faster_key=one.key if one else "",
                slower_key=other.key if other else "",
                faster_us=model.operator_us(one) if one else 0.0,
                slower_us=model.operator_us(other) if other else 0.0,
            )
            for one, other in pairs
        ]
    return sorted(differences, key=lambda difference: -abs(difference.difference_us))


def _by_shape(network: Architecture) -> dict[Shape, list[OperatorSpec]]:
    layers: dict[Shape, list[OperatorSpec]] = {}
    for operator in network.operators:
        layers.setdefault(_shape(operator), []).append(operator)
    return layers


def _costliest(model: LatencyModel, operators: Counter[OperatorSpec]) -> list[OperatorSpec]:
    return sorted(operators.elements(), key=lambda operator: -model.operator_us(operator))


def _shape(operator: OperatorSpec) -> Shape:
    out = operator.in_channels if operator.kind == "skip" else operator.out_channels
    return operator.in_channels, out, operator.height, operator.stride


def relative_costs(
    first: Table,
    second: Table,
    first_column: int,
    second_column: int,
    networks: Sequence[Architecture],
) -> list[RelativeCost]:
    """Operators of the networks whose relative cost differs most between two tables.

    Those that take at least 1 % of their network on one of the tables; an
    operator that a table lacks is left out.
    """
    models = LatencyModel(first), LatencyModel(second)
    costs: dict[str, tuple[float, float]] = {}
    heavy: set[str] = set()
    for network in networks:
        network_costs = dict(_costs_on_both(models, network))
        costs |= network_costs
        heavy |= _heavy(network_costs)
    positive = {key: pair for key, pair in costs.items() if min(pair) > 0}
    if not positive:
        return []
    usual = median(pair[1] / pair[0] for pair in positive.values())
    relative = [
        RelativeCost(
            first=first_column,
            second=second_column,
            key=key,
            first_us=pair[0],
            second_us=pair[1],
            relative=pair[1] / pair[0] / usual,
        )
        for key, pair in positive.items()
        if key in heavy
    ]
    return sorted(relative, key=lambda cost: -abs(math.log(cost.relative)))


def _heavy(costs: Mapping[str, tuple[float, float]]) -> set[str]:
    """Operators with a share of their network's time, on one of two tables, that counts."""
    totals = [sum(pair[side] for pair in costs.values()) for side in (0, 1)]
    return {
        key
        for key, pair in costs.items()
        if any(pair[side] >= _LEAST_SHARE * totals[side] for side in (0, 1))
    }


def _costs_on_both(
    models: tuple[LatencyModel, LatencyModel], network: Architecture
) -> Iterator[tuple[str, tuple[float, float]]]:
    for operator in network.operators:
        if operator.kind == "skip":
            continue
        try:
            one, other = (
                model.operator_us(operator.with_dtype(model.table.manifest.protocol.dtype))
                for model in models
            )
        except MissingOperator:
            continue
        yield operator.key, (one, other)
