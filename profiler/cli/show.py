"""The verbs `show` and `validate`: one table, printed or checked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from profiler.cli.options import (
    FormatOption,
    TableArgument,
)
from search.console.app import check_format
from search.errors import EXIT_GATE

if TYPE_CHECKING:
    from rich.console import Console

    from search.table.entries import Entry
    from search.table.store import Table

_SLOWEST = 20


def show(
    table: TableArgument,
    every: Annotated[bool, typer.Option("--all", help="All rows, not the 20 slowest.")] = False,
    match: Annotated[str | None, typer.Option(help="Only operators that contain this.")] = None,
    keys: Annotated[bool, typer.Option("--keys", help="Whole keys, not short words.")] = False,
    output_format: FormatOption = "table",
) -> None:
    """Print a table: what it is, how far to trust it, its operators.

    \b
    Examples:
      python -m profiler show tables/host/fbnet-v1 --match k5_e6
      python -m profiler show tables/host/fbnet-v1 --format csv > entries.csv
    """
    from search.table.query import read_named

    check_format(output_format)
    show_table(read_named(table), output_format, None if every else _SLOWEST, match, keys)


def show_table(
    table: "Table", output_format: str, top: int | None, pattern: str | None, keys: bool = False
) -> None:
    """Print one table; `pattern` is looked for in keys and in their short names."""
    from search.console.output import console, to_json
    from search.console.plain import print_whole
    from search.operators.words import short_name
    from search.table.columns import entries_to_csv, row_of

    entries = [
        entry
        for entry in table.entries
        if pattern is None or pattern in entry.key or pattern in short_name(entry.key)
    ]
    if output_format == "csv":
        print_whole(entries_to_csv(entries))  # byte for byte as in the table's folder
    elif output_format == "json":
        manifest = table.manifest.model_dump(mode="json")
        rows = [row_of(entry) for entry in entries]
        print_whole(to_json({"manifest": manifest, "entries": rows}) + "\n")
    else:
        _print_table(table, entries, top, keys, console())


def _print_table(
    table: "Table", entries: Sequence["Entry"], top: int | None, keys: bool, out: "Console"
) -> None:
    from rich.table import Table as RichTable

    from profiler.tables.summary import summary
    from search.operators.words import short_name

    for line in summary(table):
        out.print(line)
    rows = sorted(entries, key=lambda entry: -entry.time.centre_us if entry.time else 0)[:top]
    grid = RichTable(title=None, box=None, pad_edge=False)
    grid.add_column("operator", overflow="fold", no_wrap=keys)
    for name in ("us", "+-%", "first us", "blocks"):
        grid.add_column(name, justify="right")
    grid.add_column("status")
    for entry in rows:
        name = entry.key if keys else short_name(entry.key)
        grid.add_row(name, *_cells(entry))
    out.print(grid)
    if len(rows) < len(entries):
        predicted = sum(entry.status == "predicted" for entry in entries)
        measured = len(entries) - predicted
        kinds = f", {measured} measured and {predicted} predicted" if predicted else ""
        out.print(f"({len(rows)} slowest of {len(entries)} rows{kinds}; --all shows every one)")


def _cells(entry: "Entry") -> tuple[str, ...]:
    if entry.time is None:
        return "-", "-", "-", "0", f"failed: {entry.reason}"
    first = f"{entry.first_call.centre_us:.1f}" if entry.first_call else "-"
    half = f"{100 * entry.relative_half_width:.1f}" if entry.has_interval else "-"
    return f"{entry.time.centre_us:.1f}", half, first, str(entry.sampling.blocks), entry.status


def validate(
    table: TableArgument,
    output_format: FormatOption = "table",
) -> None:
    """Check that a table is whole, unedited, complete and examined (exit 1 if not).

    \b
    Examples:
      python -m profiler validate tables/host/fbnet-v1
      python -m profiler validate tables/host/fbnet-v1 --format json
    """
    from profiler.tables.checks import validation_problems
    from search.console.messages import counted
    from search.console.output import emit
    from search.table.query import read_named

    check_format(output_format)
    label, problems = (read := read_named(table)).label, validation_problems(read)

    def print_problems(_: "Console") -> None:
        for problem in problems:
            typer.echo(f"PROBLEM: {problem}")
        verdict = counted(len(problems), "problem") if problems else "whole, complete and examined"
        typer.echo(f"{label}: {verdict}")

    emit(
        output_format,
        table=print_problems,
        content=lambda: {"table": label, "valid": not problems, "problems": problems},
        rows=lambda: [{"table": label, "problem": problem} for problem in problems or [""]],
    )
    if problems:
        raise typer.Exit(EXIT_GATE)
