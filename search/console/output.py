"""Output of all command lines: table, JSON or CSV, a plain console, one kind of bar."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from search.console.plain import print_whole, raw_stream

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

_PIPE_COLUMNS = 100


def emit(
    output_format: str,
    *,
    table: Callable[["Console"], None],
    content: Callable[[], object],
    rows: Callable[[], Iterable[Mapping[str, object]]],
) -> None:
    """Print a result on standard output in the chosen format.

    Args:
        output_format: "table", "json" or "csv", as checked by `check_format`.
        table: Prints the result as a human-readable table.
        content: The result as JSON types.
        rows: The result as rows of equal columns.
    """
    if output_format == "json":
        print_whole(f"{to_json(content())}\n")
    elif output_format == "csv":
        print_whole(to_csv(rows()))
    else:
        table(console())


def to_json(content: object) -> str:
    """JSON as printed on standard output.

    Raises:
        ValueError: NaN or infinity, which JSON cannot hold.
    """
    return json.dumps(content, indent=2, allow_nan=False)


def to_csv(rows: Iterable[Mapping[str, object]]) -> str:
    """Rows as CSV with a header; None is an empty field."""
    rows = list(rows)
    buffer = io.StringIO()
    if rows:
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return buffer.getvalue()


def console() -> "Console":
    """Standard output; plain and of a fixed width when it is not a terminal.

    Names are not markup: `[simulated]` must be seen.
    """
    from rich.console import Console

    # Bold headings would be escapes, which never reach a terminal (`search.console.plain`).
    plain = {"color_system": None, "highlight": False, "markup": False, "emoji": False}
    out = Console(**plain, soft_wrap=True)  # type: ignore[arg-type]
    if out.is_terminal:
        return out
    return Console(**plain, soft_wrap=True, width=_PIPE_COLUMNS)  # type: ignore[arg-type]


def progress_bar(description: str = "{task.description}") -> "Progress":
    """A bar on standard error: description, steps done, time elapsed, time remaining."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn(description),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(file=raw_stream(sys.stderr)),
    )
