"""A cost curve, for people and programs: what `curve` prints."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table as RichTable

from profiler.tables.cost_curve import CurvePoint
from search.console.output import console, to_csv, to_json
from search.table.store import Table


def show_curve(table: Table, points: Sequence[CurvePoint], form: str) -> None:
    """Print one curve."""
    if form == "json":
        print(to_json({"table": table.label, "points": [asdict(point) for point in points]}))
    elif form == "csv":
        print(to_csv([asdict(point) for point in points]), end="")
    else:
        _for_people(table, points)


def _for_people(table: Table, points: Sequence[CurvePoint]) -> None:
    out = console()
    out.print(table.label)
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
