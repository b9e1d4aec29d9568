"""Which operators to measure first: far from each other, and dear to the search.

Farthest-point design (Johnson, Moore and Ylvisaker, J. Stat. Plan. Inference 26,
1990) over the standardised descriptors; distances count more where an operator
is likely to take a larger part of a random network's time.
"""

from collections.abc import Sequence

import numpy as np

from profiler.predict.features import Array, descriptor_matrix, standardise
from search.counts import count
from search.operators import OperatorSpec
from search.spaces.base import LayeredSpace

# How much importance bends distances: 0 fills the space evenly, 1 looks at importance
# alone. Chosen on the committed host tables (tests/benchmarks/bench_predict.py).
IMPORTANCE_POWER = 0.3
_RARE = 0.03  # uses a network, for operators that only published networks have


def importance(space: LayeredSpace, operators: Sequence[OperatorSpec]) -> Array:
    """Expected arithmetic of each operator in a random network, relative to the mean."""
    uses: dict[OperatorSpec, float] = {}
    for layer in space.layers:
        for choice in layer.choices:
            uses[choice.operator] = uses.get(choice.operator, 0.0) + 1 / len(layer.choices)
    for operator in (*space.before, *space.after):
        uses[operator] = uses.get(operator, 0.0) + 1.0
    expected = np.array([uses.get(o, _RARE) * max(count(o).flops, 1) for o in operators])
    relative: Array = expected / expected.mean()
    return relative


def choose_operators(
    operators: Sequence[OperatorSpec],
    weights: Array,
    number: int,
    chosen: Sequence[OperatorSpec] = (),
) -> tuple[OperatorSpec, ...]:
    """The most informative `number` of operators, in order of choice.

    Args:
        operators: Candidates.
        weights: Importance of each, relative to the mean.
        number: How many to choose, those of `chosen` included.
        chosen: Operators that are in anyhow.
    """
    points = standardise(descriptor_matrix(operators))
    bend = weights**IMPORTANCE_POWER
    places = {operator: place for place, operator in enumerate(operators)}
    picked = [places[operator] for operator in chosen] or [int(bend.argmax())]
    distance = np.min([_distances(points, place) for place in picked], axis=0)
    while len(picked) < min(number, len(operators)):
        distance[picked] = -1.0
        place = int(np.argmax(np.where(distance < 0, -1.0, distance * bend)))
        picked.append(place)
        distance = np.minimum(distance, _distances(points, place))
    return tuple(operators[place] for place in picked)


def _distances(points: Array, place: int) -> Array:
    squares: Array = ((points - points[place]) ** 2).sum(axis=1)
    return squares
