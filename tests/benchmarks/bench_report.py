"""The report of three tables with 10,000 operators each: size, opening, filtering.

    python tests/benchmarks/bench_report.py

The tables are made up (times by a formula, marked as simulated); the browser is a
headless Chromium on this machine. Exit code 1 if a limit is missed.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from profiler.comparison.sources import find_networks  # noqa: E402
from profiler.report.data import PageContents  # noqa: E402
from profiler.report.page import write_page  # noqa: E402
from search.operators.counts import count  # noqa: E402
from search.operators.spec import OperatorSpec  # noqa: E402
from search.table.entries import Entry, Interval, OperatorCounts  # noqa: E402
from search.table.manifest import (  # noqa: E402
    DeviceInfo,
    Kit,
    Manifest,
    Protocol,
    RuntimeInfo,
    SpaceInfo,
)
from search.table.store import EXAM_COLUMNS, Table, write_table  # noqa: E402
from search.zoo import network_names  # noqa: E402
from tests.profiler.report.browser import Browser, browser  # noqa: E402

LIMITS = {"size_mb": 10.0, "open_s": 2.0, "filter_ms": 100.0, "worst_ms": 100.0}
WORDS = ("k5", "k3 e6", "56x56", "e3 112", "g1 relu", "s2", "k5 e6 14x14", "zzz", "", "ir k3")


def made_up_operators(number: int) -> Iterator[OperatorSpec]:
    """Distinct blocks of many widths."""
    draw = random.Random(0)
    seen: set[OperatorSpec] = set()
    while len(seen) < number:
        channels, expansion = 8 * draw.randint(1, 60), draw.choice((1, 3, 4, 6))
        size, out = draw.choice((7, 14, 28, 56, 112)), 8 * draw.randint(1, 60)
        operator = OperatorSpec(
            kind="ir",
            kernel=draw.choice((3, 5, 7)),
            expansion=expansion,
            mid_channels=expansion * channels,
            activation="relu",
            in_channels=channels,
            out_channels=out,
            height=size,
            width=size,
            stride=draw.choice((1, 2)),
        )
        if operator not in seen:
            seen.add(operator)
            yield operator


def made_up_table(folder: Path, name: str, operators: list[OperatorSpec], seed: int) -> Table:
    """A table of these operators, written to disk."""
    draw = random.Random(seed)
    entries = []
    for operator in operators:
        counts = count(operator)
        us = (3 + counts.flops / 2e4) * draw.uniform(0.8, 1.25)
        entries.append(
            Entry(
                key=operator.key,
                status="ok",
                time=Interval(centre_us=us, low_us=0.99 * us, high_us=1.01 * us),
                first_call=Interval(centre_us=1.1 * us),
                counts=OperatorCounts(flops=counts.flops),
            )
        )
    manifest = Manifest(
        table_id=name,
        created_utc="2026-01-01T00:00:00+00:00",
        source="simulated",
        title=f"{name}-v1",
        kit=Kit(version="0"),
        space=SpaceInfo(
            spec="made-up",
            sha256="",
            layers=0,
            candidates=0,
            operators_expected=len(entries),
            operators_measured=len(entries),
            operators_unstable=0,
            operators_failed=0,
            operators_missing=0,
        ),
        device=DeviceInfo(id=name, kind="simulated", model=name),
        runtime=RuntimeInfo(name="simulated", version="1", backend="simulated", runner="none"),
        protocol=Protocol(dtype="fp32", threads=1, preset="made-up"),
        files_sha256={},
    )
    items = [operators[n % len(operators)].key for n in range(4 * len(operators))]
    samples = pd.DataFrame(
        {
            "item": items,
            "ns": [int(1e6 * draw.uniform(0.95, 1.05)) for _ in items],
            "loops": 1,
            "at_ns": range(0, 1_000_000 * len(items), 1_000_000),
            "freq_khz": [draw.randint(1_990_000, 2_010_000) for _ in items],
            "temperature_mc": [draw.randint(40_000, 45_000) for _ in items],
        }
    )
    return write_table(
        folder / name, manifest, entries, samples, pd.DataFrame(columns=list(EXAM_COLUMNS))
    )


def opening_s(opened: Browser, page: Path) -> float:
    """From the navigation to the end of the load event, rows and matrix drawn."""
    opened.open(page)
    found: float = opened.run("performance.getEntriesByType('navigation')[0].loadEventEnd / 1000")
    return found


def filtering_ms(opened: Browser, words: str) -> float:
    """From the keystroke to the end of the layout of the new rows."""
    found: float = opened.run(
        "(() => { const f = document.getElementById('filter');"
        # What the plots left to lay out is not the filter's.
        f"document.body.offsetHeight; f.value = {words!r}; const start = performance.now();"
        "f.dispatchEvent(new Event('input')); document.body.offsetHeight;"
        "return performance.now() - start; })()"
    )
    return found


def main() -> int:
    """Print the numbers; 1 if one of them is beyond its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operators", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        operators = list(made_up_operators(asked.operators))
        tables = tuple(made_up_table(folder, f"device-{n}", operators, n) for n in range(3))
        networks = find_networks(network_names())
        start = time.perf_counter()
        contents = PageContents(tables=tables, networks=networks, fronts=())
        size = write_page(contents, folder / "report.html", "Benchmark")
        written_s = time.perf_counter() - start
        with browser(folder / "profile") as opened:
            openings = [opening_s(opened, folder / "report.html") for _ in range(asked.repeats)]
            plots_ms = opened.run(
                "new Promise((done) => { const start = performance.now();"
                " document.getElementById('pair').scrollIntoView();"
                " const look = () => document.querySelector('.main-svg')"
                " ? done(performance.now() - start) : setTimeout(look, 10); look(); })"
            )
            filters = [filtering_ms(opened, word) for _ in range(asked.repeats) for word in WORDS]
            assert opened.complaints == [], opened.complaints
    found = {
        "size_mb": size / 1e6,
        "open_s": max(openings),
        "filter_ms": statistics.median(filters),
        "worst_ms": max(filters),
    }
    print(f"{len(tables)} tables x {asked.operators} operators, written in {written_s:.1f} s")
    for quantity, value in found.items():
        print(f"{quantity:<10} {value:8.2f}  limit {LIMITS[quantity]:g}")
    print(f"openings   {', '.join(f'{value:.2f}' for value in openings)} s (the first is cold)")
    print(f"first plot {plots_ms / 1000:.2f} s after it came into view")
    worst = sorted(zip(filters, WORDS * asked.repeats, range(len(filters)), strict=True))[-3:]
    print(f"filter     worst of {len(filters)}: ", end="")
    print(", ".join(f"{ms:.1f} ms ({words!r}, no. {n + 1})" for ms, words, n in worst))
    return int(any(value > LIMITS[name] for name, value in found.items()))


if __name__ == "__main__":
    sys.exit(main())
