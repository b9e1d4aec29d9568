"""Two settings of one machine as two devices: is each served best by its own network?

    python tests/benchmarks/experiment_specialise.py --table FP32 --table INT8 --out FOLDER

Networks are selected exactly for each table at one and the same score, then
all of them are measured on both settings (`python -m profiler compare`), as
FBNet's Table 5 does for two phones. Without --scores of a trained supernet the
score of a candidate is the logarithm of its multiply-adds: a stand-in for
accuracy that is the same on every device, which is all that is needed to
compare latencies at matched score.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from search.architecture import write_architecture
from search.costs.matrix import CostMatrix
from search.latency.model import LatencyModel
from search.operators.counts import count
from search.selection.exact import Selection, network_of, select
from search.selection.scores import Scores, read_scores
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space
from search.table.store import read_table


def main() -> None:
    """Select, measure, print both ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, action="append", required=True)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the best score")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    tables = [read_table(path) for path in options.table]
    spaces = [parse_space(table.manifest.space.spec) for table in tables]
    scores = read_scores(options.scores, spaces[0]) if options.scores else by_work(spaces[0])
    costs = [
        LatencyModel(table).cost_matrix(space) for table, space in zip(tables, spaces, strict=True)
    ]
    wanted = options.share * float(scores.values.max(axis=1).sum())
    for table, space, matrix in zip(tables, spaces, costs, strict=True):
        found = fastest_with(scores, matrix, wanted)
        prices = [float(other.cost_of([found.choices])[0]) for other in costs]
        name = f"for-{table.manifest.protocol.dtype}"
        write_architecture(network_of(space, found.choices, name), options.out / f"{name}.json")
        print(json.dumps({"network": name, "score": found.score, "predicted_us": prices}))
    names = [str(options.out / f"for-{t.manifest.protocol.dtype}.json") for t in tables]
    for table in tables:
        dtype = table.manifest.protocol.dtype
        words = ["compare", *names, "--device", "host", "--dtype", dtype, "--quiet"]
        command = [sys.executable, "-m", "profiler", *words, "--table", str(table.path)]
        subprocess.run(command, check=False)  # exit 1: a network was unstable, and says so


def by_work(space: LayeredSpace) -> Scores:
    """log(1 + MMACs) of each candidate; a skip scores 0."""
    widest = max(len(layer.choices) for layer in space.layers)
    values = np.full((len(space.layers), widest), -np.inf)
    for row, layer in enumerate(space.layers):
        for column, choice in enumerate(layer.choices):
            values[row, column] = np.log1p(count(choice.operator).flops / 1e6)
    return Scores(values=values, space=space.spec, origin="log of multiply-adds")


def fastest_with(scores: Scores, costs: CostMatrix, wanted: float) -> Selection:
    """The fastest network that scores at least so much: the target is bisected."""
    low, high = costs.cheapest(), float(costs.costs[np.isfinite(costs.costs)].sum())
    high += abs(costs.fixed)
    best = select(scores, costs, high)
    while high - low > 1e-3:
        middle = (low + high) / 2
        found = select(scores, costs, middle)
        if found.score >= wanted:
            best, high = found, middle
        else:
            low = middle
    return best


if __name__ == "__main__":
    main()
