"""Exact selection on random tables of 22 x 9: the dynamic programme against HiGHS.

    python tests/benchmarks/bench_exact.py [--tables 100] [--no-milp]

At most 50 ms in the median and 300 ms at worst are wanted of the dynamic
programme; above that, or where the two methods disagree, the exit code is 1.
Costs are uniform, a skip in most layers is free; scores are random, or follow
the costs (as accuracy does) with little noise, which is harder.
"""

import argparse
import statistics
import sys
import time

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp

from search.costs.matrix import CostMatrix
from search.selection.exact import select

WANTED_MEDIAN_MS, WANTED_WORST_MS = 50.0, 300.0
NOISES = {"random": None, "loosely tied to cost": 0.2, "closely tied to cost": 0.01}
LAYERS, WIDEST = 22, 9

Array = npt.NDArray[np.float64]


def random_selection(seed: int, noise: float | None) -> tuple[Array, CostMatrix, float]:
    """Scores, costs and a target somewhere between the fastest and the mean network."""
    generator = np.random.default_rng(seed)
    costs = generator.uniform(5, 500, (LAYERS, WIDEST))
    scores = generator.normal(size=costs.shape)
    if noise is not None:
        scores = np.log(costs) + noise * scores
    skips = generator.random(LAYERS) < 0.7
    costs[skips, -1] = 0.0
    costs[~skips, -1] = np.inf
    scores[~skips, -1] = -np.inf
    matrix = CostMatrix(costs=costs, fixed=1000.0)
    mean = np.where(np.isfinite(costs), costs, 250).mean(axis=1).sum() + matrix.fixed
    share = generator.uniform(0.05, 1)
    return scores, matrix, matrix.cheapest() + share * (mean - matrix.cheapest())


def milp_score(scores: Array, costs: CostMatrix, target_us: float, seconds: float = 60) -> float:
    """The best score by scipy's mixed-integer solver; NaN when it did not finish."""
    legal = np.isfinite(scores) & np.isfinite(costs.costs)
    rows = np.nonzero(legal)[0]
    one_a_layer = (rows == np.arange(len(scores))[:, np.newaxis]).astype(float)
    room = target_us - costs.fixed
    found = milp(
        -scores[legal],
        integrality=np.ones(len(rows), dtype=int),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_a_layer, 1, 1),
            LinearConstraint(costs.costs[legal][np.newaxis], -np.inf, room),
        ],
        options={"mip_rel_gap": 0.0, "time_limit": seconds},
    )
    return float(-found.fun) if found.status == 0 else float("nan")


def main() -> int:
    """Print the times; 1 when too slow or wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--no-milp", action="store_true", help="do not compare with HiGHS")
    arguments = parser.parse_args()
    failed = False
    for name, noise in NOISES.items():
        own, other, wrong = [], [], 0
        for seed in range(arguments.tables):
            scores, costs, target_us = random_selection(seed, noise)
            start = time.perf_counter()
            found = select(scores, costs, target_us)
            own.append(1e3 * (time.perf_counter() - start))
            wrong += not (found.optimal and found.cost <= target_us)
            if not arguments.no_milp:
                start = time.perf_counter()
                score = milp_score(scores, costs, target_us)
                other.append(1e3 * (time.perf_counter() - start))
                wrong += not abs(score - found.score) <= 1e-6 * max(1, abs(score))
        line = f"scores {name}: median {statistics.median(own):.1f} ms, worst {max(own):.1f} ms"
        if other:
            line += f"; HiGHS {statistics.median(other):.1f} ms, worst {max(other):.1f} ms"
        print(f"{line}; {wrong} of {arguments.tables} wrong")
        failed |= bool(wrong) or statistics.median(own) > WANTED_MEDIAN_MS
        failed |= max(own) > WANTED_WORST_MS
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
