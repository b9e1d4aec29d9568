"""The operators to measure first: far from each other, important to a search, some random.

The first ones are a farthest-point design (Johnson, Moore and Ylvisaker, J. Stat.
Plan. Inference 26, 1990) over the standardised descriptors; distances count more
where an operator is likely to take a larger part of a random network's time. In
many dimensions such points lie on the hull, so that further ones alternate with
operators drawn by chance: those stand for the operators that nobody measures, and
intervals can be calibrated on them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from profiler.analysis.arrays import Array
from profiler.prediction.features import descriptor_matrix, standardise
from search.operators.counts import count
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace

# How much importance bends distances: 0 fills the space evenly, 1 looks at importance
# alone. Chosen on the committed host tables (tests/benchmarks/bench_predict.py).
IMPORTANCE_POWER = 0.3
_RARE = 0.03  # uses a network, for operators that only published networks have
_OFTEN = 0.2
_FAR_FIRST, _MOST_FAR = 30, 400
_MOST_CANDIDATES, _COSTLIEST = 5000, 500  # that far points are looked for among


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Operators in order of choice; `drawn` are those that were chosen at random."""

    operators: tuple[OperatorSpec, ...]
    drawn: frozenset[OperatorSpec]


def importance(space: LayeredSpace, operators: Sequence[OperatorSpec]) -> Array:
    """Expected arithmetic of each operator in a random network, relative to the mean."""
    uses: Mapping[OperatorSpec, float] = space.uses
    expected = np.array([uses.get(o, _RARE) * max(count(o).flops, 1) for o in operators])
    relative: Array = expected / expected.mean()
    return relative


@lru_cache(maxsize=4)
def design_of(
    space: LayeredSpace,
    operators: tuple[OperatorSpec, ...],
    number: int,
    chosen: tuple[OperatorSpec, ...] = (),
) -> Design:
    """The `number` of operators to measure; a larger design begins with the smaller one.

    Args:
        space: The space whose random networks show how much an operator matters.
        operators: Candidates.
        number: How many to choose, those of `chosen` included.
        chosen: Operators that are measured in any case.
    """
    number = min(number, len(operators))
    far_number = min(number, len(chosen) + _MOST_FAR)
    far = list(_far(space, operators, far_number, chosen))
    shuffled = [operators[n] for n in np.random.default_rng(0).permutation(len(operators))]
    order = dict.fromkeys(far[: len(chosen) + _FAR_FIRST])
    drawn: set[OperatorSpec] = set()
    far_rest, random_rest = iter(far[len(order) :]), iter(shuffled)
    while len(order) < number:
        random_one = next(o for o in random_rest if o not in order)
        order[random_one] = None
        drawn.add(random_one)
        far_one = next((o for o in far_rest if o not in order), None)
        if far_one is not None:
            order[far_one] = None
    operators = tuple(order)[:number]
    return Design(operators=operators, drawn=frozenset(drawn & set(operators)))


def _far(
    space: LayeredSpace,
    operators: tuple[OperatorSpec, ...],
    number: int,
    chosen: tuple[OperatorSpec, ...],
) -> tuple[OperatorSpec, ...]:
    """Far points among all operators; of very many, among the costliest and a random part."""
    weights = importance(space, operators)
    chosen = tuple(dict.fromkeys((*chosen, *_frames(space, operators)[: number // 3])))
    if len(operators) > _MOST_CANDIDATES:
        index_of = {operator: n for n, operator in enumerate(operators)}
        costliest = np.argsort(-weights, kind="stable")[:_COSTLIEST]
        some = np.random.default_rng(1).permutation(len(operators))[:_MOST_CANDIDATES]
        indices = np.unique([*(index_of[o] for o in chosen), *costliest, *some])
        operators, weights = tuple(operators[n] for n in indices), weights[indices]
    return choose_operators(operators, weights, number, chosen)


def _frames(space: LayeredSpace, operators: tuple[OperatorSpec, ...]) -> list[OperatorSpec]:
    """Stems, heads and classifiers that many networks share: their errors do not average out."""
    return [o for o in operators if o.kind != "ir" and space.uses.get(o, 0.0) >= _OFTEN]


def choose_operators(
    operators: Sequence[OperatorSpec],
    weights: Array,
    number: int,
    chosen: Sequence[OperatorSpec] = (),
) -> tuple[OperatorSpec, ...]:
    """The farthest `number` of operators, in order of choice.

    Args:
        operators: Candidates.
        weights: Importance of each, relative to the mean.
        number: How many to choose, those of `chosen` included.
        chosen: Operators that are measured in any case.
    """
    points = standardise(descriptor_matrix(operators))
    bend = weights**IMPORTANCE_POWER
    index_of = {operator: n for n, operator in enumerate(operators)}
    indices = [index_of[operator] for operator in chosen] or [int(bend.argmax())]
    distance = np.min([_squared_distances(points, n) for n in indices], axis=0)
    while len(indices) < min(number, len(operators)):
        distance[indices] = -1.0
        farthest = int(np.argmax(np.where(distance < 0, -1.0, distance * bend)))
        indices.append(farthest)
        distance = np.minimum(distance, _squared_distances(points, farthest))
    return tuple(operators[n] for n in indices)


def _squared_distances(points: Array, index: int) -> Array:
    """From one point to all."""
    squares: Array = ((points - points[index]) ** 2).sum(axis=1)
    return squares
