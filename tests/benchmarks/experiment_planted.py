"""The planted problems of the tests over several seeds: does a method find the known optimum?

    python tests/benchmarks/experiment_planted.py --method fbnetv2 --seeds 3
    python tests/benchmarks/experiment_planted.py

Real training with noisy labels on one thread. FBNet, FP-NAS, PARSEC and
Single-Path NAS search a kernel (`tests/search/algorithms/planted.py`), FBNetV2
searches two widths (`planted_width.py`); on each of two devices another network
is the only one that is both able and within the target. Prints one line a run,
then how many were right, and whether every network found is faster on its own
device than the other's. Exit code 1 if a method finds fewer than five of six.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

if __name__ == "__main__":  # the problems live with the tests
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from search.costs.base import Costs
from tests.search.algorithms import (
    planted,
    planted_width,
    test_planted,
    test_planted_systems,
    test_planted_width,
)

Choices = tuple[int, ...]
_SHARE = 5 / 6


class Problem(NamedTuple):
    """A search (table, seed) to choices, the known optima, and prices of choices."""

    search: Callable[[str, int], Choices]
    optima: Mapping[str, Choices]
    costs: Callable[[str], Costs]
    network: Callable[[Choices], Choices]


def _kernels(search: Callable[[str, int], Choices]) -> Problem:
    return Problem(search, planted.OPTIMA, planted.costs, tuple)


PROBLEMS = {
    "fbnet": _kernels(test_planted.search),
    "fp-nas": _kernels(partial(test_planted_systems.search, test_planted_systems.fp_nas)),
    "parsec": _kernels(partial(test_planted_systems.search, test_planted_systems.parsec)),
    "single-path": _kernels(partial(test_planted_systems.search, test_planted_systems.single_path)),
    "fbnetv2": Problem(
        test_planted_width.search,
        planted_width.OPTIMA,
        planted_width.costs,
        planted_width.choices_of,
    ),
}


def main() -> None:
    """Run the methods that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=PROBLEMS, nargs="*", default=list(PROBLEMS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    enough = [examine(method, range(options.seeds)) for method in options.method]
    sys.exit(0 if all(enough) else 1)


def examine(method: str, seeds: Sequence[int]) -> bool:
    """Print the runs of one method; True if enough of them are right."""
    problem, started = PROBLEMS[method], time.monotonic()
    found: dict[tuple[str, int], Choices] = {}
    for table, seed in itertools.product(problem.optima, seeds):
        found[table, seed] = tuple(problem.search(table, seed))
        right = found[table, seed] == problem.optima[table]
        print(f"{method:<12} table {table} seed {seed}: {found[table, seed]}", right, flush=True)
    hits = sum(choices == problem.optima[table] for (table, _), choices in found.items())
    own = all(_faster_at_home(problem, found, seed) for seed in seeds)
    seconds = time.monotonic() - started
    print(
        f"{method:<12} {hits} of {len(found)}, own networks faster: {own}, {seconds:.0f} s",
        flush=True,
    )
    return own and hits >= _SHARE * len(found)


def _faster_at_home(problem: Problem, found: Mapping[tuple[str, int], Choices], seed: int) -> bool:
    def price(device: str, table: str) -> float:
        return float(problem.costs(device).cost_of([problem.network(found[table, seed])])[0])

    pairs = itertools.permutations(problem.optima)
    return all(price(own, own) < price(own, other) for own, other in pairs)


if __name__ == "__main__":
    main()
