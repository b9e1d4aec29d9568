"""All search methods on the same images and device at one share of the mean random latency.

    python tests/benchmarks/experiment_systems.py --data IMAGES --out FOLDER \
        --table TABLE [--single-path-table TABLE] [--fbnetv2-table TABLE]

FBNet, FP-NAS, PARSEC, evolution and random search share the first table;
Single-Path NAS and FBNetV2 search spaces of their own and need tables of them,
measured on the same device. The target is the first table's, in milliseconds,
for all. Each network found is trained with one recipe, and so are five random
networks whose latency is 90 to 100 % of the target (`chance`: one row, their
mean). Every step is a command of the kit; finished steps are not repeated, so
an interrupted experiment goes on where it was. `search_s` is time on the wall,
`cpu_s` the processors' (null where a search was resumed): with `--threads 1`
the second holds on a busy machine too. Prints one row a method and seed, then means and deviations.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

from search.architecture import write_architecture
from search.costs.matrix import CostMatrix
from search.latency.model import LatencyModel
from search.selection.exact import network_of
from search.selection.sampling import FeasibleSampler
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space
from search.table.store import read_table

SHARED = ("fbnet", "fp-nas", "parsec")
BASELINES = ("evolution", "random")
CHANCE, CHANCE_NETWORKS = "chance", 5
ROW = dict[str, object]


def main() -> None:
    """Run what is missing, then print the comparison."""
    options = _options()
    target_ms = target_of(options.table, options.share)
    print(f"target {target_ms:.4f} ms", flush=True)
    rows = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for method, table in _methods(options):
            make = chance if method == CHANCE else one
            rows.append(make(options, method, table, target_ms, seed))
            print(json.dumps(rows[-1]), flush=True)
    for method in dict.fromkeys(str(row["method"]) for row in rows):
        print(json.dumps(_summary([row for row in rows if row["method"] == method])), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--single-path-table", type=Path)
    parser.add_argument("--fbnetv2-table", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=8, help="networks a baseline trains")
    parser.add_argument("--epochs", type=int, help="of each search; the recipes' by default")
    parser.add_argument("--retrain-epochs", type=int)
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--methods", nargs="+", help="only these; all by default")
    return parser.parse_args()


def _methods(options: argparse.Namespace) -> list[tuple[str, Path]]:
    found = [(method, options.table) for method in (*SHARED, *BASELINES, CHANCE)]
    own = (("single-path", options.single_path_table), ("fbnetv2", options.fbnetv2_table))
    found += [(method, table) for method, table in own if table is not None]
    return [each for each in found if options.methods is None or each[0] in options.methods]


def target_of(folder: Path, share: float) -> float:
    """Milliseconds: a share of the mean random latency by the table."""
    _, costs = _space_and_costs(folder)
    slowest_us = float(np.where(np.isfinite(costs.costs), costs.costs, 0).sum()) + costs.fixed
    drawn = FeasibleSampler(costs, slowest_us).draw(20_000, np.random.default_rng(0))
    return share * float(costs.cost_of(drawn).mean()) / 1000


def one(options: argparse.Namespace, method: str, table: Path, target_ms: float, seed: int) -> ROW:
    """One method's network for one seed, searched and trained, unless it was before."""
    output, common = _folder(options, seed) / f"{method}.json", _common(options, seed)
    result, clock = output.with_suffix(".result.json"), output.with_suffix(".cpu.json")
    if not result.exists():
        whole, before = not output.with_suffix(".run").exists(), _cpu_s()
        words = ["--algorithm", method, "--table", str(table), "--target-ms", f"{target_ms:.6f}"]
        words += ["--budget", str(options.budget)] if method in BASELINES else []
        if options.epochs and method not in BASELINES:
            words += ["--epochs", str(options.epochs)]
        _run(*words, *common, *_resumed(output.with_suffix(".run")), "-o", str(output))
        clock.write_text(json.dumps(_cpu_s() - before if whole else None))
    found = json.loads(result.read_text())
    trained = _trained(options, output, common)
    return {
        "seed": seed,
        "method": method,
        "top1": trained["top1"],
        "predicted_ms": found["chosen"]["predicted_us"] / 1000,
        "search_s": found["seconds"],
        "cpu_s": json.loads(clock.read_text()) if clock.exists() else None,
        "networks_trained": options.budget if method in BASELINES else 1,
    }


def chance(
    options: argparse.Namespace, method: str, table: Path, target_ms: float, seed: int
) -> ROW:
    """The mean of random networks of nearly the target's latency, trained alike."""
    folder, common = _folder(options, seed), _common(options, seed)
    space, costs = _space_and_costs(table)
    sampler = FeasibleSampler(costs, 1000 * target_ms, 900 * target_ms)
    drawn = sampler.draw(CHANCE_NETWORKS, np.random.default_rng(seed))
    top1 = []
    for number, choices in enumerate(drawn.tolist()):
        network = folder / f"{method}-{number}.json"
        write_architecture(network_of(space, choices, network.stem), network)
        top1.append(float(str(_trained(options, network, common)["top1"])))
    return {
        "seed": seed,
        "method": method,
        "top1": statistics.mean(top1),
        "predicted_ms": float(costs.cost_of(drawn).mean()) / 1000,
        "search_s": 0.0,
        "cpu_s": 0.0,
        "networks_trained": CHANCE_NETWORKS,
    }


def _folder(options: argparse.Namespace, seed: int) -> Path:
    folder: Path = options.out / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _common(options: argparse.Namespace, seed: int) -> list[str]:
    words = ["--data", options.data, "--seed", str(seed)]
    words += ["--limit", str(options.limit)] if options.limit else []
    return words + (["--threads", str(options.threads)] if options.threads else [])


def _space_and_costs(folder: Path) -> tuple[LayeredSpace, CostMatrix]:
    table = read_table(folder)
    space = parse_space(table.manifest.space.spec)
    return space, LatencyModel(table).cost_matrix(space)


def _trained(options: argparse.Namespace, network: Path, common: list[str]) -> ROW:
    log, weights = network.with_suffix(".trained.json"), network.with_suffix(".pt")
    if not log.exists():
        words = ["train", str(network), *common, "-o", str(weights), "--format", "json"]
        words += ["--epochs", str(options.retrain_epochs)] if options.retrain_epochs else []
        log.write_text(_run(*words, *_resumed(weights.with_suffix(".train"))))
    content: ROW = json.loads(log.read_text())
    return content


def _cpu_s() -> float:
    """Processor time of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resumed(folder: Path) -> list[str]:
    return ["--resume"] if folder.exists() else []


def _summary(rows: list[ROW]) -> ROW:
    def both(name: str) -> dict[str, float] | None:
        values = [float(str(row[name])) for row in rows if row[name] is not None]
        if not values:
            return None
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return {"mean": statistics.mean(values), "deviation": deviation}

    names = ("top1", "predicted_ms", "search_s", "cpu_s", "networks_trained")
    return {"method": rows[0]["method"], "seeds": len(rows), **{name: both(name) for name in names}}


def _run(*words: str) -> str:
    command = [sys.executable, "-m", "search", *words]
    print(" ".join(command[1:]), file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
