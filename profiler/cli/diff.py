"""The verb `diff`: two tables, operator by operator."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from profiler.cli.options import (
    FormatOption,
    complete_table,
)
from search.console.app import check_format
from search.errors import EXIT_GATE, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from profiler.tables.clocks import Clocks
    from profiler.tables.diff import Difference
    from search.table.store import Table

_NAMED, _COLUMNS = 3, 80


def diff(
    old: Annotated[
        Path, typer.Argument(help="Table to compare with.", autocompletion=complete_table)
    ],
    new: Annotated[Path, typer.Argument(help="Table to judge.", autocompletion=complete_table)],
    threshold: Annotated[float, typer.Option(help="Smallest change that counts.")] = 0.05,
    fdr: Annotated[float, typer.Option(help="False discovery rate.")] = 0.05,
    output_format: FormatOption = "table",
) -> None:
    """Compare two tables operator by operator; exit 1 if any, or the machine, became slower.

    \b
    Examples:
      python -m profiler diff tables/pixel/fbnet-v1 tables/pixel/fbnet-v2
      python -m profiler diff OLD NEW --threshold 0.1 --format json
    """
    from profiler.tables.diff import compare_tables
    from search.table.query import read_named

    check_format(output_format)
    if threshold < 0 or not 0 < fdr < 1:
        raise UsageError("--threshold must not be negative, --fdr must lie between 0 and 1.")
    newer = read_named(new)
    difference = compare_tables(read_named(old), newer, threshold=threshold, fdr=fdr)
    show_difference(difference, output_format)
    beyond = difference.is_state_beyond_bounds
    if beyond or difference.common_kind == "unequal":
        warn_of_state(difference, newer)
    if difference.regressions or (beyond and (difference.common_change or 0) > 0):
        raise typer.Exit(EXIT_GATE)


def show_difference(difference: "Difference", output_format: str) -> None:
    """Print a comparison of two tables."""
    from search.console.output import emit

    emit(
        output_format,
        table=lambda out: _print_difference(difference, out),
        content=lambda: {
            **asdict(difference),
            "is_state_beyond_bounds": difference.is_state_beyond_bounds,
        },
        rows=lambda: [asdict(change) for change in difference.changes],
    )


def warn_of_state(difference: "Difference", newer: "Table") -> None:
    """Say on standard error that the machine moved too far or unequally, and what to do."""
    from profiler.analysis.machine_factor import MOST_CHANGE
    from search.table.store import profile_command

    why = f"differs by {difference.common_change:+.1%}, more than {MOST_CHANGE:.0%}"
    if difference.common_kind == "unequal":
        why = f"is not the same for all operators: they scatter by {difference.common_spread:.0%}"
    typer.echo(
        f"The machine's state {why}. If it stays like this, measure the table again: "
        f"{profile_command(newer.manifest)}",
        err=True,
    )


def _print_difference(difference: "Difference", out: "Console") -> None:
    from search.operators.words import short_name

    for line in difference.identity:
        _print_wrapped(out, f"differs in {line}")
    if difference.clocks:
        _print_wrapped(out, _clocks(difference.clocks))
    for line in _common_lines(difference):
        _print_wrapped(out, line)
    _print_changes(out, difference)
    for title, keys in (("only in old", difference.only_old), ("only in new", difference.only_new)):
        _print_names(out, title, [short_name(key) for key in keys])
    moved = [f"{short_name(key)} {old} -> {new}" for key, old, new in difference.moved]
    _print_names(out, "ran elsewhere", moved)
    if difference.unknown_processor:
        _print_wrapped(out, difference.unknown_processor)
    if difference.dispatch_us:
        before_us, after_us = difference.dispatch_us
        out.print(f"dispatch of a call: {before_us:.1f} us -> {after_us:.1f} us")
    out.print(
        f"{len(difference.changes)} operators: {len(difference.regressions)} slower, "
        f"{len(difference.improvements)} faster"
    )
    wide = [short_name(change.key) for change in difference.changes if change.unstable]
    _print_names(out, f"{len(wide)} unstable in a table", wide)
    if difference.predicted:
        out.print(f"{difference.predicted} operators are predicted in one table: not compared")
    out.print(
        f"absolute difference: median {difference.median_absolute:.2%}, "
        f"95th percentile {difference.p95_absolute:.2%}"
    )


def _common_lines(difference: "Difference") -> Iterator[str]:
    """What all operators have in common, and what became of it."""
    from profiler.tables.diff import MIN_COMMON

    if difference.common_change is None:
        few, enough = len(difference.changes), MIN_COMMON
        yield f"all operators together: not determined ({few} operators, {enough} would tell)"
        return
    interval = f"[{difference.common_low:+.2%}, {difference.common_high:+.2%}]"
    value = f"{difference.common_change:+.2%} {interval}"
    if difference.common_kind == "state":
        beyond = (
            ", BEYOND what tables should differ by" if difference.is_state_beyond_bounds else ""
        )
        clock = "" if difference.clocks else " and clock"
        yield f"state{clock} of the machine: {value}, taken out below{beyond}"
    elif difference.common_kind == "small":
        yield f"all operators together: {value}, taken out below"
    elif difference.common_kind == "kept":
        yield f"all operators together: {value}, between settings: not taken out"
    else:
        scatter = f"with a scatter of {difference.common_spread:.0%}"
        yield f"all operators together: {value}, {scatter}: not taken out"


def _clocks(clocks: "Clocks") -> str:
    text = f"clock: {clocks.old_khz / 1e6:.3f} GHz -> {clocks.new_khz / 1e6:.3f} GHz; "
    if clocks.processor is None:
        return f"{text}times are not restated: {clocks.reason}"
    return f"{text}new times restated at the old one ({clocks.reason})"


def _print_changes(out: "Console", difference: "Difference") -> None:
    from rich.table import Table as RichTable

    from search.operators.words import short_name

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
            f"{change.verdict}, unstable" if change.unstable else change.verdict,
        )
    out.print(grid)


def _print_names(out: "Console", title: str, names: Sequence[str]) -> None:
    """A few of the names, wrapped, and how many more there are."""
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        line = f"{title}: {'; '.join(names[:_NAMED])}{more}"
        _print_wrapped(out, line)


def _print_wrapped(out: "Console", line: str) -> None:
    lines = textwrap.wrap(
        line, _COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    out.print("\n".join(lines))
