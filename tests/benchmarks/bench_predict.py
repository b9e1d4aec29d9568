"""Budgets and transfers, worked out offline on tables that were measured whole.

    python tests/benchmarks/bench_predict.py [--published FOLDER]

Budgets: of each committed host table, only so many operators are taken as measured
and the others predicted; the run's own networks calibrate and examine the result,
as a campaign under --max-operators would. Transfers: operators of one table from
those of another and a few measured ones, against the scale by one factor (the
median ratio of the measured ones). FOLDER holds published tables, for transfers
between phones. Nothing is measured here.
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

from profiler.exam import MeasuredNetwork, calibrate, examine  # noqa: E402
from profiler.importers.tabulate import import_file  # noqa: E402
from profiler.plan import draw_networks  # noqa: E402
from profiler.predict.design import choose_operators, importance  # noqa: E402
from profiler.predict.predictor import predict_times  # noqa: E402
from profiler.predict.rows import predict_rows  # noqa: E402
from profiler.settings import BAR_MAPE, BAR_SPEARMAN  # noqa: E402
from profiler.stats import Block, clock_of, judge  # noqa: E402
from search.operators import OperatorSpec  # noqa: E402
from search.spaces.registry import parse_space  # noqa: E402
from search.table import Table, read_table  # noqa: E402

HOST = ROOT / "tables" / "host-amd-epyc"
STEM = "fbnet-r224-x1-c1000-h1984-p0-b1-{}-xnnpack-t1-v2"
BUDGETS = (10, 15, 20, 25, 30, 40, 50, 70)
FEW = (0, 10, 20, 50)


def network_times_us(table: Table) -> dict[str, float]:
    """Every random network of the campaign, judged from the raw blocks."""
    blocks: dict[str, list[Block]] = {}
    names = {"pass": "pass_number"}
    frame = table.samples().rename(columns=names)
    fields = ("pass_number", "round", "loops", "ns", "first_ns", "switches", "at_ns", "freq_khz")
    items = frame["item"].tolist()
    columns = [frame[name].astype(object).where(frame[name].notna(), None) for name in fields]
    for item, *values in zip(items, *columns, strict=True):
        blocks.setdefault(item, []).append(Block(**dict(zip(fields, values, strict=True))))
    clock = clock_of(itertools.chain.from_iterable(blocks.values()))
    khz = clock.median_khz if clock else None
    found = {}
    for name, mine in blocks.items():
        if name.startswith("random-"):
            judged = judge(mine, target=0.05, seed=0, slow_windows=(), clock_khz=khz)
            assert judged is not None
            found[name] = judged.centre_us
    return found


def show_budgets(table: Table) -> None:
    """Operators measured against the error of rows and of networks."""
    space = parse_space(table.manifest.space.spec)
    times = network_times_us(table)
    networks = draw_networks(space, len(times), table.manifest.protocol.seed or 0)
    held_out = set(table.exam["network"])
    operators = [entry.operator for entry in table.entries]
    rows = {entry.key: entry for entry in table.entries}
    print(f"\n{table.manifest.title}: {len(operators)} operators, ")
    print(f"{len(times) - len(held_out)} networks to calibrate, {len(held_out)} of the exam")
    print("measured   share  rows: MAPE  held by 90 %  exam: MAPE  worst  Spearman  held by 95 %")
    for number in (*BUDGETS, len(operators)):
        chosen = set(choose_operators(operators, importance(space, operators), number))
        measured = [rows[o.key] for o in operators if o in chosen]
        missing = [o for o in operators if o not in chosen]
        predicted = predict_rows(measured, missing, "").entries if missing else ()
        by_key = {entry.key: entry for entry in (*measured, *predicted)}
        parts: dict[bool, list[MeasuredNetwork]] = {True: [], False: []}
        for network in networks:
            keys = [o.key for o in network.operators if o.kind != "skip"]
            found = MeasuredNetwork(
                name=network.name,
                entries=tuple(by_key[key] for key in keys),
                measured_us=times[network.name],
            )
            parts[network.name in held_out].append(found)
        calibration = calibrate(parts[False], 0)
        assert calibration is not None
        exam, _ = examine(
            parts[True], calibration, bar_mape=BAR_MAPE, bar_spearman=BAR_SPEARMAN, seed=0
        )
        true = np.array([rows[e.key].centre_us for e in predicted])
        error = np.array([e.centre_us for e in predicted]) / true - 1
        inside = [
            (e.low_us or 0) <= us <= (e.high_us or 0) for e, us in zip(predicted, true, strict=True)
        ]
        columns = (
            f"{number:8d}  {number / len(operators):6.1%}  "
            + (f"{np.abs(error).mean():10.1%}  {np.mean(inside):12.0%}" if missing else " " * 24)
            + f"  {exam.mape.value:10.2%}  {exam.max_relative_error:5.1%}"
            f"  {exam.spearman.value:8.4f}  {exam.interval_coverage:12.0%}"
        )
        print(columns)


# --- transfers ---------------------------------------------------------------------


def _shape(operator: OperatorSpec) -> OperatorSpec:
    """An operator without number format and activation: what two tables can share."""
    plain = replace(operator, dtype="fp32")
    return replace(plain, activation="relu") if plain.kind in ("ir", "conv") else plain


def shared(old: Table, new: Table) -> tuple[list[OperatorSpec], np.ndarray, np.ndarray]:
    """Operators of both tables and their times in each."""
    before = {_shape(e.operator): e.centre_us for e in old.entries if e.centre_us}
    after = {_shape(e.operator): e.centre_us for e in new.entries if e.centre_us}
    both = [operator for operator in before if operator in after]
    return both, np.array([before[o] for o in both]), np.array([after[o] for o in both])


def show_transfer(title: str, old: Table, new: Table, draws: int = 3) -> None:
    """Mean error of the operators that were not measured, over starting points."""
    operators, old_us, new_us = shared(old, new)
    print(f"\n{title}: {len(operators)} shared operators")
    print("measured   one factor   transfer  held by 90 %   from scratch")
    weights = np.ones(len(operators))
    for number in FEW:
        if number >= len(operators) - 5:
            continue
        if number == 0:
            plain = np.abs(old_us / new_us - 1).mean()
            print(f"{0:8d}   {plain:10.1%}   {plain:8.1%}  (the old table as it is)")
            continue
        results = [
            _errors(operators, old_us, new_us, measured)
            for measured in _starts(operators, weights, number, draws)
        ]
        factor, moved, held, scratch = np.mean(results, axis=0)
        print(f"{number:8d}   {factor:10.1%}   {moved:8.1%}  {held:12.0%}   {scratch:12.1%}")


def _starts(
    operators: Sequence[OperatorSpec], weights: np.ndarray, number: int, draws: int
) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(0)
    for start in generator.choice(len(operators), draws, replace=False):
        chosen = choose_operators(operators, weights, number, (operators[start],))
        yield np.array([operators.index(operator) for operator in chosen])


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


PUBLISHED = (
    ("single-path-nas", "spnas_pixel1_runtime_model.json"),
    ("proxylessnas", "proxylessnas_mobile_trim.yaml"),
    ("hw-nas-bench", "hwnasbench_fbnet_cifar100_relative.csv"),
)


def show_published(folder: Path) -> None:
    """Transfers between published tables where they share operators."""
    with tempfile.TemporaryDirectory() as place:
        tables = {
            table.manifest.title.removesuffix("-v1"): table
            for form, file in PUBLISHED
            for table in import_file(form, folder / file, Path(place))
        }
        spnas, proxyless = tables["single-path-nas-pixel1"], tables["proxylessnas-mobile-r224"]
        show_transfer("Single-Path NAS (Pixel 1) to ProxylessNAS (Pixel 1)", spnas, proxyless)
        pixel = tables["hw-nas-bench-fbnet-pixel3"]
        for device in ("raspi4", "eyeriss", "fpga"):
            other = tables[f"hw-nas-bench-fbnet-{device}"]
            show_transfer(f"HW-NAS-Bench: pixel3 to {device}", pixel, other)


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", type=Path)
    parser.add_argument("--transfers-only", action="store_true")
    asked = parser.parse_args()
    fp32, int8 = (read_table(HOST / STEM.format(dtype)) for dtype in ("fp32", "int8"))
    for table in () if asked.transfers_only else (fp32, int8):
        show_budgets(table)
    show_transfer("host: fp32 to int8", fp32, int8)
    show_transfer("host: int8 to fp32", int8, fp32)
    if asked.published:
        show_published(asked.published)


if __name__ == "__main__":
    main()
