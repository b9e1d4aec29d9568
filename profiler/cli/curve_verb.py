"""The verb `curve`: parse, call, print."""

from pathlib import Path
from typing import Annotated

import typer


def curve(
    table: Annotated[Path, typer.Argument(help="Folder of a table with an exam.")],
    form: Annotated[
        str, typer.Option("--format", help="table, json or csv (on standard output).")
    ] = "table",
) -> None:
    """What fewer measured operators would have cost: their number against the exam's error."""
    from profiler.cli.curve import show_curve
    from profiler.tables.cost_curve import cost_curve
    from search.console.app import check_format
    from search.table.store import read_table

    check_format(form)
    read = read_table(table)
    show_curve(read, cost_curve(read), form)
