"""Architectures of the FBNet space priced a second, with a made-up table.

    python tests/benchmarks/bench_latency.py [--networks 200000] [--repeats 7]

At least 1e6 a second are wanted; below that the exit code is 1. The best of
the repeats counts, since other work on the machine only ever slows it.
"""

import argparse
import random
import sys
import time

import numpy as np
import pandas as pd

from search.costs.matrix import CostMatrix
from search.latency.model import LatencyModel
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space
from search.table.entries import Entry, Interval
from search.table.manifest import DeviceInfo, Kit, Manifest, Protocol, RuntimeInfo, SpaceInfo
from search.table.store import EXAM_COLUMNS, Table

WANTED = 1e6


def made_up_table(space: LayeredSpace, seed: int) -> Table:
    """A table in memory with random times; nothing in it was measured."""
    generator, entries = random.Random(seed), []
    for operator in space.operators:
        median = generator.uniform(5, 500)
        time = Interval(centre_us=median, low_us=0.99 * median, high_us=1.01 * median)
        entries.append(Entry(key=operator.key, status="ok", time=time))
    number = len(entries)
    manifest = Manifest(
        table_id="benchmark",
        created_utc="2026-01-01T00:00:00+00:00",
        source="simulated",
        title="made-up",
        kit=Kit(version="0"),
        space=SpaceInfo(
            spec=space.spec,
            sha256=space.sha256,
            layers=space.size.layers,
            candidates=space.size.candidates,
            operators_expected=number,
            operators_measured=number,
            operators_unstable=0,
            operators_failed=0,
            operators_missing=0,
        ),
        device=DeviceInfo(id="made-up", kind="simulated"),
        runtime=RuntimeInfo(name="none", version=None, backend="simulated", runner="none"),
        protocol=Protocol(
            dtype="fp32",
            threads=1,
            preset="fast",
            seed=seed,
            passes=1,
            rounds_per_pass=1,
            warmup=0,
            min_block_us=1.0,
            target_relative_ci=0.01,
        ),
        files_sha256={},
    )
    exam = pd.DataFrame(columns=list(EXAM_COLUMNS))
    return Table(manifest=manifest, entries=tuple(entries), exam=exam)


def random_choices(space: LayeredSpace, networks: int, seed: int) -> np.ndarray:
    """Legal choices, networks x layers."""
    generator = np.random.default_rng(seed)
    widths = [len(layer.choices) for layer in space.layers]
    return generator.integers(0, widths, size=(networks, len(widths)))


def rate(matrix: CostMatrix, choices: np.ndarray, repeats: int) -> float:
    """Networks priced a second, best of the repeats."""
    fastest = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        matrix.cost_of(choices)
        fastest = min(fastest, time.perf_counter() - start)
    return len(choices) / fastest


def main() -> int:
    """Print the rate; 1 when it is below what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    space = make_space("fbnet")
    start = time.perf_counter()
    matrix = LatencyModel(made_up_table(space, seed=0)).cost_matrix()
    built = time.perf_counter() - start
    found = rate(matrix, random_choices(space, arguments.networks, seed=1), arguments.repeats)
    print(f"cost matrix of {space.spec} built in {built * 1e3:.0f} ms")
    print(f"{found:.3g} architectures priced a second (wanted: {WANTED:.0e})")
    return 0 if found >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
