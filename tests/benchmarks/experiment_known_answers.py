"""Every method where the answers are known: NAS-Bench-Macro, 6,561 networks of known accuracy.

    python -m tests.benchmarks.experiment_known_answers --truth FILE --data IMAGES --out FOLDER

Each run searches with one method and seed within the median FLOPs of the space (with
`--table`: the median latency), on a part of CIFAR-10 at half the side, where a network costs a
quarter; nothing is timed but the processor. It is judged by the published accuracy of what it
found, and by its regret: what that lacks to the best network within the target. Methods with
shared weights also report `regret_own`, that of the exact selection by the distribution they
end with; Kendall's tau between the truth and random networks judged with their weights, and
between the truth and the scores they leave; and regrets of exact selections by these scores
within other targets.
`cpu_s` is processor time of the search; what only this script wants is left out.

Runs are files in the folder and none is repeated, so an interrupted experiment goes on where
it was; `runs.json` holds all. Seeds go round: one is finished for all methods before the next.
`--label fair --set weights.sampling=fair` keeps the runs of another recipe beside the others.
Prints means with standard errors, and paired differences from random search and the parameter
count.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau

from search.pipeline.candidates import exact_choice
from search.pipeline.images import RunImages
from search.pipeline.networks.truth import Truth, read_truth
from search.pipeline.options import DataOptions, SearchOptions
from search.pipeline.problem import SearchProblem, Waivers, load_problem, untimed_problem, weigh
from search.pipeline.resources import ComputeOptions
from search.pipeline.run import run_search
from search.pipeline.supernet_scores import load_supernet, split_of
from search.selection.scores import read_scores_for
from search.spaces.registry import make_space
from search.supernets.batch_norm import recalibrate
from search.training.compute.allocator import keep_freed_memory
from search.training.evaluate import evaluate

SHARED = ("fbnet", "fp-nas", "parsec")
TRIALS = ("random", "evolution")
COUNTS = ("params", "flops")
METHODS = (*COUNTS, "zico", *TRIALS, *SHARED)
# Shares of the space that are within a target; the first is searched under.
SHARES = (0.5, 0.25, 0.75)
CALIBRATION, JUDGED_ON = 250, 500
# The candidate that the distribution itself selects within the target.
OWN = "exact selection"
Row = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """The options, the truth, and a problem for each target."""

    options: argparse.Namespace
    truth: Truth
    problems: tuple[SearchProblem, ...]

    def numbers(self, names: Sequence[str]) -> list[int]:
        """The choices of these names."""
        layers = zip(self.problems[0].space.layers, names, strict=True)
        return [[choice.name for choice in layer.choices].index(name) for layer, name in layers]

    def regret(self, choices: Sequence[int], problem: SearchProblem) -> float:
        """Percentage points below the best network within the target."""
        assert problem.target is not None
        return 100 * self.truth.of(choices, problem.costs, problem.target.value).regret


def main() -> None:
    """Run what is missing, then print the comparison."""
    options = _options()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every command does
    bench = _bench(options)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for method in options.methods:
            path = options.out / options.label / f"{method}-{seed}.json"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                row = _one(bench, method, seed, path.with_suffix(""))
                path.write_text(json.dumps(row, indent=1))
                print(json.dumps(row), flush=True)
    rows = [json.loads(path.read_text()) for path in sorted(options.out.glob("*/*-[0-9]*.json"))]
    (options.out / "runs.json").write_text(json.dumps(rows, indent=1))
    _print(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", type=Path, help="of nas-bench-macro, for latencies")
    parser.add_argument("--resolution", type=int, default=16, help="without --table")
    parser.add_argument("--limit", type=int, default=2500)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--label", default="cpu", help="of a recipe with its --set")
    parser.add_argument("--recipe", default="cpu")
    parser.add_argument("--set", nargs="+", default=[], help="of methods with shared weights")
    parser.add_argument("--set-trial", nargs="+", default=[], help="of random and evolution")
    parser.add_argument("--trials", type=int, default=4, help="networks random search trains")
    parser.add_argument("--zico", type=int, default=60, help="networks zero-cost scores")
    parser.add_argument("--networks", type=int, default=100, help="judged for Kendall's tau")
    return parser.parse_args()


def _bench(options: argparse.Namespace) -> Bench:
    waivers = Waivers()
    if options.table:
        free = load_problem(options.table, None, waivers)
    else:
        spec = make_space("nas-bench-macro", resolution=options.resolution).spec
        free = untimed_problem(spec, None, "flops", waivers)
    truth = read_truth(options.truth, free.space)
    values = np.quantile(free.costs.cost_of(truth.choices), SHARES)
    if options.table:
        problems = [load_problem(options.table, value / 1e3, waivers) for value in values]
    else:
        problems = [weigh(free, "flops", target_mflops=value / 1e6) for value in values]
    return Bench(options, truth, tuple(problems))


def _one(bench: Bench, method: str, seed: int, folder: Path) -> Row:
    """One search, judged by the truth."""
    began, problem = time.process_time(), bench.problems[0]
    output = run_search(
        problem, _search_options(bench, method, seed, folder), ComputeOptions(threads=1)
    )
    assert output is not None
    cpu_s = time.process_time() - began
    chosen, found = output.result.chosen, bench.numbers(output.result.chosen.choices)
    row: Row = {
        "label": bench.options.label,
        "method": method,
        "seed": seed,
        "choices": found,
        "accuracy": 100 * bench.truth.of(found, problem.costs, None).accuracy,
        "regret": bench.regret(found, problem),
        "cpu_s": round(cpu_s, 1),
        "origin": chosen.origin,
    }
    if method in COUNTS:
        return row
    if method in SHARED:
        own = [one for one in output.result.candidates if OWN in one.origin.split(", ")]
        row["regret_own"] = bench.regret(bench.numbers(own[0].choices), problem)
        row |= _by_scores(bench, folder / "net.run" / "scores.json")
        row |= _tau(bench, seed, folder / "net.run")
    (folder / "net.run" / "last.pt").unlink(missing_ok=True)  # 30 MB a run
    (folder / "net.run" / "good.pt").unlink(missing_ok=True)
    return row


def _search_options(bench: Bench, method: str, seed: int, folder: Path) -> SearchOptions:
    options = bench.options
    score = {"zico": ("score=zico",), **{count: (f"score={count}",) for count in COUNTS}}
    budget = {"zico": options.zico, **dict.fromkeys(TRIALS, options.trials)}
    run, resume = folder / "net.run", False
    if run.exists():
        resume = any(run.iterdir()) and method not in COUNTS
    folder.mkdir(parents=True, exist_ok=True)
    return SearchOptions(
        algorithm="zero-cost" if method in score else method,
        images=DataOptions(source=options.data, limit=options.limit),
        recipe=options.recipe,
        epochs=None,
        batch=None,
        learning_rate=None,
        budget=budget.get(method),
        scores=None,
        seed=seed,
        output=folder / "net.json",
        run=run,
        retrain=False,
        retrain_epochs=None,
        resume=resume,
        accept_changes=False,
        quiet=True,
        settings=score.get(method, tuple(options.set_trial if method in TRIALS else options.set)),
    )


def _by_scores(bench: Bench, path: Path) -> Row:
    """Regrets of exact selections by the scores that the search left."""
    scores = read_scores_for(path, bench.problems[0].space)
    regrets = {
        f"regret_exact_{share:g}": bench.regret(exact_choice(scores, problem), problem)
        for share, problem in zip(SHARES, bench.problems, strict=True)
    }
    sums = scores.values[np.arange(bench.truth.choices.shape[1]), bench.truth.choices].sum(1)
    return {**regrets, "tau_scores": float(kendalltau(sums, bench.truth.accuracies).statistic)}


def _tau(bench: Bench, seed: int, folder: Path) -> Row:
    """Kendall's tau of networks judged with the shared weights, in bfloat16, with the truth."""
    number, options = bench.options.networks, bench.options
    if not number:
        return {}
    supernet = load_supernet(folder)
    side = supernet.space.before[0].height
    images = RunImages(DataOptions(source=options.data, limit=options.limit), seed).at(side).train
    learnt, held = split_of(supernet, images)
    pixels = [images.batch(part, None)[0] for part in learnt[:CALIBRATION].split(125)]
    drawn = np.random.default_rng(seed).choice(len(bench.truth.choices), number, replace=False)
    entropies, accuracies = [], []
    for choices in bench.truth.choices[drawn].tolist():
        network = supernet.weights.derive(choices)
        with torch.autocast("cpu", torch.bfloat16):
            recalibrate(network, pixels)
            judged = evaluate(network, images, 250, indices=held[:JUDGED_ON])
        entropies.append(judged.loss)
        accuracies.append(judged.top1)
    true = bench.truth.accuracies[drawn]
    return {
        "tau": -float(kendalltau(entropies, true).statistic),
        "tau_accuracy": float(kendalltau(accuracies, true).statistic),
        "inherited": 100 * statistics.mean(accuracies),
    }


