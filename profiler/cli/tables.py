"""The verb `tables`: which tables there are."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from profiler.cli.options import FormatOption
from search.console.app import check_format
from search.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from search.table.query import TableFacts


def tables(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Only tables that these words fit: fbnet, int8, latest, …"),
    ] = None,
    root: Annotated[Path, typer.Option("--tables", help="Folder of tables.")] = Path("tables"),
    output_format: FormatOption = "table",
) -> None:
    """List the tables there are; the same words name one wherever a TABLE is asked.

    \b
    Examples:
      python -m profiler tables
      python -m profiler tables fbnet int8 --format csv
    """
    from search.console.output import emit
    from search.table.query import list_tables, matching

    check_format(output_format)
    if not root.is_dir():
        raise UsageError(
            f"There is no folder {root} here.",
            "Name one with --tables, or measure a table: python -m profiler --device host",
        )
    found = list_tables(root)
    if words:
        found = matching(found, [part for word in words for part in word.split()])
    rows = [_row(table) for table in found]
    emit(
        output_format,
        table=lambda out: print_tables(found, root, out),
        content=lambda: rows,
        rows=lambda: rows,
    )


def _row(table: "TableFacts") -> dict[str, Any]:
    return {
        "device": table.device,
        "space": table.space,
        "dtype": table.dtype,
        "backend": table.backend,
        "threads": table.threads,
        "created_utc": table.created.isoformat() if table.created else None,
        "exam": table.exam,
        "version": table.version,
        "source": table.source,
        "state": table.state,
        "problem": table.problem,
        "path": str(table.path),
    }


def print_tables(tables: "Sequence[TableFacts]", root: Path, out: "Console") -> None:
    """Print tables under the names of their devices, in 80 columns."""
    from rich.table import Table

    if not tables:
        out.print(f"no tables below {root}")
    for device in dict.fromkeys(table.path.parent for table in tables):
        own = [table for table in tables if table.path.parent == device]
        out.print(str(device))
        grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("  space", "dtype", "backend", "threads", "measured", "exam", "version"):
            grid.add_column(name, justify="right" if name == "threads" else "left")
        sound = [table for table in own if not table.problem]
        for cells in _rows_of(sound):
            grid.add_row(*cells)
        out.print(grid)
        for table in (one for one in own if one.problem):
            out.print(f"  {table.path.name}: {table.problem}", soft_wrap=False)


def _rows_of(tables: "Sequence[TableFacts]") -> list[tuple[str, ...]]:
    """The cells of each table; rows that would be the same tell what of their names differs."""
    rows = [_cells(table) for table in tables]
    counts = Counter(rows)
    return [
        (f"{row[0]} {_apart(table, _twins(tables, rows, row))}", *row[1:])
        if counts[row] > 1
        else row
        for table, row in zip(tables, rows, strict=True)
    ]


def _twins(
    tables: "Sequence[TableFacts]", rows: Sequence[tuple[str, ...]], row: tuple[str, ...]
) -> list[set[str]]:
    """The parts of the names of all tables with these cells."""
    pairs = zip(tables, rows, strict=True)
    return [set(table.path.name.split("-")) for table, other in pairs if other == row]


def _apart(table: "TableFacts", twins: Sequence[set[str]]) -> str:
    """The parts of a table's name that not all its twins have; each is a word that names it."""
    common = set.intersection(*twins)
    return " ".join(part for part in table.path.name.split("-") if part not in common)


def _cells(table: "TableFacts") -> tuple[str, ...]:
    marks = [table.source] if table.source != "measured" else []
    marks += [table.state] if table.state == "sustained" else []
    mark = f" [{', '.join(marks)}]" if marks else ""
    return (
        f"  {table.space}{mark}",
        table.dtype,
        table.backend,
        str(table.threads),
        f"{table.created:%Y-%m-%d}",
        table.exam,
        "" if table.version is None else f"v{table.version}",
    )
