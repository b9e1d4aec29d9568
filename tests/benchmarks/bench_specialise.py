"""One supernet's scores, a hundred tables: time, and the gap to the exact optimum by HiGHS.

    python -m tests.benchmarks.bench_specialise TABLE [TABLE ...] [--tables 100]
        [--supernet RUN --data IMAGES]

TABLE are measured tables of this machine in all their variants, and imported
ones (`python -m profiler import`); spaces may differ, each gets scores of its
own. Copies of them up to --tables, with every operator's times scaled as
another device might do, are marked `simulated`. Scores are those of the
supernet where its space is the table's, else the logarithm of multiply-adds.

Per space the kit's own `specialise` reads the tables, selects, compares and
writes; the clock runs over all of it. Then HiGHS (scipy) solves each selection
as an integer programme. Exit code 1 where it took more than a minute, a
network is over its target, or more than 1 % of the span between the fastest
and the best network's score is lost.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from search.console.progress import Silent
from search.costs.matrix import CostMatrix
from search.latency.model import LatencyModel
from search.operators.counts import count
from search.pipeline.limits.targets import TypedTargets
from search.pipeline.options import DataOptions
from search.pipeline.problem import SearchProblem, Waivers
from search.pipeline.specialise import load_problems, write_specialised
from search.pipeline.supernet_scores import Scoring, scores_of
from search.selection.scores import Scores, for_space
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space
from search.table.entries import Entry
from search.table.store import EXAM_COLUMNS, Table, read_table, write_table
from tests.benchmarks.bench_exact import milp_score

WANTED_S, WANTED_GAP = 60.0, 0.01
SHARE = 0.7
WAIVERS = Waivers(unexamined=True, simulated=True, imported=True, predicted=True)


def main() -> int:
    """Print one row a space, then the sums; 1 where a number is missed."""
    options = _options()
    spent, worst, over, number = 0.0, 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        groups = _grouped([read_table(table) for table in options.table])
        for place, group in enumerate(groups):
            home = Path(folder) / str(place)
            copies = options.tables * (place + 1) // len(groups) - number - len(group)
            paths = [table.path for table in group if table.path is not None]
            paths += [_copy(group[i % len(group)], i, home) for i in range(max(copies, 0))]
            seconds, gaps, missed = _specialised(group[0], paths, home, options)
            number, spent = number + len(paths), spent + seconds
            worst, over = max(worst, *gaps), over + missed
            print(
                f"{parse_space(group[0].manifest.space.spec).spec}: {len(paths)} tables "
                f"({len(group)} measured or imported), {seconds:.2f} s, worst gap {max(gaps):.2e}, "
                f"{missed} over their target",
                flush=True,
            )
    print(f"{number} tables in {spent:.2f} s, worst gap {worst:.2%} of the span, {over} over")
    return int(spent > WANTED_S or worst > WANTED_GAP or over > 0 or number < options.tables)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", nargs="+", type=Path)
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--supernet", type=Path, help="folder of a search's run")
    parser.add_argument("--data", default="digits", help="its images")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _grouped(tables: Sequence[Table]) -> list[list[Table]]:
    """Tables of one space, whatever their number format and batch, are of one supernet."""
    groups: dict[str, list[Table]] = {}
    for table in tables:
        space = parse_space(table.manifest.space.spec)
        if not isinstance(LatencyModel(table).space_costs(space), CostMatrix):
            raise SystemExit(f"{table.label}: exact selection does not know this space.")
        groups.setdefault(space.spec.rsplit("-b", 1)[0], []).append(table)
    return list(groups.values())


def _copy(table: Table, number: int, folder: Path) -> Path:
    """A device that does not exist: it likes other kernels, widths and sizes."""
    draw = np.random.default_rng(number)
    bent = draw.normal(0, (0.25, 0.15, 0.1))

    def scaled(entry: Entry) -> Entry:
        spec = entry.operator
        features = (spec.kernel > 3, spec.expansion > 1, math.log(max(spec.height, 1)))
        factor = math.exp(float(np.dot(bent, features)) + draw.normal(0, 0.1))
        time, first = entry.known_time, entry.first_call
        if not time.is_bounded:  # imported without an interval
            time = replace(time, low_us=time.centre_us, high_us=time.centre_us)
        return replace(entry, time=time.scaled(factor), first_call=first and first.scaled(factor))

    manifest = table.manifest.model_copy(
        update={
            "source": "simulated",
            "title": f"copy-{number}",
            "table_id": f"copy-{number}-of-{table.manifest.table_id}",
            "parent_id": table.manifest.table_id,
        }
    )
    path = folder / f"copy-{number}"
    nothing = pd.DataFrame(columns=list(EXAM_COLUMNS))
    rows = [scaled(entry) for entry in table.entries]
    write_table(path, manifest, rows, table.samples().head(1), nothing)
    return path


def _specialised(
    first: Table, paths: Sequence[Path], home: Path, options: argparse.Namespace
) -> tuple[float, list[float], int]:
    """Seconds, each table's gap, and how many networks are over their target."""
    targets_ms = [_target_us(path) / 1000 for path in paths]
    scores = _scores(parse_space(first.manifest.space.spec), options)
    start = time.perf_counter()
    tasks = load_problems(paths, TypedTargets(targets_ms=targets_ms), WAIVERS, None)
    comparison = write_specialised(scores, tasks, home / "found")
    seconds = time.perf_counter() - start
    rows = comparison.networks
    missed = sum(row.own_us > row.target_us for row in rows)
    gaps = [_gap(row.score, scores, task) for row, task in zip(rows, tasks, strict=True)]
    return seconds, gaps, missed


def _target_us(path: Path) -> float:
    """Of the mean random latency, but never below what is possible."""
    costs = LatencyModel(read_table(path)).cost_matrix()
    finite = np.where(np.isfinite(costs.costs), costs.costs, np.nan)
    mean_us = float(np.nanmean(finite, axis=1).sum()) + costs.fixed
    return max(SHARE * mean_us, 1.02 * costs.cheapest())


def _scores(space: LayeredSpace, options: argparse.Namespace) -> Scores:
    if options.supernet is not None:
        images = DataOptions(source=options.data, classes=None, limit=options.limit)
        found = scores_of(options.supernet, Scoring(images=images, seed=options.seed), Silent())
        if parse_space(found.space).spec.rsplit("-b", 1)[0] == space.spec.rsplit("-b", 1)[0]:
            return found
    widest = max(len(layer.choices) for layer in space.layers)
    values = np.full((len(space.layers), widest), -np.inf)
    for number, layer in enumerate(space.layers):
        for column, choice in enumerate(layer.choices):
            values[number, column] = math.log1p(count(choice.operator).flops)
    return Scores(values=values, space=space.spec, origin="logarithm of multiply-adds")


def _gap(score: float, scores: Scores, task: SearchProblem) -> float:
    """What is lost against HiGHS, relative to what there is to win."""
    assert task.target_us is not None
    values = for_space(scores, task.space).values
    best = milp_score(values, task.matrix, task.target_us)
    fastest = values[np.arange(len(values)), task.matrix.costs.argmin(axis=1)].sum()
    lost = max(best - score, 0.0) / max(best - float(fastest), 1e-12)
    return lost if math.isfinite(lost) else 1.0


if __name__ == "__main__":
    sys.exit(main())