def _print(rows: Sequence[Row]) -> None:
    """A line for each label and method, with standard errors over the seeds."""
    numbers = ["accuracy", "regret", "regret_own", "regret_exact_0.25", "regret_exact_0.75"]
    numbers += ["tau", "tau_scores", "cpu_s"]
    print("| label | method | seeds |", " | ".join(numbers), "|")
    groups = {(row["label"], row["method"]): [] for row in rows}  # type: dict[tuple[str, str], list[Row]]
    for row in rows:
        groups[row["label"], row["method"]].append(row)
    for (label, method), group in groups.items():
        cells = [_mean([row[name] for row in group if name in row]) for name in numbers]
        print(f"| {label} | {method} | {len(group)} |", " | ".join(cells), "|")
    for (label, method), group in groups.items():
        if method in SHARED:
            for rival in ("random", "params"):
                print(f"{label} {method} against {rival}: {_against(group, groups, rival)}")


def _against(group: list[Row], groups: dict[tuple[str, str], list[Row]], rival: str) -> str:
    """How many points more of true accuracy in the same seeds, with its standard error.

    A count finds the same network in every seed.
    """
    others = {
        row["seed"]: row["accuracy"]
        for (_, method), rows in groups.items()
        if method == rival
        for row in rows
    }
    if not others:
        return "not run"
    if rival in COUNTS:
        others = dict.fromkeys((row["seed"] for row in group), next(iter(others.values())))
    more = [row["accuracy"] - others[row["seed"]] for row in group if row["seed"] in others]
    if not more:
        return "no seed in common"
    mean, error = statistics.mean(more), _error(more)
    return f"{mean:+.2f} points, standard error {error:.2f} ({len(more)} seeds)"


def _error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "–"
    error = _error(values)
    return f"{statistics.mean(values):.2f}" + ("" if math.isnan(error) else f" ± {error:.2f}")


if __name__ == "__main__":
    main()
