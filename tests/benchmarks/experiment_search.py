"""The whole chain on real images, against random networks and random search.

    python tests/benchmarks/experiment_search.py --data IMAGES --table TABLE --out FOLDER

For each seed: FBNet's search at a share of the mean random latency, training,
deployment to the host; then, trained the same way, five random networks of
equal latency and what random search finds in the time that the search took.
Every step is a command of the kit; finished steps are not repeated, so an
interrupted experiment goes on where it was. Prints one row a network.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import time
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

ROW = dict[str, object]


def main() -> None:
    """Run what is missing, then print the comparison."""
    options = _options()
    table = read_table(options.table)
    space = parse_space(table.manifest.space.spec)
    costs = LatencyModel(table).cost_matrix(space)
    anything = FeasibleSampler(
        costs, float(np.where(np.isfinite(costs.costs), costs.costs, 0).sum())
    )
    mean_us = float(costs.cost_of(anything.draw(20_000, np.random.default_rng(0))).mean())
    target_us = options.share * mean_us
    print(f"mean random latency {mean_us:.1f} us, target {target_us:.1f} us", flush=True)
    rows = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        rows += _one_seed(options, space, costs, target_us, seed)
    for row in rows:
        print(json.dumps(row), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--random-networks", type=int, default=5)
    parser.add_argument("--retrain-epochs", type=int, default=None)
    return parser.parse_args()


def _one_seed(
    options: argparse.Namespace,
    space: LayeredSpace,
    costs: CostMatrix,
    target_us: float,
    seed: int,
) -> list[ROW]:
    folder = options.out / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    common = ["--data", options.data, "--seed", str(seed)]
    common += ["--limit", str(options.limit)] if options.limit else []
    task = ["--table", str(options.table), "--target-ms", f"{target_us / 1000:.6f}"]
    seconds = _search(folder / "fbnet.json", [*task, *common])
    rows = [_trained(options, folder, "fbnet", common, seed, target_us, search_s=seconds)]
    sampler = FeasibleSampler(costs, target_us, 0.9 * target_us)
    drawn = sampler.draw(options.random_networks, np.random.default_rng(seed))
    for number, choices in enumerate(drawn.tolist()):
        name = f"random-{number}"
        write_architecture(network_of(space, choices, name), folder / f"{name}.json")
        rows.append(_trained(options, folder, name, common, seed, target_us))
    spent = _random_search(folder, [*task, *common], seconds)
    rows.append(_trained(options, folder, "random-search", common, seed, target_us, search_s=spent))
    return rows


def _search(output: Path, words: list[str]) -> float:
    result = output.with_suffix(".result.json")
    if not result.exists():
        resume = ["--resume"] if output.with_suffix(".run").exists() else []
        _run("search", *words, "-o", str(output), *resume)
    return float(json.loads(result.read_text())["seconds"])


def _random_search(folder: Path, words: list[str], seconds: float) -> float:
    """Random search for at least as long as the search took; returns its seconds."""
    found, log = folder / "random-search.json", folder / "random-search.budget.json"
    one_s = _search(folder / "one-trial.json", ["--algorithm", "random", "--budget", "1", *words])
    tried = json.loads(log.read_text()) if log.exists() else {"budget": 0, "seconds": 0.0}
    while tried["seconds"] < seconds:
        a_trial_s = tried["seconds"] / tried["budget"] if tried["budget"] else one_s
        budget = tried["budget"] + math.ceil((seconds - tried["seconds"]) / a_trial_s)
        found.with_suffix(".result.json").unlink(missing_ok=True)
        spent = _search(found, ["--algorithm", "random", "--budget", str(budget), *words])
        tried = {"budget": budget, "seconds": spent}
        log.write_text(json.dumps(tried))
        for name in ("random-search.trained.json", "random-search.pt"):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "random-search.train", ignore_errors=True)
    return float(tried["seconds"])


def _trained(
    options: argparse.Namespace,
    folder: Path,
    name: str,
    common: list[str],
    seed: int,
    target_us: float,
    search_s: float | None = None,
) -> ROW:
    network, weights = folder / f"{name}.json", folder / f"{name}.pt"
    log = folder / f"{name}.trained.json"
    if not log.exists():
        began = time.monotonic()
        more = ["--epochs", str(options.retrain_epochs)] if options.retrain_epochs else []
        resume = ["--resume"] if weights.with_suffix(".run").exists() else []
        words = [str(network), *common, *more, *resume, "-o", str(weights), "--format", "json"]
        content = json.loads(_run("search", "train", *words))
        log.write_text(json.dumps({**content, "seconds": time.monotonic() - began}))
    trained = json.loads(log.read_text())
    proof = _proof(options, folder, name, target_us) if name == "fbnet" else {}
    return {
        "seed": seed,
        "network": name,
        "top1": trained["top1"],
        "train_s": round(trained["seconds"]),
        "search_s": None if search_s is None else round(search_s),
        **proof,
    }


def _proof(options: argparse.Namespace, folder: Path, name: str, target_us: float) -> ROW:
    """What deployment says: measured and predicted latency, accuracy on the device."""
    log = folder / f"{name}.deployed.json"
    if not log.exists():
        words = [str(folder / f"{name}.json"), "--weights", str(folder / f"{name}.pt")]
        words += ["--data", options.data, "--device", "host", "--table", str(options.table)]
        words += ["--target-ms", f"{target_us / 1000:.6f}", "--output-format", "json"]
        log.write_text(_run("deploy", *words, allowed=(0, 1)))
    return {"deployed": json.loads(log.read_text())}


def _run(module: str, *words: str, allowed: tuple[int, ...] = (0,)) -> str:
    command = [sys.executable, "-m", module, *words]
    print(" ".join(command[1:]), file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in allowed:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
