"""Budgets and transfers, worked out offline on tables that were measured whole.

    python tests/benchmarks/bench_predict.py [--table T ...] [--published FOLDER]
        [--transfer OLD NEW] [--repetitions 20]

Curves: operators measured against the errors of rows and of the exam's networks (as
`profiler curve`). Coverage: over designs from random starting points, how many of the
held-out operators lie inside their intervals; each table is a draw of its own.
Transfers: operators of one table from those of another and a few measured ones,
against the scale by one factor (the median ratio of the measured ones) and against
a start from scratch; errors are means over starting points. FOLDER holds published
tables, for coverage and for transfers between phones. Nothing is measured here.
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from profiler.cli.curve import show_curve  # noqa: E402
from profiler.prediction.design import choose_operators, importance  # noqa: E402
from profiler.prediction.predictor import LEVEL, predict_times  # noqa: E402
from profiler.tables.cost_curve import cost_curve  # noqa: E402
from profiler.tables.importers.import_file import import_file  # noqa: E402
from profiler.tables.importers.stated import Stated  # noqa: E402
from search.errors import UsageError  # noqa: E402
from search.operators.counts import count  # noqa: E402
from search.operators.spec import OperatorSpec  # noqa: E402
from search.spaces.registry import parse_space  # noqa: E402
from search.table.store import Table, read_table  # noqa: E402

HOST = ROOT / "tables" / "host-amd-epyc"
STEM = "fbnet-r224-x1-c1000-h1984-p0-b1-{}-xnnpack-t1-v2"
FEW = (0, 10, 20, 50)
COVERED = (10, 20, 30, 50)
GOAL = (0.85, 0.95)


def operators_of(table: Table) -> tuple[list[OperatorSpec], np.ndarray]:
    """Measured operators of a table and their times."""
    rows = [e for e in table.entries if e.status in ("ok", "unstable") and e.time]
    return [e.operator for e in rows], np.array([e.known_time.centre_us for e in rows])


def weights_of(table: Table, operators: Sequence[OperatorSpec]) -> np.ndarray:
    """Importance of each operator; in tables of spaces that the kit lacks its arithmetic."""
    try:
        return importance(parse_space(table.manifest.space.spec), operators)
    except UsageError:
        flops = np.array([max(count(o).flops, 1) for o in operators], dtype=float)
        return flops / flops.mean()


def starts(
    operators: Sequence[OperatorSpec], weights: np.ndarray, number: int, draws: int
) -> Iterator[np.ndarray]:
    """Designs of so many operators, each from a starting point drawn by chance."""
    generator = np.random.default_rng(0)
    places = {operator: place for place, operator in enumerate(operators)}
    for start in generator.choice(len(operators), min(draws, len(operators)), replace=False):
        chosen = choose_operators(operators, weights, number, (operators[start],))
        yield np.array([places[operator] for operator in chosen])


def show_coverage(title: str, table: Table, repetitions: int) -> None:
    """The distribution of the intervals' coverage over designs."""
    operators, us = operators_of(table)
    weights = weights_of(table, operators)
    print(f"\n{title}: {len(operators)} operators, {LEVEL:.0%} intervals")
    print("measured  rows: MAPE   held: mean    s.d.   5 %  95 %   within 85-95 %")
    for number in COVERED:
        if number > 0.6 * len(operators):
            continue
        errors, shares = [], []
        for at in starts(operators, weights, number, repetitions):
            found = predict_times(operators, at, us[at]).predicted
            rest = np.setdiff1d(np.arange(len(us)), at)
            errors.append(np.abs(found.us / us - 1)[rest].mean())
            shares.append(((found.low_us <= us) & (us <= found.high_us))[rest].mean())
        low, high = np.quantile(shares, (0.05, 0.95))
        inside = np.mean([GOAL[0] <= share <= GOAL[1] for share in shares])
        print(
            f"{number:8d}  {np.mean(errors):10.1%}   {np.mean(shares):10.1%}  {np.std(shares):6.1%}"
            f"  {low:4.0%}  {high:4.0%}   {inside:6.0%} of {len(shares)}",
            flush=True,
        )


# --- transfers ---------------------------------------------------------------------


def _shape(operator: OperatorSpec) -> OperatorSpec:
    """An operator without number format and activation: what two tables can share."""
    plain = replace(operator, dtype="fp32")
    return replace(plain, activation="relu") if plain.kind in ("ir", "conv") else plain


def shared(old: Table, new: Table) -> tuple[list[OperatorSpec], np.ndarray, np.ndarray]:
    """Operators of both tables and their times in each."""
    before = {_shape(e.operator): e.time.centre_us for e in old.entries if e.time}
    after = {_shape(e.operator): e.time.centre_us for e in new.entries if e.time}
    both = [operator for operator in before if operator in after]
    return both, np.array([before[o] for o in both]), np.array([after[o] for o in both])


