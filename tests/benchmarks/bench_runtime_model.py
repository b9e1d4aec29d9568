"""Single-Path NAS: equation 5 against the sum of the table, over random networks.

    python tests/benchmarks/bench_runtime_model.py [TABLE ...] [--published FILE]

TABLE is one of a single-path space; FILE is the authors' `pixel1_runtime_model.json`,
which goes through the kit's importer first. Equation 5 predicts one of a
layer's four blocks from the three others; the sum adds what was measured. At
most 0.2 % in the mean is wanted. Where a table has an exam, its error is shown
too: networks held out, measured end to end in the run that measured the table
(the paper: 1.76 %, RMSE 1.32 ms on the Pixel 1). Exit code 1 where a number is
missed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from profiler.tables.importers.import_file import import_file
from profiler.tables.importers.stated import Stated
from search.algorithms.single_path.indicators import RuntimeModel, gates_of_candidate, runtime_of
from search.costs.matrix import CostMatrix
from search.latency.model import LatencyModel
from search.selection.knapsack import Array, IntArray
from search.spaces.registry import make_space, parse_space
from search.spaces.single_path import SinglePathSpace
from search.table.store import Table, read_table

WANTED_FORMULA, WANTED_MEASURED = 0.002, 0.0176
PUBLISHED = "single-path-nas"
PIXEL = Stated(device_name="Pixel 1", runtime="tflite", constant=19.5999)


def main() -> int:
    """One row a table; 1 where a number is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", nargs="*", type=Path)
    parser.add_argument("--published", type=Path)
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    good = True
    for path in options.table:
        good &= _show(read_table(path), options.networks, options.seed)
    if options.published is not None:
        with tempfile.TemporaryDirectory() as folder:
            (table,) = import_file(PUBLISHED, options.published, Path(folder), stated=PIXEL)
            good &= _show(table, options.networks, options.seed)
    return int(not good)


def _show(table: Table, number: int, seed: int) -> bool:
    own = table.manifest.source != "imported"
    space = parse_space(table.manifest.space.spec) if own else make_space("single-path")
    if not isinstance(space, SinglePathSpace):
        raise SystemExit(f"{table.label} is of {space.spec}, no single-path space.")
    matrix = LatencyModel(table).cost_matrix(space)
    formula = runtime_of(space, matrix, "paper")
    draw = np.random.default_rng(seed)
    widths = np.array([len(layer.choices) for layer in space.layers])
    blocks = np.array([sum(not c.is_skip for c in layer.choices) for layer in space.layers])
    errors = {
        words: _errors(space, formula, matrix, draw.integers(0, most, (number, len(most))))
        for words, most in (("any", widths), ("without skips", blocks))
    }
    print(f"{table.label}\n  equation 5 against the table's sum (wanted {WANTED_FORMULA:.1%}):")
    for words, found in errors.items():
        print(f"    {number} networks, {words}: mean {found.mean():.3%}, worst {found.max():.3%}")
    good = bool(errors["any"].mean() <= WANTED_FORMULA)
    exam = table.manifest.exam
    if exam is not None:
        print(
            f"  measured end to end: MAPE {exam.mape.value:.2%} "
            f"[{exam.mape.low:.2%}, {exam.mape.high:.2%}], RMSE {exam.rmse_us.value:.1f} us, "
            f"{exam.networks} networks (wanted {WANTED_MEASURED:.2%})"
        )
        good &= exam.mape.value <= WANTED_MEASURED
    return good


def _errors(
    space: SinglePathSpace, formula: RuntimeModel, matrix: CostMatrix, choices: IntArray
) -> Array:
    codes = [gates_of_candidate(layer) for layer in space.layers]
    gates = [
        torch.tensor([codes[layer][choice] for layer, choice in enumerate(row)]).float()
        for row in choices.tolist()
    ]
    said = np.array([float(formula(one)) for one in gates])
    return np.abs(said / matrix.cost_of(choices) - 1)


if __name__ == "__main__":
    sys.exit(main())
