"""Two tables side by side, for people and programs: what `diff` prints."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table as RichTable

from profiler.tables.clocks import Clocks
from profiler.tables.diff import Difference
from search.console.output import console, to_csv, to_json
from search.operators.words import short_name

if TYPE_CHECKING:
    from rich.console import Console

_NAMED, _COLUMNS = 3, 80


def show_difference(difference: Difference, form: str) -> None:
    """Print a comparison of two tables."""
    if form == "json":
        print(to_json(asdict(difference)))
    elif form == "csv":
        print(to_csv([asdict(change) for change in difference.changes]), end="")
    else:
        _difference_for_people(difference)


def _difference_for_people(difference: Difference) -> None:
    out = console()
    for line in difference.identity:
        out.print(f"differs in {line}")
    _print_changes(out, difference)
    for title, keys in (("only in old", difference.only_old), ("only in new", difference.only_new)):
        _print_some(out, title, [short_name(key) for key in keys])
    moved = [f"{short_name(key)} {old} -> {new}" for key, old, new in difference.moved]
    _print_some(out, "ran elsewhere", moved)
    if difference.clocks:
        out.print(_clocks(difference.clocks))
    if difference.dispatch_us:
        before_us, after_us = difference.dispatch_us
        out.print(f"dispatch of a call: {before_us:.1f} us -> {after_us:.1f} us")
    out.print(f"all operators together: {difference.common_change:+.2%}")
    out.print(
        f"{len(difference.changes)} operators: {len(difference.regressions)} slower, "
        f"{len(difference.improvements)} faster"
    )
    if difference.predicted:
        out.print(f"{difference.predicted} operators are predicted in one table: not compared")
    out.print(
        f"absolute difference: median {difference.median_absolute:.2%}, "
        f"95th percentile {difference.p95_absolute:.2%}"
    )


def _clocks(clocks: Clocks) -> str:
    said = f"clock: {clocks.old_khz / 1e6:.3f} GHz -> {clocks.new_khz / 1e6:.3f} GHz; "
    if clocks.processor is None:
        return f"{said}times are not restated: {clocks.reason}"
    return f"{said}new times restated at the old one ({clocks.reason})"


def _print_changes(out: "Console", difference: Difference) -> None:
    changed = [change for change in difference.changes if change.verdict != "same"]
    if not changed:
        return
    grid = RichTable(box=None, pad_edge=False)
    grid.add_column("operator", overflow="fold", max_width=26)
    for name in ("old us", "new us", "change", "95 % interval"):
        grid.add_column(name, justify="right")
    grid.add_column("verdict")
    for change in sorted(changed, key=lambda change: -change.ratio):
        interval = f"{change.low - 1:+.1%} {change.high - 1:+.1%}"
        grid.add_row(
            short_name(change.key),
            f"{change.old_us:.1f}",
            f"{change.new_us:.1f}",
            f"{change.ratio - 1:+.1%}",
            interval,
            change.verdict,
        )
    out.print(grid)


def _print_some(out: "Console", title: str, words: Sequence[str]) -> None:
    if words:
        more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
        line = f"{title}: {'; '.join(words[:_NAMED])}{more}"
        out.print("\n".join(textwrap.wrap(line, _COLUMNS, subsequent_indent="  ")))
