"""The verb `curve`: operators measured against the error of a table's exam."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from profiler.cli.options import (
    FormatOption,
    QuietOption,
    TableArgument,
)

if TYPE_CHECKING:
    from rich.console import Console

    from profiler.tables.cost_curve import CurvePoint
    from search.table.store import Table


def curve(
    table: TableArgument,
    quiet: QuietOption = False,
    output_format: FormatOption = "table",
) -> None:
    """What fewer measured operators would have cost: their number against the exam's error.

    \b
    Examples:
      python -m profiler curve tables/host/fbnet-v1
      python -m profiler curve tables/host/fbnet-v1 --format csv
    """
    from profiler.tables.cost_curve import cost_curve
    from search.console.app import check_format
    from search.console.progress import make_progress
    from search.table.query import read_named

    check_format(output_format)
    read = read_named(table)
    with make_progress(quiet) as progress:
        points = cost_curve(read, progress=progress)
    show_curve(read, points, output_format)


def show_curve(table: "Table", points: Sequence["CurvePoint"], output_format: str) -> None:
    """Print one curve."""
    from search.console.output import emit

    emit(
        output_format,
        table=lambda out: _print_curve(table.label, points, out),
        content=lambda: {"table": table.label, "points": [asdict(point) for point in points]},
        rows=lambda: [asdict(point) for point in points],
    )


def _print_curve(label: str, points: Sequence["CurvePoint"], out: "Console") -> None:
    from rich.table import Table as RichTable

    out.print(label)
    grid = RichTable(box=None, pad_edge=False)
    for name in ("measured", "share", "exam MAPE", "Spearman", "rows MAPE", "in 90 %"):
        grid.add_column(name, justify="right")
    for point in points:
        grid.add_row(
            str(point.operators),
            f"{point.share:.1%}",
            f"{point.exam_mape:.2%}",
            f"{point.exam_spearman:.4f}",
            _percent(point.row_mape, 1),
            _percent(point.row_coverage, 0),
        )
    out.print(grid)
    out.print(
        "rows: measured operators that were predicted from the others, and how many of\n"
        "them lay inside their 90 % intervals"
    )


def _percent(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}%}"
