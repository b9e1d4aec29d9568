"""The operators that make the difference between networks, and between devices.

The paper's Figure 5 (FBNet, arXiv 1812.03443) as a table: where two networks
part, and which operators are relatively cheap on one device and dear on
another.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import median

from search.architecture import Architecture
from search.errors import MissingOperator
from search.latency.model import LatencyModel
from search.operators.spec import OperatorSpec
from search.table.store import Table

Place = tuple[int, int, int, int]

# Of a network's time; below it a ratio of two small numbers says little.
_LEAST_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDifference:
    """A place where two networks differ, with what each of them pays there.

    `column` names the table. Keys are empty where one network has nothing in
    that place. Costs are what the operators add to a network, in microseconds.
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
        """What the slower network pays more here."""
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
    """Where two networks part, the largest difference first.

    Layers of one shape may stand in any order: only what one network has
    more of is paired, the dearest of one with the dearest of the other.
    """
    model = LatencyModel(table)
    ours, theirs = _by_place(faster), _by_place(slower)
    found: list[LayerDifference] = []
    for place in dict.fromkeys((*ours, *theirs)):
        mine, other = Counter(ours.get(place, ())), Counter(theirs.get(place, ()))
        pairs = zip_longest(_dearest(model, mine - other), _dearest(model, other - mine))
        for one, two in pairs:
            found.append(
                LayerDifference(
                    column=column,
                    faster=faster.name,
                    slower=slower.name,
                    faster_key=one.key if one else "",
                    slower_key=two.key if two else "",
                    faster_us=model.operator_us(one) if one else 0.0,
                    slower_us=model.operator_us(two) if two else 0.0,
                )
            )
    return sorted(found, key=lambda difference: -abs(difference.difference_us))


def _by_place(network: Architecture) -> dict[Place, list[OperatorSpec]]:
    places: dict[Place, list[OperatorSpec]] = {}
    for operator in network.operators:
        places.setdefault(_place(operator), []).append(operator)
    return places


def _dearest(model: LatencyModel, operators: Counter[OperatorSpec]) -> list[OperatorSpec]:
    return sorted(operators.elements(), key=lambda operator: -model.operator_us(operator))


def _place(operator: OperatorSpec) -> Place:
    """Channels in and out, size and stride."""
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
        priced = dict(_both(models, network))
        costs |= priced
        totals = [sum(pair[side] for pair in priced.values()) for side in (0, 1)]
        heavy |= {
            key
            for key, pair in priced.items()
            if any(pair[side] >= _LEAST_SHARE * totals[side] for side in (0, 1))
        }
    usable = {key: pair for key, pair in costs.items() if min(pair) > 0}
    if not usable:
        return []
    usual = median(pair[1] / pair[0] for pair in usable.values())
    found = [
        RelativeCost(
            first=first_column,
            second=second_column,
            key=key,
            first_us=pair[0],
            second_us=pair[1],
            relative=pair[1] / pair[0] / usual,
        )
        for key, pair in usable.items()
        if key in heavy
    ]
    return sorted(found, key=lambda shift: -abs(math.log(shift.relative)))


def _both(
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
