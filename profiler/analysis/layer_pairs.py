"""Which neighbouring layers cost together what no sum over operators tells.

Candidates are all pairs where the second layer reads images of one size, told apart by both
expansions (`search.latency.pairs`). A size is taken where its effects raise the density of
networks predicted from the others clearly; mostly it is the largest images that have any:
on an x86 host with 2 MB of activations in the first block of FBNet, two expanded neighbours
at 112 x 112 share 1 to 2 % of a network's latency, and no other size shares anything.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from profiler.analysis.arrays import Array
from profiler.analysis.mixed_model import MixedModel, Solution
from search.latency.pairs import Pair, pair_of
from search.operators.spec import OperatorSpec

# Prior deviation of an effect, as a share of a typical latency.
_DEVIATION = 0.015
# A further size must make the networks exp(5) times as likely, each predicted from the others:
# sizes without effects gained at most 3 in twenty-one campaigns, the one with effects 11 to 35.
_CLEARLY = 5.0
_MOST_SIZES = 2

Layers = Sequence[OperatorSpec]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedSolution:
    """The model's own weights in `solution` first, then the effects of `pairs`, in microseconds."""

    solution: Solution
    pairs: tuple[Pair, ...]


def solve_with_pairs(
    model: MixedModel, layers: Sequence[Layers], measured_us: Array
) -> PairedSolution:
    """Solve a model of networks, with effects of those neighbours that have some.

    Args:
        model: Of these networks, in their order.
        layers: All layers of each, skips among them; empty where neighbours are not to be told
            apart.
        measured_us: (N,) latencies.
    """
    best = PairedSolution(solution=model.solve(), pairs=())
    deviation_us = _DEVIATION * float(np.median(measured_us))
    heights = {second.height for network in layers for _, second in pairwise(network)}
    counts = {height: _counts(layers, height) for height in sorted(heights)}
    for _ in range(_MOST_SIZES):
        found = [
            (model.extended(columns / measured_us[:, None], deviation_us), height, pairs)
            for height, (pairs, columns) in counts.items()
        ]
        solved = [(one.solve(), one, height, pairs) for one, height, pairs in found]
        if not solved:
            break
        solution, extended, height, pairs = max(solved, key=lambda each: each[0].density)
        if solution.density < best.solution.density + _CLEARLY:
            break
        best = PairedSolution(solution=solution, pairs=(*best.pairs, *pairs))
        model = extended
        del counts[height]
    return best


def _counts(layers: Sequence[Layers], height: int) -> tuple[tuple[Pair, ...], Array]:
    """Pairs whose second layer reads this size, and how often each network has them: (N, pairs)."""
    own = [
        Counter(
            pair_of(first, second) for first, second in pairwise(network) if second.height == height
        )
        for network in layers
    ]
    pairs = tuple(dict.fromkeys(pair for counter in own for pair in counter))
    return pairs, np.array([[float(counter[pair]) for pair in pairs] for counter in own])