def show_transfer(title: str, old: Table, new: Table, draws: int) -> None:
    """Mean error of the operators that were not measured, over starting points."""
    operators, old_us, new_us = shared(old, new)
    print(f"\n{title}: {len(operators)} shared operators")
    if len(operators) < 16:
        print("too few to transfer anything")
        return
    weights = np.ones(len(operators))
    print("measured   one factor   transfer  (better in)  held by 90 %   from scratch")
    for number in FEW:
        if number >= len(operators) - 5:
            continue
        if number == 0:
            plain = np.abs(old_us / new_us - 1).mean()
            print(f"{0:8d}   {plain:10.1%}   {plain:8.1%}  (the old table as it is)")
            continue
        results = np.array(
            [
                _errors(operators, old_us, new_us, at)
                for at in starts(operators, weights, number, draws)
            ]
        )
        factor, moved, held, scratch = results.mean(axis=0)
        better = (results[:, 1] < results[:, 0]).sum()
        print(
            f"{number:8d}   {factor:10.1%}   {moved:8.1%}  {better:5d} of {len(results):2d}"
            f"  {held:12.0%}   {scratch:12.1%}",
            flush=True,
        )


def _errors(
    operators: Sequence[OperatorSpec], old_us: np.ndarray, new_us: np.ndarray, at: np.ndarray
) -> tuple[float, float, float, float]:
    rest = np.setdiff1d(np.arange(len(operators)), at)
    factor = np.median(new_us[at] / old_us[at])
    moved = predict_times(operators, at, new_us[at], old_us).predicted
    scratch = predict_times(operators, at, new_us[at]).predicted
    inside = (moved.low_us <= new_us) & (new_us <= moved.high_us)
    return (
        float(np.abs(factor * old_us / new_us - 1)[rest].mean()),
        float(np.abs(moved.us / new_us - 1)[rest].mean()),
        float(inside[rest].mean()),
        float(np.abs(scratch.us / new_us - 1)[rest].mean()),
    )


PIXEL = Stated(device_name="Pixel 1", runtime="tflite")
NOTE = Stated(device_name="Galaxy Note10", runtime="tflite")
PUBLISHED = (
    ("single-path-nas", "spnas_pixel1_runtime_model.json", PIXEL),
    ("proxylessnas", "proxylessnas_mobile_trim.yaml", PIXEL),
    ("once-for-all", "ofa_note10_160.yaml", NOTE),
    ("once-for-all", "ofa_note10_224.yaml", NOTE),
    ("hw-nas-bench", "hwnasbench_fbnet_cifar100_relative.csv", Stated(runtime="by device")),
)
FEWEST_SHARED = 30


def published(folder: Path, place: Path) -> dict[str, Table]:
    """All published tables by name."""
    return {
        f"{Path(file).stem} {table.manifest.device.id}": table
        for form, file, stated in PUBLISHED
        for table in import_file(form, folder / file, place, stated=stated)
    }


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, action="append", help="curve and coverage of this")
    parser.add_argument("--transfer", type=Path, nargs=2, action="append", metavar=("OLD", "NEW"))
    parser.add_argument("--published", type=Path)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--only", choices=("curves", "coverage", "transfers"))
    asked = parser.parse_args()
    fp32, int8 = (read_table(HOST / STEM.format(dtype)) for dtype in ("fp32", "int8"))
    own = [read_table(path) for path in asked.table or ()] or [fp32, int8]
    with tempfile.TemporaryDirectory() as place:
        others = published(asked.published, Path(place)) if asked.published else {}
        if asked.only in (None, "curves"):
            for table in own:
                print()
                show_curve(table, cost_curve(table), "table")
        if asked.only in (None, "coverage"):
            tables = {table.manifest.title: table for table in own} | others
            for title, table in tables.items():
                show_coverage(title, table, asked.repetitions)
        if asked.only in (None, "transfers"):
            draws = max(3, asked.repetitions // 2)
            show_transfer("host: fp32 to int8", fp32, int8, draws)
            show_transfer("host: int8 to fp32", int8, fp32, draws)
            for old, new in asked.transfer or ():
                show_transfer(f"{old.name} to {new.name}", read_table(old), read_table(new), draws)
            for (a, old_table), (b, new_table) in itertools.permutations(others.items(), 2):
                if len(shared(old_table, new_table)[0]) >= FEWEST_SHARED:
                    show_transfer(f"{a} to {b}", old_table, new_table, draws)


if __name__ == "__main__":
    main()
