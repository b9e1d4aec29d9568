"""Single-Path NAS at an eleventh of the epochs against FBNet's search, on images.

    python -m tests.benchmarks.experiment_single_path --data IMAGES --out FOLDER \
        --table FBNET_TABLE --single-path-table TABLE

Both tables are of one device and of spaces of the same frame (fbnet-mini and
single-path-mini); the target is one for both, in milliseconds. FBNet searches
for the epochs of its CPU preset (or --epochs), Single-Path NAS for a whole
eleventh of them, at least one; the networks found are trained alike, by the
commands of the kit. Wanted (Single-Path NAS, arXiv 1904.02877: 8 epochs
against 90): accuracy no worse than one standard error of the difference over
the seeds. Exit code 1 where it is worse, 2 where an eleventh is no epoch.
Finished steps are not repeated.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

from search.algorithms.recipes import make_search_recipe
from tests.benchmarks.experiment_systems import one, target_of

SHORTER = 11
METHODS = ("fbnet", "single-path")


def main() -> int:
    """Run what is missing, print one row a method and seed and the comparison."""
    options = _options()
    epochs = options.epochs or make_search_recipe("fbnet", "cpu").epochs
    if epochs < SHORTER:
        print(f"an eleventh of {epochs} epochs is no epoch", file=sys.stderr)
        return 2
    target_ms = target_of(options.table, options.share)
    print(f"target {target_ms:.4f} ms, {epochs} against {epochs // SHORTER} epochs", flush=True)
    lengths = {"fbnet": epochs, "single-path": epochs // SHORTER}
    tables = {"fbnet": options.table, "single-path": options.single_path_table}
    found: dict[str, list[dict[str, object]]] = {method: [] for method in METHODS}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for method in METHODS:
            own = argparse.Namespace(**{**vars(options), "epochs": lengths[method]})
            row = one(own, method, tables[method], target_ms, seed)
            found[method].append(row)
            print(json.dumps(row), flush=True)
    return _compare(found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--single-path-table", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="of FBNet's search; its preset's by default")
    parser.add_argument("--retrain-epochs", type=int)
    parser.add_argument("--threads", type=int, help="of torch")
    return parser.parse_args()


def _compare(found: dict[str, list[dict[str, object]]]) -> int:
    top1 = {m: [float(str(row["top1"])) for row in rows] for m, rows in found.items()}
    gained = statistics.mean(top1["single-path"]) - statistics.mean(top1["fbnet"])
    error = sum(statistics.variance(v) / len(v) for v in top1.values() if len(v) > 1) ** 0.5
    seconds = {m: sum(float(str(row["search_s"])) for row in rows) for m, rows in found.items()}
    print(
        f"single-path against fbnet: {gained:+.2%} top-1, one standard error {error:.2%}; "
        f"{seconds['fbnet'] / seconds['single-path']:.1f} times less search time"
    )
    return int(gained < -error)


if __name__ == "__main__":
    sys.exit(main())
